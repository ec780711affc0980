/* vnni_emulator.c - vpdpbusd with a VEX prefix (AVX-VNNI) on CPUs that lack it, for the tests (emulator.h).
 *
 * Linked in with -Wl,--wrap=vb_cpu_features, which then claims AVX-VNNI for every CPU with AVX2. A CPU that
 * has it would never come here; so that the emulator is tested there too, tests/tools/trap.c makes a copy of
 * the program in which these instructions have an opcode that no CPU knows.
 *
 * Source: Intel SDM volume 2, VPDPBUSD, and volume 1, 13.4 (the XSAVE area); Linux,
 * arch/x86/include/uapi/asm/sigcontext.h (where it lies in a signal's frame). */
#include "simd/simd.h"

#if VB_AVXVNNI && defined(__linux__)
#include "simd/cpu.h"
#include "tests/emulator.h"

#include <cpuid.h>
#include <stdlib.h>

enum { VPDPBUSD = 0x50, TRAPPED = 0x57 }; /* opcodes of map 0F38; the second is nobody's */

/* Where things lie in the frame: FXSAVE's 512 bytes with XMM0 at 160 and Linux's words at 464, the header of
 * XSAVE, and the upper halves of the registers where CPUID says. */
enum { XMM_AT = 160, MAGIC_AT = 464, FEATURES_AT = 512, MAGIC = 0x46505853, UPPER_HALVES = 1 << 2 };
static uint32_t upper_at;

static void require(bool holds, const char *why) {
    if (!holds) emulator_stop("AVX-VNNI emulator: ", why);
}

static uint64_t features_kept(const uint8_t *frame) {
    uint64_t kept;
    memcpy(&kept, frame + FEATURES_AT, sizeof kept);
    return kept;
}

static void read_register(const uint8_t *frame, int number, uint8_t out[32]) {
    memcpy(out, frame + XMM_AT + 16 * number, 16);
    memset(out + 16, 0, 16); /* of halves that are all zero nothing is kept */
    if (features_kept(frame) & UPPER_HALVES) memcpy(out + 16, frame + upper_at + 16 * number, 16);
}

static void write_register(uint8_t *frame, int number, const uint8_t in[32]) {
    memcpy(frame + XMM_AT + 16 * number, in, 16);
    if (!(features_kept(frame) & UPPER_HALVES)) {
        const uint64_t kept = features_kept(frame) | UPPER_HALVES;
        memset(frame + upper_at, 0, 16 * (size_t)16);
        memcpy(frame + FEATURES_AT, &kept, sizeof kept);
    }
    memcpy(frame + upper_at + 16 * number, in + 16, 16);
}

/* acc[n] += sum over i < 4 of u[4n + i] (unsigned) * s[4n + i] (signed), wrapping. */
static void dot(uint8_t acc[32], const uint8_t u[32], const uint8_t s[32]) {
    for (int n = 0; n < 8; n++) {
        uint32_t sum;
        memcpy(&sum, acc + 4 * n, sizeof sum);
        for (int i = 0; i < 4; i++) sum += (uint32_t)((int)u[4 * n + i] * (int8_t)s[4 * n + i]);
        memcpy(acc + 4 * n, &sum, sizeof sum);
    }
}

static void handler(int signal_number, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    decoded d;
    (void)info;
    if (!decode(u, &d) || (d.opcode != VPDPBUSD && d.opcode != TRAPPED) || d.prefix != 1 || d.w || !d.wide) {
        signal(signal_number, SIG_DFL); /* a stray instruction ends the program as it would without us */
        return;
    }
    uint8_t *frame = (uint8_t *)u->uc_mcontext.fpregs;
    uint32_t magic;
    memcpy(&magic, frame + MAGIC_AT, sizeof magic);
    require(magic == MAGIC, "the signal's frame holds no registers of 256 bits");
    uint8_t acc[32], left[32], right[32];
    const int to = (d.modrm >> 3 & 7) + d.r;
    read_register(frame, to, acc);
    read_register(frame, d.vvvv, left);
    if (d.modrm >> 6 == 3) {
        read_register(frame, (d.modrm & 7) + d.b, right);
    } else {
        ptrdiff_t index;
        const uint8_t *from = address(&d, u, &index);
        memcpy(right, from + index, sizeof right);
    }
    dot(acc, left, right);
    write_register(frame, to, acc);
    u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)d.rest;
}

/* Takes the signal, again if somebody else took it since: cmocka does, before each test. */
unsigned __wrap_vb_cpu_features(void) {
    const unsigned real = __real_vb_cpu_features();
    uint32_t a, b, c, d;
    if (!(real & VB_CPU_AVX2) || !__get_cpuid_count(0xd, 2, &a, &b, &c, &d)) return real;
    upper_at = b;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    return real | VB_CPU_AVXVNNI;
}
#else
typedef int vnni_emulator_is_empty;
#endif
