#!/bin/sh
# avxvnni.sh - P1 with AVX-VNNI: every kernel, and whole models, on CPUs without it too, where tests/vnni_emulator.c does its
# one instruction. On CPUs that have it a copy of the program stumbles over it all the same (tests/tools/trap.c). The machine
# code is the program's own.
. "$(dirname "$0")/lib.sh"
native=$BUILD/bin/verbatim
vnni=$BUILD/tests/vnni/verbatim
if [ -n "${VB_RUNNER:-}" ] || [ ! -x "$vnni" ]; then
    skip "kernels for AVX-VNNI" "only where x86-64 programs for Linux run by themselves"
    finish
fi
if grep -qE '__(a|t)san_init' "$native"; then
    skip "kernels for AVX-VNNI" "not with sanitizers, which have a use for the signal"
    finish
fi
# trapped PROGRAM: $work/NAME, which takes the signal on every CPU
trapped() {
    if grep -qw avx_vnni /proc/cpuinfo; then
        objdump -d --no-show-raw-insn "$1" | "$BUILD/tests/tools/trap" "$1" "$work/$(basename "$1")" >"$work/out" 2>"$work/err"
        rc=$?
        ok "$(basename "$1"): every vpdpbusd taken away" status_is 0
    else
        cp "$1" "$work/"
    fi
}
"$vnni" cpu >"$work/out" 2>"$work/err"
if ! out_has " avxvnni"; then
    skip "kernels for AVX-VNNI" "no AVX2 here, which they are built on, or a compiler that does not know them"
    finish
fi
if ! command -v objdump >/dev/null 2>&1 && grep -qw avx_vnni /proc/cpuinfo; then
    skip "kernels for AVX-VNNI, emulated" "no objdump, and this CPU has them"
    finish
fi
trapped "$BUILD/tests/vnni/test_checkkern"
trapped "$vnni"
"$work/test_checkkern" --set avxvnni --rounds 0 >"$work/out" 2>"$work/err"
rc=$?
ok "every matrix kernel by memcmp" status_is 0
# A signal takes microseconds, so the models are small.
for m in "$target" "$draft"; do
    for a in q8 q16; do
        "$native" logits -m "$m" --tokens 1,5,9,50,60 --activations $a --kernels ref --out "$work/want" 2>"$work/err"
        "$work/verbatim" logits -m "$m" --tokens 1,5,9,50,60 --activations $a --kernels avxvnni -t 2 --out "$work/got" \
            >"$work/out" 2>"$work/err"
        rc=$?
        ok "logits: $(basename "$m" .gguf), $a" same_files "$work/want" "$work/got"
    done
done
finish
