#!/bin/sh
# usage.sh - the command line itself: help, versions, usage errors and their exit status 2.
. "$(dirname "$0")/lib.sh"

verbatim --version
ok "--version prints one line" grep -qE '^verbatim [0-9]+\.[0-9]+\.[0-9]+$' "$work/out"
ok "--version succeeds" status_is 0
verbatim --help
ok "--help lists the commands" out_has "tokenize"
ok "--help succeeds" status_is 0
verbatim
ok "no command is a usage error" fails 2 "usage: verbatim"
for c in run chat serve tokenize render logits inspect doctor quantize prove trace-check check compare record bench cpu; do
    verbatim $c --help
    ok "$c --help" status_is 0
    ok "$c --help says how it is used" out_has "usage: verbatim $c"
    ok "$c --help: every option stands in a group (cli/help.c)" test "$(grep -c '^Others:' "$work/out")" = 0
done
verbatim run --help
ok "what most people need comes first" test "$(grep -n '^What most people need:' "$work/out" | cut -d: -f1)" = 5
verbatim help stats
ok "help stats" status_is 0
for word in alpha acceptance coupled residual 'c(T)' 'v(T)' TV; do ok "help stats explains $word" out_has "  $word"; done
verbatim help statistics
ok "no such topic" fails 2 "unknown command"
verbatim inspect "$target" --short
ok "inspect --short leaves the tables out" test "$(grep -c 'token_embd\|general\.' "$work/out")" = 0
ok "and says what kind of model it is" out_has "parameters"
verbatim run --help
for o in --model -md --draft --prompt --file --n-predict --gamma --accept --temp --top-k --top-p --min-p \
    --repeat-penalty --presence-penalty --frequency-penalty --repeat-last-n --logit-bias --seed --ctx --threads \
    --activations --kv --kernels --json --trace --trace-full --compare --verbose --color; do
    ok "run --help documents $o" out_has " $o"
done

verbatim frobnicate
ok "an unknown command" fails 2 'unknown command "frobnicate"'
verbatim rum
ok "a misspelt command is suggested" fails 2 "did you mean run?"
verbatim -m x -p y
ok "options without a command" fails 2 "a command comes first"
# shellcheck disable=SC2086
for c in $(${VB_RUNNER:-} "$BUILD/bin/verbatim" --help | sed -n 's/^  \([a-z-]*\)  *[A-Z].*/\1/p'); do
    ok "which lists $c" grep -q "[ :]$c[,; ]" "$work/err"
done
verbatim run --gama 3
ok "a misspelt option is suggested" fails 2 "did you mean --gamma?"
verbatim run --frobnicate
ok "an unknown option" fails 2 "unknown option --frobnicate"
verbatim run --oracle
ok "an option of another command" fails 2 "--oracle is not an option of \`verbatim run\`"
verbatim run -m
ok "a missing value" fails 2 "-m needs a value"
verbatim run -m "$target" -p x extra
ok "a stray argument" fails 2 'unexpected argument "extra"'
verbatim run model.gguf -p x
ok "a model without -m" fails 2 'a model is given with -m'
verbatim model.gguf -p x
ok "a model without a command" fails 2 'verbatim run -m model.gguf'
verbatim run -p x
ok "no model" fails 2 "-m FILE"
verbatim run -m "$target"
ok "no prompt" fails 2 "give -p TEXT or -f FILE"
verbatim run -m "$target" -p x -f y
ok "two prompts" fails 2 "-p and -f"
verbatim run -m "$target" -p x -n ten
ok "not a number" fails 2 "expected a whole number"
verbatim run -m "$target" -p x --gamma 0
ok "gamma 0" fails 2 "expected 1 to 32"
verbatim run -m "$target" -p x --gamma 33
ok "gamma 33" fails 2 "expected 1 to 32"
verbatim run -m "$target" -p x --top-p 1.5
ok "top-p above 1" fails 2 "expected more than 0, at most 1"
verbatim run -m "$target" -p x --temp nan
ok "a temperature that is no number" fails 2 "--temp nan"
verbatim run -m "$target" -p x --temp -1
ok "a negative temperature" fails 2 "--temp -1"
verbatim run -m "$target" -p x --repeat-penalty 0
ok "a repeat penalty of 0" status_is 2
verbatim run -m "$target" -p x --accept maybe
ok "an unknown rule lists the known ones" fails 2 "coupled, greedy, rejection, block"
verbatim run -m "$target" -p x --accept greedy
ok "greedy at the default temperature" fails 2 "--temp 0"
verbatim run -m "$target" -p x --accept greedy --temp 0.5
ok "greedy at a temperature" fails 2 "temperature is 0.5"
verbatim run -m "$target" -p x --draft 16
ok "a number for --draft points to --gamma" fails 2 "--gamma 16"
verbatim run -m "$target" -p x --draft self -md "$draft"
ok "two drafters" fails 2 "leave one out"
verbatim run -m "$target" -p x --draft model
ok "--draft model without a model" fails 2 "-md FILE"
verbatim run -m "$target" -p x --trace-full
ok "--trace-full without a trace" fails 2 "add --trace FILE"
verbatim run -m "$target" -p x --logit-bias 5
ok "a logit bias without a value" fails 2 "ID=BIAS"
verbatim run -m "$target" -p x --logit-bias 99999999=1
ok "a logit bias outside the vocabulary" status_is 2
verbatim run -m "$target" -p x --json=yes
ok "a flag with a value" fails 2 "takes no value"
verbatim run -m "$target" -p x --seed -2
ok "a seed below -1" fails 2 "--seed -2"
verbatim logits -m "$target" --tokens 1,2
ok "logits without an output" fails 2 "--out FILE"
verbatim logits -m "$target" --tokens 1,x --out "$work/l"
ok "token ids that are none" fails 2 'at "x"'
ok "and no output file" test ! -e "$work/l"
verbatim inspect
ok "inspect without a file" fails 2 "verbatim inspect FILE"
verbatim doctor
ok "doctor without a model" fails 2 "TARGET [DRAFT]"
verbatim tokenize -m "$target" --ids --pieces
ok "two formats" fails 2 "exclude each other"
verbatim chat -m "$work/chat.gguf" --chat-template nope
ok "an unknown chat template lists the known ones" fails 2 "chatml"
for out in "" -; do
    verbatim quantize "$work/float.gguf" "$out" Q8_0
    ok "quantize into \"$out\", which is no file" fails 2 "name one"
done
ok "and no file of that name" test ! -e -
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$work/chat.gguf" <"$work" >"$work/out" 2>"$work/err"
rc=$?
ok "a conversation that cannot be read" fails 1 "cannot read standard input"
# shellcheck disable=SC2086
VERBATIM_HELP=1 ${VB_RUNNER:-} "$BUILD/bin/verbatim" serve -m "$work/none" --port 0 >"$work/out" 2>"$work/err" </dev/null
rc=$?
ok "help is no variable of the server" fails 2 VERBATIM_HELP
for o in "--cors app.example" "--cors https://app.example/" "--cors ://x" "--allow-host x.example:8000" \
    "--allow-host http://x.example"; do
    # shellcheck disable=SC2086
    verbatim serve -m "$work/none" $o
    ok "serve $o, which no request has" fails 2 "$o: expected"
done
verbatim serve -m "$work/none" --allow-host ""
ok "serve with an empty --allow-host" fails 2 "--allow-host : expected"
finish
