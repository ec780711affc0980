#!/bin/sh
# cross.sh - P1 between two machines: the emulated program writes the same bytes as the native one. Only when the tests
# run under an emulator (make test-arm64).
. "$(dirname "$0")/lib.sh"
native=${VB_NATIVE:-build/bin/verbatim}
if [ -z "${VB_RUNNER:-}" ] || [ ! -x "$native" ]; then
    skip "the same bytes on two machines" "no emulator: make test-arm64"
    finish
fi
ids=1,5,9,260,270,280,290,300,11,12,13,14,15,16,17,18,19,20,21,22
for m in target draft chat; do
    for a in "--activations q8 --kv f16" "--activations q16 --kv f32"; do
        # shellcheck disable=SC2086
        "$native" logits -m "$work/$m.gguf" --tokens $ids $a --out "$work/native" 2>"$work/err"
        # shellcheck disable=SC2086
        verbatim logits -m "$work/$m.gguf" --tokens $ids $a --out "$work/emulated" --batch 7
        ok "logits of $m, $a" same_files "$work/native" "$work/emulated"
    done
    "$native" logits -m "$work/$m.gguf" --tokens $ids --oracle --out "$work/native" 2>"$work/err"
    verbatim logits -m "$work/$m.gguf" --tokens $ids --oracle --out "$work/emulated"
    ok "the oracle of $m" same_files "$work/native" "$work/emulated"
done
for rule in coupled rejection block; do
    "$native" run -m "$target" -md "$draft" -p "Once upon a time" -n 32 --seed 8 --accept $rule --trace "$work/native" \
        --trace-full >"$work/out1" 2>"$work/err"
    verbatim run -m "$target" -md "$draft" -p "Once upon a time" -n 32 --seed 8 --accept $rule --trace "$work/emulated" \
        --trace-full
    ok "the text, --accept $rule" same_files "$work/out" "$work/out1"
    ok "the trace, --accept $rule" same_files "$work/native" "$work/emulated"
done
trained=vectors/models/tales-target-q4_k_m.gguf
if [ -e $trained ]; then
    "$native" logits -m $trained --tokens 1,50,60,70 --out "$work/native" 2>"$work/err"
    verbatim logits -m $trained --tokens 1,50,60,70 --out "$work/emulated"
    ok "logits of the trained target" same_files "$work/native" "$work/emulated"
fi
finish
