#!/bin/sh
# Trains, exports and evaluates the demo pair: rebuild.sh CORPUS.txt HELD-OUT.txt FOLDER
# TARGET_MINUTES and DRAFT_MINUTES set the training times, SEQUENCES the amount of text sampled for the draft.
set -eu
[ $# -eq 3 ] || { sed -n 2,3p "$0" >&2; exit 2; }
corpus=$1 valid=$2 out=$3
here=$(dirname "$0")
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$out"
tok=$out/tokenizer.json
data="--corpus $corpus --valid $valid --tokenizer $tok --resume"

[ -f "$tok" ] || "$python" "$here/tokenizer.py" "$corpus" "$tok"
"$python" "$here/train_target.py" $data --out "$out/target" --minutes "${TARGET_MINUTES:-60}"
[ -f "$out/sampled.npy" ] || "$python" "$here/sample.py" "$out/target/best.pt" "$out/sampled.npy" --corpus "$corpus" \
    --tokenizer "$tok" --sequences "${SEQUENCES:-768}"
"$python" "$here/train_draft.py" $data --target "$out/target/best.pt" --sampled "$out/sampled.npy" --out "$out/draft" \
    --minutes "${DRAFT_MINUTES:-38}"
for m in target draft; do
    "$python" "$here/export.py" "$out/$m/best.pt" "$out/tales-$m-f32.gguf" --tokenizer "$tok" --name "Verbatim Tales $m" \
        --description "A small $m model for demonstrating speculative decoding, trained from nothing on public-domain fairy tales"
done
"$python" "$here/evaluate.py" --target "$out/target/best.pt" --draft "$out/draft/best.pt" --tokenizer "$tok" \
    --valid "$valid" --out "$out/evaluation"
"$python" "$here/curve.py" "$out/evaluation/curve.svg" \
    "Target: loss in nats a token (loss: held-out)=$out/target/curve.jsonl:loss,train" \
    "Draft: held-out acceptance at temperature 1=$out/draft/curve.jsonl:accept"
