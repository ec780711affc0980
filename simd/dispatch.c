/* dispatch.c - which set of kernels runs. The sets differ in speed only (P1). */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

/* Best last. */
static const vb_kernels *const sets[] = {&vb_kernels_ref};
enum { N_SETS = sizeof sets / sizeof sets[0] };

const char *const *vb_kernel_names(void) {
    static const char *const names[] = {"ref", NULL};
    return names;
}

int vb_kernels_choose(const char *name, const vb_kernels **out, vb_error *err) {
    const char *from = "the parameter kernels";
    if (!name || !strcmp(name, "auto")) {
        name = getenv("VERBATIM_KERNELS");
        from = "VERBATIM_KERNELS";
    }
    if (!name || !*name || !strcmp(name, "auto")) {
        *out = sets[N_SETS - 1];
        return VB_OK;
    }
    for (int i = 0; i < N_SETS; i++) {
        if (!strcmp(name, sets[i]->name)) {
            *out = sets[i];
            return VB_OK;
        }
    }
    return vb_fail(err, VB_ERR_UNSUPPORTED,
                   "%s asks for kernels \"%.64s\"; this CPU and build have: auto, ref", from, name);
}
