#!/bin/sh
# bench.sh - `verbatim bench` and --offload as people run them.
. "$(dirname "$0")/lib.sh"
quick="--reps 1 --lengths 8 --at 8 -n 12 --bandwidth 10"

# shellcheck disable=SC2086
verbatim bench -m "$target" -md "$draft" $quick --gammas 2,4 --json
ok "bench --json" status_is 0
ok "one object on one line" [ "$(wc -l <"$work/out")" = 1 ]
for key in decode tokens_per_s bandwidth_share prompt cost cost_by_position v speculation memory bandwidth kernels; do
    ok "bench --json has $key" out_has "\"$key\":"
done
ok "c(1)/c(1) is 1" out_has '"cost":{"1":1.0,'
ok "16 tokens together" out_has '"16":'
ok "both draft lengths" out_has '"4":{"tokens_per_s"'
ok "speculation gives the same tokens" json_is identical true
ok "the bandwidth given is the one used" out_has '"bytes_per_s":10000000000.0'
ok "what it does is said" err_has "bench: 1 to 16 tokens together"
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick
ok "bench as a table" out_has "c(T)/c(1)"
ok "no draft, no speculation" [ "$(grep -c gamma "$work/out")" = 0 ]
# Each of these fields has one number, above 0 and below 1.
all_shares() {
    for key in "$@"; do
        sed -n "s/.*\"$key\":{\"[0-9]*\":\([0-9.e-]*\)[,}].*/\1/p" "$work/out" | awk '{ good = $1 > 0 && $1 < 1 } END { exit !(good && NR == 1) }' || return 1
    done
}
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick -t 2 --json
ok "how much of their time threads wait" all_shares waiting prompt_waiting
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick -t 1 --json
ok "one thread waits for nobody" out_has '"waiting":{"8":null}'
# shellcheck disable=SC2086
verbatim bench -m "$target" --draft ngram $quick --gammas 3
ok "bench with prompt lookup" out_has "gamma 3"
VERBATIM_CACHE=$work/cache
export VERBATIM_CACHE
# shellcheck disable=SC2086
verbatim bench -m "$target" -md "$draft" $quick --gammas 2,auto --json
ok "bench with gamma auto: the same tokens" json_is identical true
ok "its lengths are reported" out_has '"steps_by_length":['
ok "and the time to the first token" out_has '"first_token_s":'
ok "what passes cost is kept" [ "$(find "$work/cache" -name 'costs-*.json' | wc -l)" = 1 ]
# shellcheck disable=SC2086
verbatim bench -m "$target" -md "$draft" $quick --gammas auto
ok "as a table" out_has "gamma auto"
ok "and not measured again" [ "$(find "$work/cache" -name 'costs-*.json' | wc -l)" = 1 ]
if command -v python3 >/dev/null 2>&1; then
    python3 - "$work"/cache/costs-*.json <<'END'
import json, sys
costs = json.load(open(sys.argv[1]))
for key in ("target", "target_far"):
    costs[key][3:] = [1000 + 100 * x for x in costs[key][3:]]
json.dump(costs, open(sys.argv[1], "w"))
END
    # shellcheck disable=SC2086
    verbatim bench -m "$target" -md "$draft" $quick --gammas 2
    ok "kept costs that are far off are named" out_has "Kept for --gamma auto: c(4)/c(1)"
fi
verbatim bench -m "$target" -md "$draft" $quick --gammas 2,tree,2x2 --json
ok "bench with a tree: the same tokens" json_is identical true
ok "the tree has a row" out_has '"2x2"'
verbatim bench -m "$target" --draft ngram $quick --gammas 2x2
ok "a tree of copies" fails 2 "needs a draft model"
# Energy from counters in a folder of its own: a part of a package is not a package. Here nothing counts, so no joules are used.
mkdir -p "$work/power/intel-rapl:0" "$work/power/intel-rapl:0:0" "$work/power/intel-rapl:1" "$work/uncounted"
for p in intel-rapl:0 intel-rapl:0:0 intel-rapl:1; do
    echo 5000000 >"$work/power/$p/energy_uj"
    echo 262143328850 >"$work/power/$p/max_energy_range_uj"
done
VERBATIM_POWERCAP=$work/power
export VERBATIM_POWERCAP
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick --at 8,64 --json
ok "joules per token, behind each position" out_has '"joules_per_token":{"8":0.0,"64":0.0}'
ok "attention's share of the multipliers, of the second" out_has '"attention_share":{"64":'
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick --at 8,64
ok "as a table" out_has "J a token"
rm "$work/power/intel-rapl:1/energy_uj" "$work/power/intel-rapl:0/energy_uj"
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick
ok "counters that are not readable: said" out_has "Energy is not measured: its counters are readable for root only"
VERBATIM_POWERCAP=$work/uncounted
# shellcheck disable=SC2086
verbatim bench -m "$target" $quick --json
ok "no counters: null" out_has '"joules_per_token":{"8":null}'
unset VERBATIM_POWERCAP

verbatim bench -m "$target" --gammas 3,x
ok "a list with a word in it" fails 2 "--gammas"
verbatim bench -m "$target" --lengths 0
ok "a length of 0" fails 2 "--lengths"
verbatim bench
ok "bench without a model" fails 2 "-m"

verbatim run -m "$target" -p x --offload no-such-backend
ok "an unknown backend: where it was looked for" fails 1 "verbatim-no-such-backend.so"
verbatim run -m "$target" -p x --offload "$target"
ok "a backend that is no library" fails 1 "target.gguf"
verbatim run -m "$target" -p x --offload-width 4
ok "a width without a backend" fails 2 "--offload"
ids=$(seq 1 40 | paste -sd, -)
verbatim logits -m "$target" --tokens "$ids" --out "$work/none" --offload-width 4
ok "the same of logits" fails 2 "--offload"
ok "and nothing written" [ ! -e "$work/none" ]
good=$BUILD/tests/plugins/good.so
if [ -r "$good" ]; then
    verbatim run -m "$work/float.gguf" -p "Once upon" -n 20 --seed 1
    cp "$work/out" "$work/plain"
    verbatim run -m "$work/float.gguf" -p "Once upon" -n 20 --seed 1 --offload "$(cd "$(dirname "$good")" && pwd)/good.so"
    ok "a bitwise backend: the same text" same_files "$work/out" "$work/plain"
    ok "its class stands in the statistics" err_has "offload good, bitwise"
    verbatim logits -m "$work/float.gguf" --tokens "$ids" --out "$work/here"
    verbatim logits -m "$work/float.gguf" --tokens "$ids" --out "$work/there" --offload "$(cd "$(dirname "$good")" && pwd)/good.so"
    ok "a bitwise backend: the same logits" same_files "$work/here" "$work/there"
    ok "which it computed" err_has "offload good, bitwise: of "
else
    skip "a bitwise backend" "$good is not built"
fi
if [ -r "$BUILD/bin/verbatim-openblas.so" ]; then
    verbatim run -m "$target" -md "$draft" -p "Once upon" -n 30 --seed 1 --offload openblas --compare --json
    ok "openblas: speculation gives the target's tokens" json_is identical true
    ok "its class stands in the JSON" json_is class bounded
    verbatim logits -m "$target" --tokens "$ids" --offload openblas -b 16 --out "$work/here"
    verbatim logits -m "$target" --tokens "$ids" --offload openblas -b 33 --out "$work/there"
    ok "openblas: the same logits however the tokens are split" same_files "$work/here" "$work/there"
    verbatim run -m "$target" -md "$draft" -p x -n 4 --offload openblas --offload-width 0
    ok "openblas without a width: no drafts" fails 1 "width"
else
    skip "openblas" "$BUILD/bin/verbatim-openblas.so is not built: OpenBLAS is not installed"
fi
verbatim bench -m "$target" -md "$draft" --reps 1 -n 8 --lengths 4 --gammas 1,2 --at 8 --bandwidth 10
ok "bench ends with a verdict" grep -qE '^(Draft: --gamma|Do not draft with this pair here)' "$work/out"
verbatim doctor -m "$target" -md "$draft" --quick
ok "doctor says what to expect" out_has "of tested guesses right"
# A call that costs the same for 1, 2 and 3 tokens, and a draft of half a token: one draft pays from alpha = 1/2 on, two from
# alpha + alpha^2 = 1 on, n-grams always; half as fast again takes 1 + alpha = 2.25, which there is not.
pays=$(dirname "$0")/../../tools/pays python=$(command -v /usr/bin/python3 || command -v python3 || true)
if [ -n "$python" ]; then
    echo '{"cost":{"1":1,"2":1,"3":1},"seconds":{"1":0.25},"experts":null}' >"$work/flat.json"
    "$python" "$pays" "$work/flat.json" half=0.25 --scale 2 >"$work/pays" 2>&1
    ok "tools/pays: one draft" grep -qxF '| 2 | 1.00 | 0.00 / 0.50 | 0.50 / never |' "$work/pays"
    ok "tools/pays: two drafts" grep -qxF '| 3 | 1.00 | 0.00 / 0.37 | 0.62 / 1.00 |' "$work/pays"
    "$python" "$pays" "$work/flat.json" "own=$work/flat.json" >"$work/pays" 2>&1
    ok "tools/pays: a draft by its own file" grep -qF 'own, d 1.000' "$work/pays"
else
    skip "tools/pays" "no python3"
fi

finish
