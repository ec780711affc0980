#!/bin/sh
# curl.sh - the API by hand.
set -eu
url=${VERBATIM_URL:-http://127.0.0.1:8000/v1}
ask() {
    path=$1
    shift
    curl -sS -H "Authorization: Bearer ${VERBATIM_API_KEY:-none}" -H 'Content-Type: application/json' "$@" "$url/$path"
    echo
}
ask models
ask chat/completions -d '{"messages": [{"role": "user", "content": "Tell me a tale."}], "max_tokens": 40, "seed": 7}'
# The same seed, the target alone: the same text.
model=$(ask models | sed -n 's/.*"data":\[{"id":"\([^"]*\)".*/\1/p')
ask chat/completions -d "{\"model\": \"$model:off\", \"messages\": [{\"role\": \"user\", \"content\": \"Tell me a tale.\"}], \"max_tokens\": 40, \"seed\": 7}"
# A stream, with the origin of every token.
ask chat/completions -N -d '{"messages": [{"role": "user", "content": "Tell me a tale."}], "max_tokens": 10, "stream": true,
    "stream_options": {"include_usage": true}, "verbatim": true}'
