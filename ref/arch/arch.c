/* arch.c - the list of architectures. */
#include "ref/arch/arch.h"

#include <stdio.h>
#include <string.h>

static const vb_arch *const architectures[] = {
    &vb_arch_llama,   &vb_arch_qwen2,        &vb_arch_qwen3,      &vb_arch_qwen2moe,   &vb_arch_qwen3moe,
    &vb_arch_gemma3,  &vb_arch_phi3,         &vb_arch_gpt_oss,    &vb_arch_granitemoe, &vb_arch_olmoe,
    &vb_arch_glm4moe, &vb_arch_ernie4_5_moe, &vb_arch_minimax_m2, &vb_arch_phimoe,
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

int vb_arch_find(const vb_gguf *g, const vb_arch **out, vb_error *err) {
    const char *name = NULL;
    size_t len = 0;
    char known[256] = "";
    const vb_meta *meta = vb_gguf_find(g, "general.architecture");
    if (!meta || !vb_meta_string(g, meta, 0, &name, &len))
        return vb_fail(err, VB_ERR_FORMAT, "%s: general.architecture is missing or not a string",
                       vb_gguf_path(g));
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        const char *a = architectures[i]->name, *join = i == 0                    ? ""
                                                        : i + 1 < N_ARCHITECTURES ? ", "
                                                                                  : " and ";
        if (strlen(a) == len && !memcmp(a, name, len)) {
            *out = architectures[i];
            return VB_OK;
        }
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", join, a);
    }
    return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: architecture \"%.*s\" is not supported; known are %s",
                   vb_gguf_path(g), (int)(len < 64 ? len : 64), name, known);
}
