#!/bin/sh
# tiers.sh - P1 on CPUs that this machine is not: emulated x86-64 CPUs without AVX2 and without AVX-512 run the program to
# the same bytes as this one. An instruction that strayed out of its kernel set ends the program there.
. "$(dirname "$0")/lib.sh"
native=$BUILD/bin/verbatim
if [ -n "${VB_RUNNER:-}" ] || [ "$(uname -m)" != x86_64 ]; then
    skip "the same bytes on lesser CPUs" "only where x86-64 programs run by themselves"
    finish
fi
if ! command -v qemu-x86_64 >/dev/null 2>&1; then
    skip "the same bytes on lesser CPUs" "no qemu-x86_64: install qemu-user"
    finish
fi
# Checks of addresses or threads under an emulator take minutes, and more memory than it gives.
if grep -qE '__(a|t)san_init' "$native"; then
    skip "the same bytes on lesser CPUs" "not with sanitizers"
    finish
fi

models=$target
for m in vectors/models/tales-draft-*.gguf vectors/models/tales-target-q4_k_m.gguf; do
    [ -e "$m" ] && models="$models $m"
done
ids=1,5,9,50,60,70,80,90,100,110,120

# on CPU ARGS...: the program on an emulated CPU. The emulator's own warnings are left out of what it says.
on() {
    cpu=$1
    shift
    qemu-x86_64 -cpu "$cpu" "$native" "$@" >"$work/out" 2>"$work/said" </dev/null
    rc=$?
    grep -v '^qemu-x86_64: warning:' "$work/said" >"$work/err"
    return 0
}
# traps CPU SET: one instruction of the set ends a program (128 + SIGILL)
traps() {
    qemu-x86_64 -cpu "$1" "$BUILD/tests/tools/stray" "$2" >/dev/null 2>&1
    [ $? = 132 ]
}

# tier CPU KERNELS CHOSEN: all of it on one CPU
tier() {
    cpu=$1
    on "$cpu" cpu
    ok "$cpu has $2" out_has "can run: $2"
    ok "$cpu chooses $3" out_has "auto: $3"
    on "$cpu" logits -m "$target" --tokens 1 --out "$work/none" --kernels avx512
    ok "$cpu refuses avx512" fails 1 "which need instructions that this CPU lacks"
    for m in $models; do
        file=$(basename "$m" .gguf)
        "$native" logits -m "$m" --tokens $ids --out "$work/here" 2>"$work/err"
        on "$cpu" logits -m "$m" --tokens $ids --out "$work/there"
        ok "$cpu: logits of $file" same_files "$work/here" "$work/there"
        "$native" run -m "$m" -p "Once upon a time" -n 12 --temp 0 --seed 3 >"$work/here" 2>"$work/err"
        on "$cpu" run -m "$m" -p "Once upon a time" -n 12 --temp 0 --seed 3
        ok "$cpu: greedy text of $file" same_files "$work/here" "$work/out"
    done
    "$native" run -m "$target" -md "$draft" -p "Once upon a time" -n 24 --seed 8 --trace "$work/here" --trace-full \
        >"$work/out" 2>"$work/err"
    on "$cpu" run -m "$target" -md "$draft" -p "Once upon a time" -n 24 --seed 8 --trace "$work/there" --trace-full
    ok "$cpu: a trace of speculation" same_files "$work/here" "$work/there"
}

ok "Nehalem traps AVX2" traps Nehalem avx2
ok "Haswell traps AVX-512" traps Haswell avx512
tier Nehalem ref ref
tier Haswell "ref avx2" avx2
# Every kernel of the lesser set, where an instruction of the greater one would be fatal.
if [ -x "$BUILD/tests/test_checkkern" ]; then
    qemu-x86_64 -cpu Haswell "$BUILD/tests/test_checkkern" >"$work/out" 2>"$work/err"
    rc=$?
    ok "Haswell: every kernel" status_is 0
else
    skip "Haswell: every kernel" "test_checkkern is not built"
fi
finish
