/* emulator.h - what the emulators of instructions share (amx_emulator.c, vnni_emulator.c): an instruction
 * that the CPU does not know raises SIGILL, and a handler does what it would have done, so that the program's
 * own machine code is what is tested. For instructions with a VEX prefix of three bytes; x86-64, Linux.
 *
 * Source: Intel SDM volume 2, 2.3 (the VEX prefix) and 2.1.5 (addressing). */
#ifndef VB_EMULATOR_H
#define VB_EMULATOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

/* Linked in with -Wl,--wrap=vb_cpu_features: the first is the program's own, the second what it gets. */
unsigned __real_vb_cpu_features(void);
unsigned __wrap_vb_cpu_features(void);

/* Ends the program. In a signal handler: nothing but write(). */
static inline void emulator_stop(const char *who, const char *why) {
    ssize_t n = write(2, who, strlen(who));
    n += write(2, why, strlen(why));
    n += write(2, "\n", 1);
    _exit(n > 0 ? 70 : 71);
}

/* Register `number` as the processor counts them. */
static inline uint64_t reg(const ucontext_t *u, int number) {
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)u->uc_mcontext.gregs[order[number]];
}

/* VEX: c4, then R' X' B' mmmmm, then W vvvv' L pp; ' marks inverted bits. */
typedef struct decoded {
    uint8_t opcode, modrm;
    int prefix;  /* pp: 0 none, 1 66, 2 f3, 3 f2 */
    int r, x, b; /* 8 or 0, upper bits of the register, the index and the base */
    int vvvv;
    bool wide, w;        /* L: 256 bits; W */
    const uint8_t *rest; /* behind ModRM */
} decoded;

/* The instruction at which the program stopped; false if it is none of map 0F38 with such a prefix. */
static inline bool decode(const ucontext_t *u, decoded *d) {
    const uint8_t *p =
        (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP]; /* NOLINT(performance-no-int-to-ptr) */
    if (p[0] != 0xc4 || (p[1] & 31) != 2) return false;
    *d = (decoded){p[3],
                   p[4],
                   p[2] & 3,
                   p[1] & 0x80 ? 0 : 8,
                   p[1] & 0x40 ? 0 : 8,
                   p[1] & 0x20 ? 0 : 8,
                   ~p[2] >> 3 & 15,
                   (p[2] & 4) != 0,
                   (p[2] & 0x80) != 0,
                   p + 5};
    return true;
}

/* Base and, where there is a SIB byte, index and scale. Moves d->rest behind the operand. */
static inline uint8_t *address(decoded *d, const ucontext_t *u, ptrdiff_t *index) {
    const int mod = d->modrm >> 6, rm = d->modrm & 7;
    uint64_t base;
    bool wide = mod == 2;
    *index = 0;
    if (rm == 4) {
        const uint8_t sib = *d->rest++;
        const int i = (sib >> 3 & 7) + d->x;
        if (i != 4) *index = (ptrdiff_t)(reg(u, i) << (sib >> 6));
        wide = wide || (mod == 0 && (sib & 7) == 5);
        base = mod == 0 && (sib & 7) == 5 ? 0 : reg(u, (sib & 7) + d->b);
    } else if (mod == 0 && rm == 5) { /* relative to the next instruction; none here has an immediate */
        wide = true;
        base = (uint64_t)(uintptr_t)(d->rest + 4);
    } else {
        base = reg(u, rm + d->b);
    }
    int32_t wide_by = 0;
    if (wide) {
        memcpy(&wide_by, d->rest, 4);
        d->rest += 4;
    }
    const int64_t by = mod == 1 ? (int8_t)*d->rest++ : wide_by;
    return (uint8_t *)(uintptr_t)(base + (uint64_t)by); /* NOLINT(performance-no-int-to-ptr) */
}

#endif
