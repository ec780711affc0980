#!/bin/sh
# amx.sh - P1 with AMX's tiles: every kernel, and prompts of whole models, on CPUs without AMX too, where tests/amx_emulator.c
# does its instructions. The machine code is the program's own.
. "$(dirname "$0")/lib.sh"
native=$BUILD/bin/verbatim
amx=$BUILD/tests/amx/verbatim
if [ -n "${VB_RUNNER:-}" ] || [ ! -x "$amx" ]; then
    skip "kernels for AMX" "only where x86-64 programs for Linux run by themselves"
    finish
fi
if grep -q __tsan_init "$native"; then
    skip "kernels for AMX" "not with the thread sanitizer, which leaves the SIMD kernels out"
    finish
fi
# amx_verbatim ARGS...: as verbatim() in lib.sh
amx_verbatim() {
    "$amx" "$@" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
    return 0
}
amx_verbatim cpu
if ! out_has " amx"; then
    skip "kernels for AMX" "no AVX-512 here, which they are built on"
    finish
fi

ok "the best is chosen" out_has "auto: amx"
"$BUILD/tests/amx/test_checkkern" --set amx >"$work/out" 2>"$work/err"
rc=$?
ok "every kernel by memcmp" status_is 0
ids=$(seq 1 70 | paste -sd, -)
for m in "$target" vectors/models/tales-draft-*.gguf vectors/models/tales-target-q4_k_m.gguf; do
    [ -e "$m" ] || continue
    for a in q8 q16; do
        file="$(basename "$m" .gguf), $a"
        "$native" logits -m "$m" --tokens "$ids" --activations $a --kernels ref --out "$work/want" 2>"$work/err"
        amx_verbatim logits -m "$m" --tokens "$ids" --activations $a --kernels amx -t 2 --out "$work/got"
        ok "logits behind a prompt of 70: $file" same_files "$work/want" "$work/got"
        amx_verbatim logits -m "$m" --tokens "$ids" --activations $a --kernels amx --repack off --out "$work/got"
        ok "weights as mapped: $file" same_files "$work/want" "$work/got"
    done
done
finish
