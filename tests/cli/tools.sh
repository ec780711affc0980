#!/bin/sh
# tools.sh - tokenize, logits, inspect, cpu, chat, the examples.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"
# verbatim with a standard input: pipe TEXT ARGS...
pipe() {
    text=$1
    shift
    # shellcheck disable=SC2059,SC2086
    printf "$text" | ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" >"$work/out" 2>"$work/err"
    rc=$?
}
size_of() { wc -c <"$1" | tr -d ' '; }

# tokenize
pipe "$P" tokenize -m "$target"
ok "tokenize prints ids" grep -qE '^[0-9]+( [0-9]+)*$' "$work/out"
ids=$(cat "$work/out")
pipe "$P" tokenize -m "$target" --ids
ok "--ids is the default" test "$(cat "$work/out")" = "$ids"
pipe "$P" tokenize -m "$target" --add-bos
ok "--add-bos puts 1 in front" test "$(cat "$work/out")" = "1 $ids"
pipe "$P" tokenize -m "$target" --pieces
ok "--pieces has a line per token" test "$(wc -l <"$work/out" | tr -d ' ')" = "$(echo "$ids" | wc -w | tr -d ' ')"
ok "--pieces shows text in quotes" grep -qE "^[0-9]+$(printf '\t')\".*\"$" "$work/out"
pipe "" tokenize -m "$target"
ok "nothing in, an empty line out" test "$(od -An -c "$work/out" | tr -d " ")" = "\n"
ok "and success" status_is 0
pipe 'a\000b\377\n' tokenize -m "$target" --pieces
ok "bytes are read exactly: NUL, 0xff, newline" test "$(grep -cE '^(3|258|13)'"$(printf '\t')" "$work/out")" = 3
pipe '<|im_start|>x' tokenize -m "$work/chat.gguf"
special=$(cat "$work/out")
pipe '<|im_start|>x' tokenize -m "$work/chat.gguf" --no-special
ok "--no-special: the name of a special token is text" test "$(wc -w <"$work/out")" -gt "$(echo "$special" | wc -w)"

# logits
verbatim inspect "$target" --json
ok "inspect --json succeeds" status_is 0
ok "inspect --json is one line" test "$(wc -l <"$work/out")" = 1
vocab=$(sed 's/.*"tokenizer.ggml.tokens":{"type":"array","of":"string","count":\([0-9]*\).*/\1/' "$work/out")
ok "the vocabulary is counted" test "$vocab" -gt 100
verbatim logits -m "$target" --tokens 1,2,3,4,5,6,7 --out "$work/a"
ok "logits succeeds" status_is 0
ok "positions x vocabulary x 4 bytes" test "$(size_of "$work/a")" = $((7 * vocab * 4))
for extra in "--batch 1" "--batch 2" "--batch 3" "--batch 7" "-t 1" "-t 2" "--kernels ref" "-c 64"; do
    # shellcheck disable=SC2086
    verbatim logits -m "$target" --tokens 1,2,3,4,5,6,7 --out "$work/b" $extra
    ok "the same bytes with $extra (P1)" same_files "$work/a" "$work/b"
done
verbatim logits -m "$target" --tokens 1,2,3,4,5,6,7 --activations q16 --kv f32 --out "$work/q"
ok "q16 differs from q8" test "$(cmp -s "$work/a" "$work/q"; echo $?)" = 1
verbatim logits -m "$target" --tokens 1,2,3,4,5,6,7 --oracle --out "$work/o"
ok "--oracle" status_is 0
ok "the oracle is as large" test "$(size_of "$work/o")" = "$(size_of "$work/a")"
printf '1 2 3\n4,5, 6\n7\n' >"$work/ids"
verbatim logits -m "$target" --tokens "@$work/ids" --out "$work/b"
ok "--tokens @FILE" same_files "$work/a" "$work/b"
verbatim logits -m "$target" --tokens 1,2,3,4,5,6,7 --out -
ok "--out - is standard output" same_files "$work/a" "$work/out"
verbatim logits -m "$target" --tokens 1,2,3 -c 2 --out "$work/b2"
ok "more tokens than -c" fails 1 "3 tokens do not fit"

# inspect
verbatim inspect "$target"
ok "inspect shows metadata" out_has "general.architecture"
ok "inspect shows tensors" out_has "token_embd.weight"
ok "inspect shows types" out_has "Q8_0"
ok "inspect shows memory" out_has "KV cache of 512 positions"
ok "long arrays are abbreviated" test "$(wc -c <"$work/out")" -lt 20000
verbatim inspect "$target" -c 1000
ok "inspect -c" out_has "KV cache of 1000 positions"
verbatim inspect "$target" -c 1000 --json
# 2 layers x 4 heads x 16 x (K and V) x 1000 positions x 2 bytes
ok "inspect --json: KV bytes" json_is f16 $((2 * 4 * 16 * 2 * 1000 * 2))
verbatim cpu
ok "cpu names the reference kernels" out_has " ref"
ok "cpu says what the CPU has" out_has "this CPU has:"
VERBATIM_KERNELS=ref verbatim cpu
ok "cpu knows VERBATIM_KERNELS" out_has "chosen by --kernels auto: ref"
VERBATIM_KERNELS=mmx verbatim cpu
ok "cpu refuses unknown kernels" fails 1 '"mmx"'

# chat
pipe 'hello\nthere\n/stats\n/quit\nnot read\n' chat -m "$work/chat.gguf" --seed 3 -n 12
ok "chat succeeds" status_is 0
ok "chat answers" test "$(wc -l <"$work/out")" -ge 2
ok "chat keeps the cache between turns" grep -qE '[1-9][0-9]* reused from the cache' "$work/err"
cp "$work/out" "$work/chat1"
pipe 'hello\nthere\n/quit\n' chat -m "$work/chat.gguf" --draft self --seed 3 -n 12
ok "chat with a draft says the same" same_files "$work/out" "$work/chat1"
pipe 'hello\n' chat -m "$work/chat.gguf" --seed 3 -n 12
first=$(cat "$work/out")
pipe 'hello\nthere\n/reset\nhello\n' chat -m "$work/chat.gguf" --seed 3 -n 12
ok "/reset forgets: the first answer again" test "$(printf '%s\n' "$first" | tail -1)" = "$(tail -1 "$work/out")"
pipe 'hello\n' chat -m "$work/chat.gguf" --seed 3 -n 12 --system "be brief"
ok "--system changes the answer" test "$(cat "$work/out")" != "$first"
pipe '/help\n/nonsense\n' chat -m "$work/chat.gguf" --seed 3
ok "/help" err_has "/reset"
ok "an unknown command is said" err_has "no such command: /nonsense"
pipe 'hello\n' chat -m "$target" --chat-template vicuna --seed 3 -n 4
ok "--chat-template" status_is 0
pipe 'hello\nhello hello hello hello\n' chat -m "$work/chat.gguf" --seed 3 -n 4 -c 40
ok "a conversation longer than the context" err_has "/reset"

# the examples
verbatim run -m "$target" -p "$P" -n 30 --temp 0 --ignore-eos
cp "$work/out" "$work/greedy"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/examples/greedy" "$target" "$P" 30 >"$work/out" 2>"$work/err"
rc=$?
ok "examples/greedy" status_is 0
if grep -q '</s>' "$work/greedy"; then skip "examples/greedy and run --temp 0" "the text ends early"
else ok "examples/greedy prints what run --temp 0 prints" same_files "$work/out" "$work/greedy"; fi
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/examples/load" "$target" "$P" >"$work/out" 2>"$work/err"
rc=$?
ok "examples/load" status_is 0
ok "examples/load prints log-probabilities" out_has "log p -"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/examples/speculate" "$target" "$draft" "$P" 30 >"$work/out" 2>"$work/err"
rc=$?
ok "examples/speculate" status_is 0
ok "examples/speculate saves target calls" grep -qE '^30 tokens in ([1-9]|1[0-9]|2[0-9]) target calls' "$work/out"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/examples/load" "$work/none" x >"$work/out" 2>"$work/err"
rc=$?
ok "an example names a missing file" fails 1 "none"
finish
