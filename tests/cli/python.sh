#!/bin/sh
# python.sh - examples/check_vectors.py: a reader of the vectors that has none of our code finds them right, and a wrong one wrong.
. "$(dirname "$0")/lib.sh"
python=
for p in /usr/bin/python3 python3; do
    [ -z "$python" ] && "$p" -c 'import numpy' 2>/dev/null && python=$p
done
if [ -z "$python" ]; then
    skip "check_vectors.py reads all levels" "python3 with NumPy is not here"
    finish
fi
ok "it has at most 300 lines" test "$(wc -l <examples/check_vectors.py)" -le 300
"$python" -B examples/check_vectors.py vectors >"$work/out" 2>"$work/err"
rc=$?
ok "check_vectors.py finds all vectors right" status_is 0
for kind in tokens/vocab-spm blocks dots recordings/arch-qwen3.q16 oracle/arch-qwen3 traces/arch-llama.rejection; do
    ok "it read $kind" out_has "ok - $kind.jsonl: "
done
# One wrong value of each level, in a copy of a few files.
mkdir -p "$work/v/models/seeded" "$work/v/tokens" "$work/v/recordings" "$work/v/traces"
cp vectors/models/seeded/arch-qwen3.gguf vectors/models/seeded/vocab-spm.gguf "$work/v/models/seeded"
for f in blocks dots tokens/vocab-spm recordings/arch-qwen3.q16 traces/arch-llama.rejection; do cp "vectors/$f.jsonl" "$work/v/$f.jsonl"; done
{
    head -n 1 vectors/manifest.jsonl
    grep -E '"file":"(blocks|dots|tokens/vocab-spm|recordings/arch-qwen3.q16|traces/arch-llama.rejection).jsonl"' vectors/manifest.jsonl
    tail -n 1 vectors/manifest.jsonl
} >"$work/v/manifest.jsonl"
change() { # FILE PATTERN: the first match's last character becomes another digit
    awk -v pattern="$2" '!done && match($0, pattern) {
            at = RSTART + RLENGTH - 1
            $0 = substr($0, 1, at - 1) (substr($0, at, 1) == "1" ? "2" : "1") substr($0, at + 1)
            done = 1
        } { print }' "vectors/$1" >"$work/v/$1"
    "$python" -B examples/check_vectors.py "$work/v" >"$work/out" 2>"$work/err"
    rc=$?
    ok "a wrong number in $1 is found" out_has "not ok - $1: "
    ok "and nowhere else" out_has "1 failed"
    cp "vectors/$1" "$work/v/$1"
}
change tokens/vocab-spm.jsonl '"plain":.[0-9]'
change blocks.jsonl '"type":"Q4_K".*"f32":".......'
change dots.jsonl '"isum":.[0-9-]*[0-9]'
change recordings/arch-qwen3.q16.jsonl '"op":"ffn_norm".*"f32":".......'
change traces/arch-llama.rejection.jsonl '"accepted":[0-9]'
finish
