/* amx_emulator.c - AMX instructions on CPUs that lack them, for the tests: such an instruction raises SIGILL,
 * and the handler does what it would have done. So the program's own machine code is what is tested, shapes
 * and addresses included; only its speed is not.
 *
 * Linked in with -Wl,--wrap=vb_cpu_features, which then claims AMX for every CPU with AVX-512. On a CPU that
 * has AMX nothing is emulated. What an instruction would refuse ends the program with a message.
 *
 * Source: Intel SDM volume 2 (LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE, TDPBSUD; 2.3, the VEX
 * prefix; 2.1.5, addressing) and volume 1, chapter 18. */
#include "simd/simd.h"

#if VB_AMX
#include "simd/cpu.h"
#include "tests/emulator.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, BYTES = 64 };

typedef struct tile {
    int rows, bytes; /* of a row; 0, 0: not configured */
    uint8_t at[ROWS][BYTES];
} tile;

/* A thread's registers, as the CPU would keep them. */
static _Thread_local tile tiles[TILES];
static _Thread_local bool configured;

static void require(bool holds, const char *why) {
    if (!holds) emulator_stop("AMX emulator: ", why);
}

/* ---------------------------------------------------------------------- what the instructions do */

static void configure(const uint8_t *from) {
    require(from[0] == 1 && from[1] == 0, "ldtilecfg: not palette 1 from row 0");
    for (int i = 2; i < 64; i++) {
        const bool used = (i >= 16 && i < 32) || (i >= 48 && i < 56);
        require(used || from[i] == 0, "ldtilecfg: a reserved byte is not 0");
    }
    memset(tiles, 0, sizeof tiles);
    for (int i = 0; i < TILES; i++) {
        uint16_t bytes;
        memcpy(&bytes, from + 16 + 2 * i, sizeof bytes);
        tiles[i].bytes = bytes;
        tiles[i].rows = from[48 + i];
        require(tiles[i].rows <= ROWS && bytes <= BYTES && (tiles[i].rows == 0) == (bytes == 0),
                "ldtilecfg: a shape that no tile has");
    }
    configured = true;
}

static tile *used(int i) {
    require(configured && i < TILES && tiles[i].rows, "a tile that is not configured");
    return &tiles[i];
}

static void load(tile *t, const uint8_t *from, ptrdiff_t apart) {
    memset(t->at, 0, sizeof t->at);
    for (int r = 0; r < t->rows; r++) memcpy(t->at[r], from + r * apart, (size_t)t->bytes);
}
static void store(const tile *t, uint8_t *to, ptrdiff_t apart) {
    for (int r = 0; r < t->rows; r++) memcpy(to + r * apart, t->at[r], (size_t)t->bytes);
}

/* c[m][n] += sum over k, i < 4 of a[m][4k + i] (signed) * b[k][4n + i] (unsigned), wrapping. */
static void dot(tile *c, const tile *a, const tile *b) {
    require(c != a && c != b && a != b, "tdpbsud: one tile twice");
    require(c->rows == a->rows && c->bytes == b->bytes && a->bytes == 4 * b->rows && c->bytes % 4 == 0,
            "tdpbsud: shapes that do not fit together");
    for (int m = 0; m < c->rows; m++) {
        for (int n = 0; n < c->bytes / 4; n++) {
            int32_t sum;
            memcpy(&sum, c->at[m] + 4 * n, sizeof sum);
            uint32_t wrapping = (uint32_t)sum;
            for (int k = 0; k < b->rows; k++) {
                for (int i = 0; i < 4; i++)
                    wrapping += (uint32_t)((int8_t)a->at[m][4 * k + i] * (int)b->at[k][4 * n + i]);
            }
            memcpy(c->at[m] + 4 * n, &wrapping, sizeof wrapping);
        }
    }
}

/* ---------------------------------------------------------------------- what the instructions are */

/* Does the instruction at d; false if it is none of AMX's that are known here. */
static bool emulate(decoded *d, const ucontext_t *u) {
    const int to = d->modrm >> 3 & 7;
    const bool memory = d->modrm >> 6 != 3;
    ptrdiff_t index;
    if (d->opcode == 0x49 && d->prefix == 0 && memory && to == 0) {
        const uint8_t *from = address(d, u, &index);
        configure(from + index);
    } else if (d->opcode == 0x49 && d->prefix == 0 && d->modrm == 0xc0) {
        memset(tiles, 0, sizeof tiles);
        configured = false;
    } else if (d->opcode == 0x49 && d->prefix == 3 && !memory) {
        memset(used(to)->at, 0, sizeof tiles[0].at);
    } else if (d->opcode == 0x4b && d->prefix == 3 && memory) {
        const uint8_t *from = address(d, u, &index);
        load(used(to), from, index);
    } else if (d->opcode == 0x4b && d->prefix == 2 && memory) {
        uint8_t *at = address(d, u, &index);
        store(used(to), at, index);
    } else if (d->opcode == 0x5e && d->prefix == 2 && !memory) {
        dot(used(to), used(d->modrm & 7), used(d->vvvv));
    } else {
        return false;
    }
    return true;
}

static void handler(int signal_number, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    decoded d;
    (void)info;
    if (decode(u, &d) && emulate(&d, u)) {
        u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)d.rest;
        return;
    }
    signal(signal_number, SIG_DFL); /* a stray instruction ends the program as it would without us */
}

/* Takes the signal, again if somebody else took it since: cmocka does, before each test. */
unsigned __wrap_vb_cpu_features(void) {
    const unsigned real = __real_vb_cpu_features();
    if ((real & VB_CPU_AMX) || !(real & VB_CPU_AVX512)) return real;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    return real | VB_CPU_AMX;
}
#else
typedef int amx_emulator_is_empty;
#endif
