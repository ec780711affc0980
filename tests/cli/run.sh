#!/bin/sh
# run.sh - `verbatim run`: promises P2 and P5 as a user sees them, the JSON object, prompts, limits.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"
keep() { cp "$work/out" "$work/$1"; } # for a later comparison

# The JSON object has every field that scripts rely on.
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --json
ok "run --json succeeds" status_is 0
ok "it is one line" test "$(wc -l <"$work/out")" = 1
for k in text tokens from_draft logprobs reason seed stats drafted tested accepted acceptance alpha \
    acceptance_by_position mean_accepted target_calls tokens_per_s seconds prompt draft verify sample model draft_model \
    kernels; do
    ok "the object has $k" out_has "\"$k\":"
done
ok "24 tokens" test "$(json_count tokens)" = 24
ok "as many log-probabilities" test "$(json_count logprobs)" = 24
ok "as many origins" test "$(json_count from_draft)" = 24
ok "the reason is length" json_is reason length
ok "the seed is reported" json_is seed 5
ok "some drafts were accepted" json_more accepted 0
ok "accepted <= tested" json_less accepted "$(($(json tested) + 1))"
ok "tested <= drafted" json_less tested "$(($(json drafted) + 1))"
ok "fewer target calls than tokens" json_less target_calls 24
ok "the accepted drafts are the tokens from the draft" test "$(json accepted)" = "$(json from_draft | tr ',' '\n' | grep -c true)"
tokens=$(json tokens) logprobs=$(json logprobs) text=$(json text)

# P2: the same seed, the same tokens, whoever drafts, however far.
verbatim run -m "$target" -p "$P" -n 24 --seed 5 --json
ok "the target alone writes the same tokens" json_is tokens "$tokens"
ok "with the same log-probabilities (P5)" json_is logprobs "$logprobs"
ok "and the same text" json_is text "$text"
printf 'a text that repeats itself and a text that repeats itself' >"$work/book.txt"
for d in "-md $draft" "--draft self" "--draft ngram" "--draft suffix" "-md $draft --draft-suffix 1" \
    "--draft suffix --draft-suffix 1 --ngram-corpus $work/book.txt" \
    "-md $draft --draft-vocab 100 --draft-vocab-from $work/book.txt"; do
    for g in 1 3 8 32; do
        # shellcheck disable=SC2086
        verbatim run -m "$target" $d -p "$P" -n 24 --seed 5 --gamma $g --json
        ok "the same tokens with $(echo "$d" | sed 's|/.*/||') --gamma $g" json_is tokens "$tokens"
    done
done
# --tree: the same tokens; the trace is derived again; what is refused.
for t in 2 3,2,1 1,2,2; do
    for d in "-md $draft" "--draft self"; do
        verbatim run -m "$target" $d -p "$P" -n 24 --seed 5 --tree $t --json
        ok "the same tokens with $(echo "$d" | sed 's|/.*/||') --tree $t" json_is tokens "$tokens"
    done
    for rule in coupled rejection; do
        verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --tree $t --accept $rule --trace-full --trace "$work/tree.trace"
        verbatim trace-check "$work/tree.trace"
        ok "$rule: the trace of --tree $t follows" status_is 0
    done
done
verbatim run -m "$target" -md "$draft" -p "$P" -n 8 --tree 3,2 --json
ok "the object says the tree" json_is tree 3,2
verbatim run -m "$target" -md "$draft" -p "$P" -n 8 --tree 3,2 --verbose
ok "drafts name what they follow" err_has "(after -1)"
for rule in coupled rejection; do
    verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --tree auto --accept $rule --trace-full --trace "$work/tree.trace"
    verbatim trace-check "$work/tree.trace"
    ok "$rule: the trace of --tree auto follows" status_is 0
done
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --tree auto --json
ok "the same tokens with --tree auto" json_is tokens "$tokens"
ok "lengths are chosen, too" json_is gamma auto
verbatim run -m "$target" -md "$draft" -p x --tree auto --gamma 3
ok "--tree auto with --gamma 3" fails 2 "a size of its own"
verbatim run -m "$target" --draft ngram -p x --tree 2
ok "--tree without a draft model" fails 2 "needs a draft model"
verbatim run -m "$target" -md "$draft" -p x --tree 2 --accept block
ok "--tree with block" fails 2 "judges chains"
verbatim run -m "$target" -md "$draft" -p x --tree 2 --gamma 3
ok "--tree with --gamma" fails 2 "a size of its own"
verbatim run -m "$target" -md "$draft" -p x --tree 8,8
ok "--tree of 72 tokens" fails 2 "more than 32"

# --gamma auto: lengths by what passes cost, kept in a file.
for d in "-md $draft" "--draft self" "--draft ngram" "--draft suffix" "-md $draft --draft-suffix 1"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" $d -p "$P" -n 24 --seed 5 --gamma auto --json
    ok "the same tokens with $(echo "$d" | sed 's|/.*/||') --gamma auto" json_is tokens "$tokens"
done
ok "the object says auto" json_is gamma auto
cat >"$work/costs.json" <<'END'
{"verbatim": "costs", "version": 1, "far": 100, "draft": [100, 110], "draft_read": 20, "token_s": 0.1,
 "target": [1000,1010,1020,1030,1200,1300,1400,1500,1600,1700,1800,1900,2000,2100,2200,2300],
 "target_far": [1010,1030,1050,1070,1250,1360,1470,1580,1690,1800,1910,2020,2130,2240,2350,2460]}
END
for rule in rejection block; do
    auto="-m $target -md $draft -n 40 --seed 5 --gamma auto --accept $rule --costs $work/costs.json"
    # shellcheck disable=SC2086
    verbatim run $auto -p "$P" --gamma-trace "$work/$rule.lengths" --trace-full --trace "$work/$rule.trace" --json
    ok "$rule: gamma auto" status_is 0
    own=$(json tokens) lengths=$(json lengths)
    ok "$rule: several lengths" test "$(json lengths | tr -d '[] ' | tr ',' '\n' | sort -u | wc -l)" -ge 2
    # shellcheck disable=SC2086
    verbatim run $auto -p "$P" --json -t 1 --batch 3
    ok "$rule: the same costs, the same tokens" json_is tokens "$own"
    ok "$rule: and the same lengths" json_is lengths "$lengths"
    # shellcheck disable=SC2086
    verbatim run $auto -p "$P" --gamma-trace "$work/$rule.lengths" --gamma 32 --json
    ok "$rule: lengths of a file, whatever --gamma says" json_is tokens "$own"
    ok "$rule: these lengths" json_is lengths "$lengths"
    ok "$rule: it says where they come from" err_has "lengths of"
    verbatim trace-check "$work/$rule.trace"
    ok "$rule: every decision can be derived again" status_is 0
done
echo '{"verbatim": "costs", "version": 1, "far": 0}' >"$work/bad.json"
verbatim run -m "$target" -md "$draft" -p x -n 4 --gamma auto --costs "$work/bad.json"
ok "a file of costs that lacks a field" fails 1 "target"
echo '{"verbatim": "gamma-trace", "version": 1, "lengths": [33]}' >"$work/bad.json"
verbatim run -m "$target" -md "$draft" -p x -n 4 --gamma-trace "$work/bad.json"
ok "a length that cannot be" fails 1 "lengths[0]"
verbatim run -m "$target" -md "$draft" -p x -n 4 --gamma many
ok "gamma: a number or auto" fails 2 "or auto"
verbatim run -m "$target" --draft self -p "$P" -n 24 --seed 5 --json
ok "self drafting accepts everything" test "$(json accepted)" = "$(json drafted)"
ok "alpha is 1" json_is alpha 1.0

verbatim run -m "$target" -p "$P" -n 24 --temp 0 --json
greedy=$(json tokens)
for rule in coupled greedy rejection block; do
    for d in "-md $draft" "--draft ngram" "--draft suffix" "-md $draft --draft-suffix 1"; do
        # shellcheck disable=SC2086
        verbatim run -m "$target" $d -p "$P" -n 24 --temp 0 --accept $rule --gamma 4 --json
        ok "temperature 0, --accept $rule $(echo "$d" | sed 's|/.*/||'): the greedy tokens" json_is tokens "$greedy"
    done
done
for extra in "--top-k 5 --temp 1.5" "--top-p 0.5 --min-p 0" "--repeat-penalty 1.3 --presence-penalty 0.5 --frequency-penalty 0.5" \
    "--logit-bias 300=4 --logit-bias 301=-inf" "--activations q16 --kv f32" "--kernels ref" "-t 1" "-t 2" "--batch 3"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -p "$P" -n 16 --seed 9 $extra --json
    alone=$(json tokens)
    # shellcheck disable=SC2086
    verbatim run -m "$target" -md "$draft" -p "$P" -n 16 --seed 9 $extra --json
    ok "with and without a draft: $extra" json_is tokens "$alone"
done
verbatim run -m "$target" -p "$P" -n 24 --seed 6 --json
ok "another seed, another text" test "$(json tokens)" != "$tokens"
verbatim run -m "$target" -p "$P" -n 4 --json
first=$(json seed)
verbatim run -m "$target" -p "$P" -n 4 --json
ok "random seeds differ" test "$(json seed)" != "$first"

# The aliases that other programs use mean the same.
verbatim run --model "$target" --draft-model "$draft" --prompt "$P" --n-predict 24 --num-draft-tokens 3 --seed 5 --json
ok "long names" json_is tokens "$tokens"
verbatim run -m "$target" --model-draft="$draft" -p "$P" --predict=24 --draft-max=3 --temperature=0.8 --ctx-size=128 \
    --threads=1 --seed=5 --json
ok "aliases with =" json_is tokens "$tokens"
ok "gamma was understood" json_is gamma 3
verbatim run -m "$target" -p "$P" -n 24 --n-draft 7 --draft none --ctx 128 --seed 5 --json
ok "--draft none, --n-draft" json_is tokens "$tokens"

# Text, statistics, comparison.
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5
ok "text on standard output" test -s "$work/out"
ok "no prompt in it" test "$(head -c 16 "$work/out")" != "$P"
ok "no colours in a pipe" test "$(tr -d '\033' <"$work/out" | wc -c)" = "$(wc -c <"$work/out")"
ok "statistics on standard error" err_has "alpha"
ok "acceptance first, in per cent" grep -qE '^acceptance [0-9.]+ %: drafted ' "$work/err"
ok "the seed among them" err_has "seed 5"
keep plain
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --verbose
ok "--verbose keeps standard output" same_files "$work/out" "$work/plain"
for tag in DRAFT VERIFY ACCEPT REJECT; do ok "--verbose has [$tag] lines" err_has "[$tag]"; done
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --color always
ok "--color always: green" grep -q "$(printf '\033')\\[32m" "$work/out"
ok "--color always: struck out" grep -q "$(printf '\033')\\[9;31m" "$work/out"
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --compare
ok "--compare succeeds" status_is 0
ok "--compare says that the tokens are identical" err_has "identical tokens: yes (24 of 24)"
ok "--compare says the speed-up" err_has "speed-up"
ok "and what follows from it" grep -qE '^drafting (pays here|does not pay here|makes no difference here)' "$work/err"
ok "--compare leaves standard output alone" same_files "$work/out" "$work/plain"
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --compare --accept block --temp 1.5 --top-k 0 --top-p 1 --min-p 0
ok "--compare under block succeeds" status_is 0
ok "--compare under block promises the law only" err_has "identical tokens"
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --compare --json
ok "--compare --json" json_is identical true

# Traces.
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --trace "$work/trace"
ok "--trace succeeds" status_is 0
ok "--trace changes nothing" same_files "$work/out" "$work/plain"
ok "a trace is lines of JSON objects" test "$(grep -c '^{.*}$' "$work/trace")" = "$(wc -l <"$work/trace" | tr -d ' ')"
ok "several of them" test "$(wc -l <"$work/trace")" -gt 4
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --trace "$work/trace2" -t 2 --batch 3
ok "the same generation, the same bytes" same_files "$work/trace" "$work/trace2"
verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --trace "$work/full" --trace-full
ok "--trace-full holds more" test "$(wc -c <"$work/full")" -gt $(($(wc -c <"$work/trace") + 1000))
ok "no partial file stays" test "$(ls "$work" | grep -c partial)" = 0

# Prompts.
printf '%s' "$P" >"$work/prompt"
verbatim run -m "$target" -f "$work/prompt" -n 24 --seed 5
ok "-f reads the same prompt" same_files "$work/out" "$work/plain"
# shellcheck disable=SC2086
printf '%s' "$P" | ${VB_RUNNER:-} "$BUILD/bin/verbatim" run -m "$target" -f - -n 24 --seed 5 >"$work/out" 2>"$work/err"
rc=$?
ok "-f - reads standard input" same_files "$work/out" "$work/plain"
verbatim run -m "$target" -p "" -n 4 --json
ok "an empty prompt starts from BOS" status_is 0
verbatim run -m "$work/chat.gguf" -p "" -n 4
ok "an empty prompt without BOS" fails 1 "the prompt is empty"
verbatim run -m "$target" -p "$P" -n 0 --json
ok "-n 0 generates nothing" json_is tokens "[]"
verbatim run -m "$target" -p "$P $P $P $P" -c 16
ok "a prompt longer than the context" fails 1 "the context holds 16 positions"
verbatim run -m "$target" -md "$draft" -p "$P" -c 24 -n -1 --ignore-eos --seed 5 --json
ok "a full context ends with reason length" json_is reason length
ok "with some tokens" json_more prompt_tokens 0
full=$(json tokens)
verbatim run -m "$target" -p "$P" -c 24 -n -1 --ignore-eos --seed 5 --json
ok "the same tokens as the target alone up to the end" json_is tokens "$full"
verbatim run -m "$target" -md "$work/short.gguf" -p "$P" -n 100 --ignore-eos --seed 5 --json
ok "a draft with a shorter context stops drafting" test "$(json_count tokens)" = 100
short=$(json tokens)
verbatim run -m "$target" -p "$P" -n 100 --ignore-eos --seed 5 --json
ok "and changes nothing" json_is tokens "$short"
finish
