#!/bin/sh
# memory_server.sh - an allocation fails in the server: the request is answered with an error or the whole answer, never with a
# piece missing, and is not called a bad one; the next one is answered as ever, and the server ends with 0.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../failing.sh"
command -v curl >/dev/null || { skip "failing allocations in the server" "no curl"; finish; }
trap '[ -z "${server:-}" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

arm - 0
VB_RUNNER="env VB_FAILAT=$control LD_PRELOAD=$preload"
start_server -m "$work/chat.gguf" --draft ngram -c 128 --slots 2 -t 2 || { ok "the server starts" false; finish; }

# ask PATH [BODY]: the answer in $work/answer, settled, and its status in $status; curl's own in $rc
ask() {
    if [ $# = 1 ]; then set -- "$1" -G; else set -- "$1" -d "$2"; fi
    status=$(curl -s -m 20 -o "$work/raw" -w '%{http_code}' "$url$1" -H 'Content-Type: application/json' "$2" ${3:+"$3"} 2>/dev/null)
    rc=$?
    settle "$work/raw" >"$work/answer"
}

fault() {
    wrong=$((wrong + 1))
    [ $wrong -gt 5 ] || { echo "#   allocation $point: $1"; head -c 600 "$work/answer" | sed 's/^/#   > /'; }
}

# judge: what came is an error that says so, or nothing, or the whole
judge() {
    if cmp -s "$work/whole" "$work/answer" && [ "$status" = 200 ]; then
        return
    fi
    errors=$((errors + 1))
    case $rc/$status in
    0/200) grep -q '^data: {"error"' "$work/answer" || fault "a success with another answer" ;; # a stream that had begun
    0/5*) grep -qi 'memory' "$work/answer" || fault "the answer does not name the memory" ;;
    0/*) fault "status $status" ;;
    *) ;; # the connection was closed: there was no memory for an answer
    esac
}

# sweep NAME MOST PATH [BODY]
sweep() {
    name=$1 most=$2 wrong=0 tried=0 errors=0
    shift 2
    : >"$work/raw"
    ask "$@"
    ask "$@" # what the prefix cache has shows in no answer, but in the number of allocations
    first=$status
    cp "$work/answer" "$work/whole"
    arm a $NEVER
    ask "$@"
    count_of=$(counted)
    for point in $(points "$count_of" "$most"); do
        arm a "$point"
        ask "$@"
        reached=$(letter)
        arm - 0
        [ "$reached" = f ] || continue
        tried=$((tried + 1))
        judge
        ask "$@"
        cmp -s "$work/whole" "$work/answer" || fault "the next request is not answered as before"
    done
    echo "# $name: $count_of allocations, $tried made to fail, $errors errors"
    ok "$name: whole or an error" test "$wrong" = 0 -a "$tried" -gt 0 -a "$first" = 200
}

text='"prompt":"hello","max_tokens":6,"seed":1'
chat='"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"hello"}],"max_tokens":6,"seed":1'
sweep "/v1/models" 12 /v1/models
sweep "/props" 12 /props
sweep "/tokenize" 12 /tokenize '{"content":"hello you","with_pieces":true}'
sweep "/detokenize" 8 /detokenize '{"tokens":[115,140,138]}'
sweep "completions" 40 /v1/completions "{$text,\"logprobs\":3,\"verbatim\":true,\"return_token_ids\":true,\"n\":2,\"stop\":[\"xyz\"],\"odd\":1}"
sweep "completions as a stream" 30 /v1/completions "{$text,\"logprobs\":2,\"stream\":true,\"stream_options\":{\"include_usage\":true}}"
sweep "chat" 30 /v1/chat/completions "{$chat,\"logprobs\":true,\"top_logprobs\":2,\"logit_bias\":{\"5\":1}}"
sweep "chat as a stream" 30 /v1/chat/completions "{$chat,\"stream\":true,\"verbatim\":true}"

kill -TERM "$server"
wait "$server"
rc=$?
ok "the server ends with 0" test "$rc" = 0
finish
