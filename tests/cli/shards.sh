#!/bin/sh
# shards.sh - work in parts: what all parts give together is what one run gives (examples/cluster, docs/vectors.md).
. "$(dirname "$0")/lib.sh"
if [ -n "${VB_RUNNER:-}" ]; then # the examples run the program themselves
    skip "work in parts" "under an emulator"
    finish
fi
VERBATIM=$BUILD/bin/verbatim
export VERBATIM
cluster=examples/cluster

# record: the parts one after the other are the file, byte for byte
cat >"$work/prompts" <<'END'
{"prompts":"four"}
{"tokens":[1,290,372]}
{"text":"Once upon a time"}
{"tokens":[1,17,5,256,311]}
{"text":"Hello"}
END
printf '{"texts":"t"}\n{"text":"one"}\n{"text":"two words"}\n{"text":"3"}\n' >"$work/texts"
whole=$work/whole parts=$work/parts
verbatim record -m "$target" --prompts "$work/prompts" --texts "$work/texts" -n 3 --name t --out "$whole"
ok "record --prompts" status_is 0
mkdir -p "$parts"
for i in 1 2 3; do
    SLURM_ARRAY_TASK_ID=$i SLURM_ARRAY_TASK_COUNT=3 "$cluster/record.sbatch" "$target" "$work/prompts" "$parts" --texts "$work/texts" \
        -n 3 --name t >"$work/out" 2>"$work/err"
    rc=$?
    ok "record.sbatch, part $i" status_is 0
done
for f in recordings/t.q8.jsonl recordings/t.q16.jsonl tokens/t.jsonl; do
    cat "$parts/$f".*-of-3 >"$work/joined"
    ok "the parts of $f are the whole" same_files "$work/joined" "$whole/$f"
done
verbatim record -m "$target" --tokens 1,290 -n 2 --out "$parts" --shard 1/2
ok "more parts than prompts" fails 1 "2 parts of 1 prompts"
verbatim record -m "$target" --tokens 1,290 -n 2 --out "$parts" --shard 3/2
ok "a part beyond the last" fails 2 "expected I/N"
verbatim record --out "$parts" --shard 1/2
ok "the formats are not split" fails 2 "give -m FILE"
printf '{"tokens":[1,2]}\n{"tokens":[1,-2]}\n' >"$work/bad"
verbatim record -m "$target" --prompts "$work/bad" --out "$parts"
ok "a malformed prompt is named" fails 1 "line 2: a token id"

# check; with GNU parallel where there is one
scheduler='xargs'
if parallel --version 2>/dev/null </dev/null | grep -q '^GNU'; then scheduler='parallel'; fi
verbatim record --manifest --out "$whole"
WITH=xargs "$cluster/parallel.sh" 3 "$work/x" check "$whole" >"$work/xargs" 2>"$work/err"
rc=$?
ok "parallel.sh check, under xargs" status_is 0
if [ $scheduler = parallel ]; then
    PARALLEL_OPTIONS='-S : --wd .' "$cluster/parallel.sh" 3 "$work/c" check "$whole" >"$work/out" 2>"$work/err"
    rc=$?
    ok "parallel.sh check, under GNU parallel" status_is 0
    sed 's/; [0-9.]* s$//' "$work/xargs" >"$work/one"
    sed 's/; [0-9.]* s$//' "$work/out" >"$work/three"
    ok "and the parts say the same" same_files "$work/one" "$work/three"
else
    skip "parallel.sh check, under GNU parallel" "no GNU parallel here"
    "$cluster/parallel.sh" 3 "$work/c" check "$whole" >"$work/out" 2>"$work/err"
    rc=$?
    ok "parallel.sh check, whatever there is" status_is 0
fi
ok "the parts made everything again" out_has "0 failed"
verbatim check "$whole" --json
files=$(json files) configurations=$(json configurations)
verbatim check --merge "$work"/c/*.json --json
ok "as many files as in one run" json_is files "$files"
ok "made again as often" json_is configurations "$configurations"
verbatim check --merge "$work/c/000001.json" "$work/c/000003.json"
ok "a missing part" fails 1 "part 2/3 is missing"
verbatim check --merge "$work/c/000001.json" --merge "$work/c/000001.json"
ok "a part twice" fails 1 "is there twice"
printf 'x' >>"$whole/recordings/t.q8.jsonl"
"$cluster/parallel.sh" 2 "$work/c" check "$whole" >"$work/out" 2>"$work/err"
rc=$?
ok "a damaged file fails the whole" status_is 1
ok "once, though both parts saw it" out_has "1 failed"

# prove: the same numbers
common="--temp 1 --top-k 6 --top-p 1 --min-p 0 --samples 300 -c 64"
# shellcheck disable=SC2086
verbatim prove -m "$target" -md "$draft" $common --accept block -t 1 --json
sed -n 's/.*\("stages":.*\),"seconds".*/\1/p' "$work/out" >"$work/one"
for i in 1 2 3; do
    # shellcheck disable=SC2086
    SLURM_ARRAY_TASK_ID=$i SLURM_ARRAY_TASK_COUNT=3 "$cluster/prove.sbatch" "$target" "$draft" "$work/p" $common --accept block \
        >"$work/out" 2>"$work/err"
    rc=$?
    ok "prove.sbatch, part $i" status_is 0
done
verbatim prove --merge "$work"/p/*.json --json
ok "the parts pass together" status_is 0
sed -n 's/.*\("stages":.*\),"seconds".*/\1/p' "$work/out" >"$work/three"
ok "chi-square, p-values and checks as in one run, digit for digit" same_files "$work/one" "$work/three"
verbatim prove --merge "$work"/p/*.json
ok "and in words" out_has "3 parts;"
for with in xargs parallel; do
    if [ $with = parallel ] && [ $scheduler != parallel ]; then
        skip "parallel.sh prove, under GNU parallel" "no GNU parallel here"
        continue
    fi
    # shellcheck disable=SC2086
    WITH=$with "$cluster/parallel.sh" 3 "$work/$with.p" prove -m "$target" -md "$draft" $common -t 1 --accept block >"$work/out" 2>"$work/err"
    rc=$?
    ok "parallel.sh prove, under $with" status_is 0
    verbatim prove --merge "$work/$with.p"/*.json --json
    sed -n 's/.*\("stages":.*\),"seconds".*/\1/p' "$work/out" >"$work/three"
    ok "and the same numbers, digit for digit" same_files "$work/one" "$work/three"
done
# shellcheck disable=SC2086
"$cluster/parallel.sh" 2 "$work/w" prove -m "$target" -md "$draft" $common -t 1 --accept row-shift >"$work/out" 2>"$work/err"
rc=$?
ok "a wrong rule fails in parts too" status_is 1
ok "and it says so" out_has "FAIL: this is not the target's law"
verbatim prove --merge "$work/w/000001.json" "$work/p/000002.json"
ok "parts of other runs" fails 1 "one of"
sed 's/"seen":\[0/"seen":[-1/;s/"seen":\[\([1-9]\)/"seen":[-\1/' "$work/w/000001.json" >"$work/w/changed"
verbatim prove --merge "$work/w/changed" "$work/w/000002.json"
ok "a malformed part is named" fails 1 "part 1:"
verbatim prove -m "$target" -md "$draft" --shard 1/2
ok "a part needs --json" fails 2 "print it with --json"
verbatim prove -m "$target" --samples "$work/texts" --shard 1/2 --json
ok "a file of samples is not split" fails 2 "not a file"
finish
