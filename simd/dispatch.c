/* dispatch.c - which set of kernels runs. The sets differ in speed only (P1). */
#include "simd/cpu.h"
#include "simd/simd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct set {
    const vb_kernels *kernels;
    unsigned needs; /* VB_CPU_* */
    vb_pack_fn *pack;
} set;

/* Best last. */
static const set sets[] = {
    {&vb_kernels_ref, 0, NULL},
#if VB_X86
    {&vb_kernels_avx2, VB_CPU_AVX2, vb_pack_avx2},
#endif
#if VB_AVXVNNI
    {&vb_kernels_avxvnni, VB_CPU_AVX2 | VB_CPU_AVXVNNI, vb_pack_avxvnni},
#endif
#if VB_X86
    {&vb_kernels_avx512, VB_CPU_AVX2 | VB_CPU_AVX512, vb_pack_avx512},
#endif
#if VB_AMX
    {&vb_kernels_amx, VB_CPU_AVX2 | VB_CPU_AVX512 | VB_CPU_AMX, vb_pack_amx},
#endif
#if VB_ARM64
    {&vb_kernels_neon, VB_CPU_NEON, vb_pack_neon},
#endif
#if VB_ARM64_DOTPROD
    {&vb_kernels_dotprod, VB_CPU_NEON | VB_CPU_DOTPROD, vb_pack_dotprod},
#endif
#if VB_ARM64_I8MM
    {&vb_kernels_i8mm, VB_CPU_NEON | VB_CPU_DOTPROD | VB_CPU_I8MM, vb_pack_i8mm},
#endif
};
enum { N_SETS = sizeof sets / sizeof sets[0] };

static bool can_run(const set *s) {
    return (s->needs & ~vb_cpu_features()) == 0;
}

static const char *names[N_SETS + 1];

static void find_names(void) {
    int n = 0;
    for (int i = 0; i < N_SETS; i++) {
        if (can_run(&sets[i])) names[n++] = sets[i].kernels->name;
    }
}

const char *const *vb_kernel_names(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_names);
    return names;
}

const vb_kernels *vb_kernel_set(int i) {
    return i >= 0 && i < N_SETS ? sets[i].kernels : NULL;
}

static int refuse(const char *name, const char *from, vb_error *err) {
    char there[128] = "auto";
    bool built = false;
    for (int i = 0; i < N_SETS; i++) {
        const size_t used = strlen(there);
        if (can_run(&sets[i])) snprintf(there + used, sizeof there - used, ", %s", sets[i].kernels->name);
        built = built || !strcmp(name, sets[i].kernels->name);
    }
    return vb_fail(err, VB_ERR_UNSUPPORTED, "%s asks for kernels \"%.64s\"%s; this CPU and build have: %s",
                   from, name, built ? ", which need instructions that this CPU lacks" : "", there);
}

int vb_kernels_choose(const char *name, const vb_kernels **out, vb_error *err) {
    const char *from = "the parameter kernels";
    if (!name || !strcmp(name, "auto")) {
        name = getenv("VERBATIM_KERNELS");
        from = "VERBATIM_KERNELS";
    }
    const bool best = !name || !*name || !strcmp(name, "auto");
    for (int i = N_SETS - 1; i >= 0; i--) {
        if (can_run(&sets[i]) && (best || !strcmp(name, sets[i].kernels->name))) {
            *out = sets[i].kernels;
            return VB_OK;
        }
    }
    return refuse(name, from, err);
}

int vb_kernels_resolve(const char *name, const char **out, vb_error *err) {
    vb_begin(err);
    const vb_kernels *kernels;
    const int rc = vb_kernels_choose(name, &kernels, err);
    if (!rc) *out = kernels->name;
    return rc;
}

vb_pack_fn *vb_packer(const vb_kernels *kernels) {
    for (int i = 0; i < N_SETS; i++) {
        if (sets[i].kernels == kernels) return sets[i].pack;
    }
    return NULL;
}
