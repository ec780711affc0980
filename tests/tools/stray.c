/* stray.c - executes one instruction of the set that its argument names, as a kernel that strayed into code
 * for every CPU would. tests/cli/tiers.sh sees by it that the emulated CPU refuses what it lacks.
 *
 *   stray avx2|avx512      exit status 0 if the CPU ran it, 2 on other machines; else the signal SIGILL */
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

static int avx2(void) {
    int r = 1;
    __asm__ volatile("vpxor %%ymm0, %%ymm0, %%ymm0\n\tvpextrd $0, %%xmm0, %0" : "=r"(r) : : "xmm0");
    return r;
}

static int avx512(void) {
    int r = 1;
    __asm__ volatile("vpxord %%zmm0, %%zmm0, %%zmm0\n\tvpextrd $0, %%xmm0, %0" : "=r"(r) : : "xmm0");
    return r;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "avx2")) return avx2();
    if (argc == 2 && !strcmp(argv[1], "avx512")) return avx512();
    fprintf(stderr, "usage: stray avx2|avx512\n");
    return 2;
}

#else

int main(void) {
    fprintf(stderr, "stray: not an x86-64 machine\n");
    return 2;
}

#endif
