#!/bin/sh
# names.sh - what people bring from other programs, misspell, or have in their environment without knowing.
. "$(dirname "$0")/lib.sh"

# answers WORDS TEXT: `verbatim WORDS` is a usage error that says TEXT and guesses nothing
answers() {
    # shellcheck disable=SC2086
    verbatim $1
    ok "$1" fails 2 "$2"
    ok "$1: no guess" test "$(grep -c 'did you mean' "$work/err")" = 0
}
for name in -ngl --n-gpu-layers --gpu-layers -ngld --tensor-split; do answers "run $name 99" "$name: not here: everything is computed on the CPU"; done
answers "chat --jinja" "--jinja: not needed"
answers "run --numa distribute" "taskset"
answers "run -fa on" "-fa: not needed"
answers "run --mlock" "--repack"
answers "run --no-mmap" "--repack"
answers "run -ub 512" "-b N"
answers "run --rope-alpha 2" "--rope-freq-base B"
answers "run --lora x" "merge adapters"
answers "run --mmproj x" "text only"
answers "run -hf a/b" "-m FILE"
answers "run --mirostat 2" "no function of the text so far"
answers "run --tfs 0.9" "--typical, --top-p, --min-p and XTC"
answers "run --samplers top_k" "in this order"
answers "run --ngram" "--draft ngram"
answers "serve --cont-batching" "not needed"
answers "serve --allowed-origins x" "--cors"
answers "serve --log-level debug" "-q"

# taken COMMAND "NAME VALUE" OURS: a name of another program's that means the same as ours is taken as it stands
taken() {
    # shellcheck disable=SC2086
    verbatim $1 ${2%% *} not-a-number
    ok "$1 $2 is taken" fails 2 "${2%% *} not-a-number: expected"
    printf '{"%s": "x"}' "$(printf '%s' "${2%% *}" | sed 's/^-*//; s/-/_/g')" >"$work/config.json"
    [ "$1" != serve ] || verbatim serve --config "$work/config.json" -m "$target"
    [ "$1" != serve ] || case $2 in -[!-]*) ;; *) ok "$2 as a key" fails 2 "expected" ;; esac
}
for option in --num-draft-tokens --n-draft --draft-max --gamma --spec-draft-n-max --num-speculative-tokens; do
    taken run "$option 3"
    taken serve "$option 3"
done
for option in --max-seq-len --max-model-len --n-ctx --num-ctx; do taken serve "$option 512"; done
taken serve "-np 4"
taken run "-ctk q8_0"
taken serve "--cache-type-v q8_0"
taken run "--spec-draft-type-k q8_0"
taken run "--ropefrequencybase 4"
taken run "--num-predict 4"
taken run "--rng-seed 4"
# One dash does for two, with the value behind a sign of equality, too.
verbatim run -model "$target" -prompt "Once upon a time" -n-predict 4 -n-draft 3 -threads 1 -ctx 64 -temperature=0 -seed=7
ok "one dash for two" status_is 0
one=$(cat "$work/out")
verbatim run --model "$target" --prompt "Once upon a time" --n-predict 4 --n-draft 3 --threads 1 --ctx 64 --temperature 0 --seed 7
ok "gives the same" test "$one" = "$(cat "$work/out")"
verbatim help coming-from
ok "docs/coming-from.md is the table" cmp -s "$work/out" docs/coming-from.md

# misspelt WORDS SUGGESTION; an empty one: none
misspelt() {
    # shellcheck disable=SC2086
    verbatim $1
    if [ -n "$2" ]; then
        ok "$1: did you mean $2?" fails 2 "did you mean $2?"
    else
        ok "$1: nothing is near" test "$rc$(grep -c 'did you mean' "$work/err")" = 20
    fi
}
misspelt "run --verb" --verbose
misspelt "run -modle x" --model
misspelt "run --temprature 1" --temperature
misspelt "run --modle x" --model
misspelt "serve --prot 1" --port
misspelt "run --xyz" ""
misspelt "run -x" ""
misspelt "run -cq" ""

# Keys of other programs' configuration files.
key() {
    printf '%s' "$1" >"$work/config.json"
    verbatim serve --config "$work/config.json" -m "$target"
    ok "the key in $1" fails 2 "$2"
}
key '{"draft_model_name": "x"}' '"draft_model_name": use -md FOLDER/NAME.gguf (the key "draft_model")'
key '{"ngram_decoding": true}' '--draft ngram'
key '{"max_seq_len": "many"}' '"max_seq_len": many: expected a whole number'
key '{"contextLength": "many"}' '"contextLength": many: expected a whole number'
key '{"cache_mode": "Q4"}' '--kv TYPE'
key '{"network": {"port": 1}}' 'a section'
key '{"draft_model": {"draft_model_name": "x"}}' '"draft_model" is a section'
key 'network: {port: 1}' 'not JSON; --config takes JSON (no YAML)'
key '{"port": "many"}' 'config.json: "port": many: expected a whole number'

# Variables: what a service of the same name puts there is no option; what the command line overrides is not judged.
with() { # with VARIABLE=VALUE... -- ARGS: the server's start, as far as an error that has nothing to do with it
    variables=
    while [ "$1" != -- ]; do
        variables="$variables $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    env $variables ${VB_RUNNER:-} "$BUILD/bin/verbatim" serve -m "$work/none.gguf" "$@" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
}
with VERBATIM_SERVICE_HOST=10.96.0.1 VERBATIM_SERVICE_PORT=8000 VERBATIM_SERVICE_PORT_HTTP=8000 VERBATIM_PORT=tcp://10.96.0.1:8000 \
    VERBATIM_PORT_8000_TCP=tcp://10.96.0.1:8000 VERBATIM_PORT_8000_TCP_PROTO=tcp VERBATIM_PORT_8000_TCP_PORT=8000 \
    VERBATIM_PORT_8000_TCP_ADDR=10.96.0.1 VERBATIM_PAGE_SERVICE_HOST=10.96.0.2 VERBATIM_PAGE_PORT=tcp://10.96.0.2:80 --
ok "variables of a Kubernetes service are no options" fails 1 "none.gguf: cannot open"
with VERBATIM_PORT=many --
ok "a bad variable is named as it stands" fails 2 "VERBATIM_PORT=many: expected a whole number"
with VERBATIM_PORT=many -- --port 0
ok "but not where the command line overrides it" fails 1 "none.gguf: cannot open"
with VERBATIM_PORT=many -- --name --port
ok "a value is no option" fails 2 "VERBATIM_PORT=many"
with VERBATIM_PORT_80_TPC=x --
ok "other variables are options that do not exist" fails 2 "VERBATIM_PORT_80_TPC"
with VERBATIM_N_GPU_LAYERS=99 --
ok "one of another program's names" fails 2 "VERBATIM_N_GPU_LAYERS: not here"
with VERBATIM_API_KEY= --
ok "an empty key protects nothing" fails 2 "VERBATIM_API_KEY"

# Ranges in messages are those that hold.
for range in "--temp 1000001|0 to 1e+06" "--repeat-penalty 0|0.001 to 1000" "--presence-penalty 2e6|-1e+06 to 1e+06" \
    "--top-p 0|more than 0, at most 1" "--seed -2|-1 to 9223372036854775807" "--gamma 33|1 to 32" "-b -1|0 to 4096"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -p x -n 1 ${range%%|*}
    ok "${range%%|*}" fails 2 "expected ${range##*|}"
done
for limit in "--temp 1000000" "--repeat-penalty 0.001" "--repeat-penalty 1000" "--presence-penalty -1000000" "--top-p 1e-300" \
    "--seed 9223372036854775807" "--gamma 32" "--top-k 1000000000" "--repeat-last-n 1000000000"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -p x -n 1 $limit
    ok "$limit" status_is 0
done
finish
