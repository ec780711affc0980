#!/bin/sh
# endpoint.sh - prove --endpoint, against a small server that samples rightly or makes the mistakes that servers make.
. "$(dirname "$0")/lib.sh"
server=$BUILD/tests/tools/endpoint
pid=
stop_server() {
    [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    pid=
}
trap 'stop_server; rm -rf "$work"' EXIT

# start MODE: a server; its URL in $url
start() {
    stop_server
    : >"$work/port"
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$server" "$target" "$draft" "$1" >"$work/port" 2>"$work/server.err" </dev/null &
    pid=$!
    tries=0
    while [ ! -s "$work/port" ] && [ $tries -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    url=http://127.0.0.1:$(cat "$work/port")/v1
}
# judge ARGS...: with few samples of a short vocabulary
judge() {
    verbatim prove -m "$target" -p Hello --top-k 6 --samples 400 --repeats 40 -t 1 -c 64 --endpoint "$url" "$@"
}

verbatim prove -m "$target" --endpoint http://127.0.0.1:9/v1
if grep -q "no HTTP client" "$work/err"; then
    skip "prove --endpoint" "this build has no libcurl"
    finish
fi
ok "nobody there: the URL is named" fails 1 "http://127.0.0.1:9/v1/models: nobody answers there"
verbatim prove -m "$target" --endpoint 127.0.0.1:9
ok "no URL" fails 1 "expected a URL such as http://"
verbatim prove -m "$target" --endpoint http://127.0.0.1:9/v1 -md "$draft"
ok "a draft of ours with an endpoint" fails 2 "the server's own business"
verbatim prove -m "$target" --connections 3
ok "connections to nowhere" fails 2 "add --endpoint"
verbatim prove -m "$target" --endpoint http://127.0.0.1:9/v1 --samples "$target"
ok "samples of a file with an endpoint" fails 2 "the number of completions"
verbatim prove -m "$target" --endpoint http://127.0.0.1:9/v1 --model-name x --request '[1]'
ok "--request that is no object" fails 1 "--request: expected a JSON object"

start right
judge --logprob-tolerance 0
ok "a right server passes" status_is 0
ok "and it says so" out_has "PASS: nothing speaks against the target's law"
ok "the model's name was asked for" out_has "model tiny, 4 connections"
ok "all were asked for: 400, and 40 again" out_has "440 answers"
ok "the same seed gives the same" out_has "same seed, same completion: 0 of 40 differ"
ok "log-probabilities bit for bit" out_has "bit for bit those of the target alone (P5): 0 of"
ok "what the server drafted" out_has "drafted "
judge --json --connections 1 --model-name tiny --request-alone '{"gamma":0}'
ok "--json" out_has '"endpoint":{"url":"http://127.0.0.1'
ok "the path without speculation is compared" out_has '"paths":40,"path_differs":0'
judge --temp 0.7
ok "another temperature is asked for, and passes" status_is 0
spm=$target bpe=$work/chat.gguf
start text
judge
ok "tokens known by their text" out_has "told by a text that a byte's id has too"
target=$bpe draft=$bpe
start text
judge
ok "where texts are clear it passes" status_is 0
start content
judge
ok "the form with content and bytes" status_is 0
target=$spm draft=$work/draft.gguf
start busy
judge
ok "a server without room is asked again" status_is 0
ok "which is said" out_has "some after HTTP status 429 or 503"
start biased
judge
ok "a biased server fails" status_is 1
ok "with what is most wrong" out_has "FAIL: this is not the target's law"
start zero
judge
ok "log-probabilities of 0" status_is 1
ok "they are what is wrong" out_has "FAIL: a check above shows differences"
start seedless
judge
ok "a server that forgets the seed" status_is 1
ok "the law is right, the repetition is not" grep -qE 'same completion: (3.|40) of 40 differ' "$work/out"
judge --repeats 0
ok "which --repeats 0 leaves out" status_is 0

start drop
judge
ok "a dropped connection" fails 1 "/v1/completions: the connection ended before the answer was complete"
start cut
judge
ok "an answer that is cut off" fails 1 "/v1/completions: the connection ended before the answer was complete"
start json
judge
ok "half a JSON" fails 1 "/v1/completions: the answer of"
ok "with the place" err_has "is no JSON:"
start field
judge
ok "a field of the wrong kind is named" fails 1 "choices[0].logprobs.token_logprobs[1]: expected a number"
start status
judge
ok "an HTTP status, with the server's words" fails 1 "HTTP status 400: top_k is not known here"
start short
judge
ok "too few tokens" fails 1 'choices[0]: 1 tokens with finish_reason length, and 5 were asked for'
start hang
judge --timeout 0.3
ok "no answer in time" fails 1 "no complete answer within 0.3 s"
stop_server
# Our own server, with a model whose texts hold every byte, NUL too.
seeded=vectors/models/seeded/arch-llama.gguf
if start_server -m $seeded; then
    pid=$server
    verbatim prove -m $seeded --endpoint "$url/v1" --model-name arch-llama:off --samples 100 --repeats 20 -p abc
    ok "verbatim serve, with a NUL in its texts" status_is 0
    verbatim prove -m $seeded --endpoint "$url/v1" --model-name arch-llama:off --samples 100 --repeats 20 -p abc \
        --prompt-as text
    ok "the prompt as text" status_is 0
    stop_server
else
    ok "verbatim serve starts" false
fi
url=http://127.0.0.1:9/v1
judge
ok "a server that has gone" fails 1 "nobody answers there"
finish
