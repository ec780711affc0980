#!/bin/sh
# serve.sh - `verbatim serve` end to end, with curl: what clients see, the same text as `verbatim run`, what is refused,
# how it ends.
. "$(dirname "$0")/lib.sh"
if ! command -v curl >/dev/null 2>&1; then
    skip "the server's tests" "there is no curl"
    finish
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
server='' url='' port=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

# stop [SIGNAL]: ends it; its exit status in $rc
stop() {
    kill "-${1:-TERM}" "$server" 2>/dev/null
    wait "$server"
    rc=$?
    server=''
}
# get PATH [CURL ARGS]: body in $work/out, headers in $work/head, status in $code
get() {
    path=$1
    shift
    code=$(curl -sS -m 60 -D "$work/head" -o "$work/out" -w '%{http_code}' "$@" "$url$path" 2>"$work/err")
    rc=$?
}
post() { # post PATH JSON [CURL ARGS]
    path=$1 body=$2
    shift 2
    get "$path" -H 'Content-Type: application/json' -d "$body" "$@"
}
code_is() { [ "$code" = "$1" ]; }
refused() { [ "$code" = "$1" ] && grep -qF -- "$2" "$work/out" && grep -q '^{"error":{"message":' "$work/out"; }
head_has() { tr -d '\r' <"$work/head" | grep -qiFx -- "$1"; }
numbers() { tr -s '[], ' '\n' | awk 'NF { printf "%.17g\n", $1 }'; } # however they are written
events() { sed -n 's/^data: //p' "$work/out"; } # the events of a stream
# the text of a stream of completions, its escapes kept
stream_text() { events | sed -n 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/p' | tr -d '\n'; }
stream_content() { events | sed -n 's/.*"content":"\(\([^"\\]\|\\.\)*\)".*/\1/p' | tr -d '\n'; }
# soon CONDITION...: true within some seconds
soon() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || return 1
        sleep 0.1
    done
}
P="Once upon a time"

# ---------------------------------------------------------------------------------------------------- completions
ok "it starts" start_server -m "$target" -md "$draft" --max-body 0.1 --system-prompt direct
for word in "$target" "$draft" balanced weights "$url/v1" curl; do
    ok "the start says $word" grep -qF -- "$word" "$work/server.err"
done
get /health
ok "/health" code_is 200
get /v1/models
ok "/v1/models lists the model" out_has '"id":"target"'
for p in fast balanced max auto off; do ok "and preset $p" out_has "\"id\":\"target:$p\""; done
ok "which drafts as many as pay" out_has '"draft_tokens":"auto"'
get /models
ok "/models too" code_is 200
get /v1/models/target%3Afast
ok "one of them" json_is id target:fast
get /v1/models/nope
ok "one that is not there" refused 404 nope

verbatim run -m "$target" -p "$P" -n 24 --seed 5 --json
text=$(json text) logprobs=$(json logprobs | numbers) ids=$(json tokens)
for model in target target:fast target:max target:off; do
    post /v1/completions "{\"model\":\"$model\",\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"logprobs\":0}"
    ok "$model: 200" code_is 200
    ok "$model: the text of verbatim run" json_is text "$text"
    ok "$model: the log-probabilities of the target alone (P5)" test "$(json token_logprobs | numbers)" = "$logprobs"
    ok "$model: its name" json_is model "$model"
done
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"return_token_ids\":true}"
ok "return_token_ids: those of verbatim run" json_is token_ids "$ids"
for rule in coupled rejection block; do
    alone=
    [ $rule = coupled ] && alone='--request-alone {"gamma":0}'
    # shellcheck disable=SC2086
    verbatim prove -m "$target" -p Hello --endpoint "$url/v1" --model-name target --top-k 6 --samples 500 --repeats 50 -t 1 -c 64 \
        --logprob-tolerance 0 --request "{\"accept\":\"$rule\"}" $alone
    if grep -q "no HTTP client" "$work/err"; then
        skip "prove --endpoint, $rule" "this build has no libcurl"
    else
        ok "prove --endpoint, $rule: passes" status_is 0
        ok "and log-probabilities bit for bit (P5)" out_has "bit for bit those of the target alone (P5): 0 of"
    fi
done
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5}"
ok "24 tokens of usage" json_is completion_tokens 24
ok "accepted and rejected drafts in the usage are those in the stats" test \
    "$(json accepted_prediction_tokens) $(json rejected_prediction_tokens)" = "$(json accepted_draft_tokens) $(json rejected_draft_tokens)"
ok "and in the timings" test "$(json draft_n) $(json draft_n_accepted)" = "$(json total_draft_tokens) $(json accepted_draft_tokens)"
ok "they add up" test $(($(json accepted_draft_tokens) + $(json rejected_draft_tokens))) = "$(json total_draft_tokens)"
ok "some are accepted" json_more accepted_draft_tokens 0
ok "the reason is length" json_is finish_reason length
ok "the seed is reported" json_is seed 5
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24}"
seed=$(json seed) random=$(json text)
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":$seed}"
ok "a random seed is reported and repeats the text" json_is text "$random"
for rule in rejection block; do
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"accept\":\"$rule\"}"
    first=$(json text)
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"accept\":\"$rule\"}"
    ok "accept $rule: the same seed, the same text" json_is text "$first"
    # shellcheck disable=SC2086
    verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --accept $rule --json
    ok "accept $rule: the text of verbatim run" json_is text "$first"
done
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":12,\"seed\":5,\"n\":3}"
ok "n 3: three choices" test "$(grep -o '"finish_reason"' "$work/out" | wc -l)" = 3
third=$(sed -n 's/.*"index":2,.*"finish_reason":"[a-z]*","seed":\([0-9]*\).*/\1/p' "$work/out")
third_text=$(sed -n 's/.*"index":2,"text":"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$work/out")
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":12,\"seed\":$third}"
ok "a choice's own seed repeats it alone" json_is text "$third_text"
post /v1/completions '{"prompt":["Once upon","a time"],"max_tokens":4,"seed":1}'
ok "two prompts, two choices" test "$(grep -o '"finish_reason"' "$work/out" | wc -l)" = 2
verbatim tokenize -m "$target" --ids <<X
$P
X
get /health
printf '%s' "$P" >"$work/p"
# shellcheck disable=SC2086
ids=$(${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$target" <"$work/p" | tr ' ' ',')
post /tokenize "{\"content\":\"$P\"}"
ok "/tokenize" json_is tokens "[$ids]"
post /detokenize "{\"tokens\":[$ids]}"
ok "/detokenize" json_is content "$P"
post /v1/completions '{"prompt":"Once","max_tokens":40,"temperature":0,"logit_bias":{"300":100}}'
ok "a logit bias" code_is 200
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":8,\"seed\":5,\"verbatim\":true}"
for k in from_draft origin '"p"' '"q"' '"step"' '"logprob"'; do ok "verbatim: every token has $k" out_has "$k"; done
ok "verbatim: 8 tokens" test "$(grep -o '"origin"' "$work/out" | wc -l)" = 8

# Stop strings: the text ends before them, wherever the tokens are cut.
word=$(printf '%s' "$text" | cut -c 6-9)
before=$(printf '%s' "$text" | awk -v w="$word" '{ print substr($0, 1, index($0, w) - 1) }')
case $word in
*[\"\\]*) skip "a stop string" "this text has escapes there" ;;
*)
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"stop\":[\"never so\",\"$word\"]}"
    ok "the text ends before the stop string" json_is text "$before"
    ok "for reason stop" json_is finish_reason stop
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"stop\":\"$word\",\"stream\":true}"
    ok "so does the stream" test "$(stream_text)" = "$before"
    # what is reported of a text that a stop ends: of the target alone, whoever drafted, in one piece or streamed
    tokens() { sed 's/.*"completion_tokens":\([0-9]*\).*/\1/'; }
    post /v1/completions "{\"model\":\"target:off\",\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"stop\":\"$word\"}"
    want=$(json completion_tokens)
    for model in target target:fast target:max; do
        ask="\"model\":\"$model\",\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"stop\":\"$word\""
        post /v1/completions "{$ask}"
        ok "$model: a stop string's usage is the target's alone" json_is completion_tokens "$want"
        post /v1/completions "{$ask,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" -N
        ok "$model: in a stream too" test "$(events | grep '"usage":{' | tokens)" = "$want"
    done
    ;;
esac

# the name of a token without text
for model in target target:off; do
    ask="\"model\":\"$model\",\"prompt\":\"$P\",\"max_tokens\":8,\"seed\":5,\"ignore_eos\":true,\"logit_bias\":{\"1\":100}"
    post /v1/completions "{$ask,\"stop\":\"<s>\",\"logprobs\":0}"
    ok "$model: it ends the text" json_is finish_reason stop
    ok "$model: and is counted" json_is completion_tokens 1
    ok "$model: and is not in the text" test -z "$(json text)"
    ok "$model: nor in its log-probabilities" json_is token_logprobs "[]"
    post /v1/completions "{$ask,\"stop\":\"<s>\",\"stream\":true}" -N
    ok "$model: streamed too" test "$(events | grep -c '"finish_reason":"stop"')" = 1
    post /v1/completions "{$ask,\"stop\":\"<s>x\"}"
    ok "$model: with something behind it it is text" json_is finish_reason length
    ok "$model: which a warning says" out_has '<s>x\" holds the name of a token'
done

# a token that is part of a character: two of them are two, in the list and as keys
for stream in false true; do
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":4,\"seed\":5,\"logprobs\":20,\"stream\":$stream,\"logit_bias\":{\"131\":100,\"132\":100}}" -N
    ok "stream $stream: bytes in tokens" grep -q '"tokens":\["bytes:\\\\x8[01]"' "$work/out"
    ok "stream $stream: bytes as keys" test "$(grep -o '"bytes:\\\\x[89a-f][0-9a-f]":' "$work/out" | sort -u | wc -l)" -ge 2
done

# ---------------------------------------------------------------------------------------------------- streams
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5,\"stream\":true}" -N
ok "a stream is one of events" head_has "content-type: text/event-stream"
ok "its text is that of verbatim run" test "$(stream_text)" = "$text"
ok "it ends with [DONE]" test "$(events | tail -n 1)" = "[DONE]"
ok "with one reason" test "$(events | grep -c '"finish_reason":"length"')" = 1
ok "no usage unless asked" test "$(events | grep -c '"usage"')" = 0
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":5,\"seed\":5,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" -N
events | tail -n 2 | head -n 1 >"$work/out.usage"
ok "the usage comes last, without choices" grep -q '"choices":\[\].*"completion_tokens":5' "$work/out.usage"
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":9,\"seed\":3,\"n\":2,\"stream\":true,\"verbatim\":true}" -N
ok "a stream of two choices: two reasons" test "$(events | grep -c '"finish_reason":"length"')" = 2
ok "18 tokens in it" test "$(events | grep -o '"origin"' | wc -l)" = 18

# ---------------------------------------------------------------------------------------------------- errors
# A cat of JSON that is none, and of fields that are refused.
bad() { # bad STATUS WORDS JSON
    post /v1/completions "$3"
    ok "$1 for $(printf '%s' "$3" | head -c 60)" refused "$1" "$2"
}
for j in '' '{' '[]' '"x"' 'null' '{"prompt":' '{"prompt":"x"}}' '{"prompt":"\ud800"}' "{'prompt':1}" '{"prompt":"x",}' \
    '{"prompt":"x","n":NaN}'; do bad 400 JSON "$j"; done
bad 400 'max_tokens: the number is too large' '{"prompt":"x","max_tokens":1e400}'
printf '{"prompt":"\377"}' >"$work/bytes"
get /v1/completions --data-binary "@$work/bytes"
ok "400 for bytes that are no UTF-8" refused 400 JSON
awk 'BEGIN { printf "{\"prompt\":"; for (i = 0; i < 20000; i++) printf "["; }' >"$work/deep"
get /v1/completions --data-binary "@$work/deep"
ok "400 for deep nesting" refused 400 deeper
bad 404 'target:fast' '{"model":"gpt-4","prompt":"x"}'
bad 400 'grammar' '{"prompt":"x","grammar":"root ::= x"}'
bad 400 'regex' '{"prompt":"x","regex":"("}'
bad 400 'x.json' '{"prompt":"x","json_schema":{"$ref":"x.json"}}'
post /v1/completions '{"prompt":"x","max_tokens":40,"guided_choice":["one","two"],"seed":3}'
ok "one of two texts, complete" grep -q '"text":"\(one\|two\)".*"finish_reason":"stop"' "$work/out"
post /v1/completions '{"prompt":"x","n":12,"max_tokens":3,"regex":"[ab]|[cd]{40}","temperature":2,"top_k":0,"top_p":1,"min_p":0,"seed":1}'
both_reasons() { grep -q '"finish_reason":"stop"' "$work/out" && grep -q '"finish_reason":"length"' "$work/out"; }
ok "12 choices that end for different reasons" both_reasons
bad 400 'context holds 512' "{\"prompt\":\"$(awk 'BEGIN { for (i = 0; i < 600; i++) printf "a b " }')\"}"
post /v1/completions '{"prompt":"x","max_tokens":2,"frobnicate":1}'
ok "unknown fields are ignored, with a warning" out_has '"warnings":["frobnicate'
printf '\357\273\277{"prompt":"x","max_tokens":2}' >"$work/bytes"
get /v1/completions --data-binary "@$work/bytes"
ok "a byte order mark before the JSON" code_is 200
awk 'BEGIN { printf "{\"prompt\":\"x\",\"x\":["; for (i = 0; i < 30000; i++) printf "{},"; printf "{}]}" }' >"$work/many"
get /v1/completions --data-binary "@$work/many"
ok "many values" code_is 200
post /v1/chat/completions '{"messages":[{"role":"user","content":"x"}]}'
ok "chat without a template says so" refused 400 "--chat-template"
post /v1/embeddings '{"input":"x"}'
ok "embeddings are refused" refused 501 embeddings
# LM Studio's own interface: the same answers, with its description of models and its statistics.
get /api/v0/models/target:fast
ok "/api/v0/models/ID: LM Studio's description" out_has '"id":"target:fast","object":"model","type":"llm"'
ok "with the type that most of the weights have" json_is quantization Q8_0
ok "and both lengths" test "$(json state) $(json max_context_length) $(json loaded_context_length)" = "loaded 512 512"
get /api/v0/models
ok "/api/v0/models lists each preset" test "$(grep -o '"arch":"llama"' "$work/out" | wc -l)" = 6
post /api/v0/embeddings '{"input":"x"}'
ok "/api/v0/embeddings is refused" refused 501 embeddings
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5}"
text=$(json text)
ok "/v1 says nothing of the runtime" test -z "$(json runtime)"
native() { # native REASON FIELDS: an answer whose stop_reason is REASON, with counts and times that agree
    post /api/v0/completions "{\"prompt\":\"$P\",\"seed\":5,$2}"
    ok "stop_reason $1" json_is stop_reason "$1"
    ok "$1: tested drafts are accepted or rejected, the others ignored" test "$(json tested_draft_tokens) $(json total_draft_tokens_count)" = \
        "$(($(json accepted_draft_tokens_count) + $(json rejected_draft_tokens_count))) $(($(json tested_draft_tokens) + $(json ignored_draft_tokens_count)))"
    ok "$1: the times fit each other and the timings" awk -v n="$(json completion_tokens)" -v rate="$(json tokens_per_second)" -v took="$(json generation_time)" \
        -v first="$(json time_to_first_token)" -v q="$(json queue_ms)" -v p="$(json prompt_ms)" -v d="$(json predicted_ms)" \
        'BEGIN { exit !(took > 0 && (rate * took - n) ^ 2 < 1e-6 && (1e3 * took - d) ^ 2 < 1e-4 && 1e3 * first > q + p - 0.01 && 1e3 * first < q + p + d + 0.01) }'
}
native maxPredictedTokensReached '"max_tokens":24'
ok "the text of /v1" json_is text "$text"
ok "the draft by its file's name" json_is draft_model draft.gguf
ok "the runtime" json_is name verbatim
ok "the model's context" json_is context_length 512
native contextLengthReached '"max_tokens":-1,"ignore_eos":true'
native eosFound '"max_tokens":24,"logit_bias":{"2":100}'
native stopStringFound '"max_tokens":400,"ignore_eos":true,"stop":["e","a"]'
post /api/v0/completions "{\"prompt\":\"$P\",\"seed\":5,\"max_tokens\":4,\"stream\":true}"
ok "a stream ends with them, too" grep -q '"stop_reason":"maxPredictedTokensReached".*"runtime"' "$work/out"
post /api/v0/completions "{\"model\":\"target:off\",\"prompt\":\"$P\",\"max_tokens\":4}"
ok "without a draft there is none" test -z "$(json draft_model)$(json total_draft_tokens_count)"
get /v1/nothing
ok "404 lists what there is" refused 404 /v1/models
for trick in /../../etc/passwd /%2e%2e/%2e%2e/etc/passwd /page/index.html /prompts/expert.txt //etc/passwd; do
    get "$trick" --path-as-is
    ok "404 for $trick" refused 404 "no "
done
get /v1/completions
ok "405 for another method" refused 405 GET
head -c 200000 /dev/zero | tr '\0' 'x' >"$work/large"
get /v1/completions --data-binary "@$work/large"
ok "413 for a large body" refused 413 "--max-body"
get /v1/completions --data-binary "@$work/large" -H 'Transfer-Encoding: chunked'
ok "413 for a large body in chunks" refused 413 "--max-body"
get /health -H "X-Long: $(head -c 60000 "$work/large")"
ok "431 for a large header" code_is 431
get /health -H 'Host: evil.example'
ok "403 for another host name" refused 403 evil.example
get /health -H 'Origin: https://evil.example'
ok "403 for a foreign page" refused 403 --cors
get /health -H 'Origin: http://localhost:3000'
ok "local pages may" head_has 'access-control-allow-origin: http://localhost:3000'
get /v1/chat/completions -X OPTIONS -H 'Origin: http://localhost:3000' -H 'Access-Control-Request-Headers: authorization,x-y'
ok "a preflight" code_is 204
ok "lets headers through" head_has 'access-control-allow-headers: authorization,x-y'
get / 
ok "the page" code_is 200
ok "is HTML" head_has 'content-type: text/html; charset=utf-8'
ok "without outside requests" test "$(grep -c 'src="http\|href="http\|url(http' "$work/out")" = 0
get /metrics
for m in output_tokens_total draft_accepted_tokens_total requests_total 'draft_tested_at_total{position="0"}' seconds_total; do
    ok "/metrics has $m" out_has "verbatim_$m"
done
get /props
ok "/props" json_is chat_template null

# ---------------------------------------------------------------------------------------------------- many at once
for i in 1 2 3 4 5 6 7 8; do
    curl -sS -m 60 -d "{\"model\":\"target:$(echo fast balanced max off | cut -d ' ' -f $((i % 4 + 1)))\",\"prompt\":\"$P\",\"max_tokens\":$((20 + i)),\"seed\":$i}" \
        "$url/v1/completions" >"$work/many.$i" &
    eval "job$i=\$!"
done
for i in 1 2 3 4 5 6 7 8; do eval "wait \$job$i"; done
for i in 1 2 3 4 5 6 7 8; do
    cp "$work/many.$i" "$work/out"
    together=$(json text)
    verbatim run -m "$target" -p "$P" -n $((20 + i)) --seed "$i" --json
    ok "request $i of 8 at once: the text of verbatim run" json_is text "$together"
done

# ---------------------------------------------------------------------------------------------------- clients that go
long="{\"prompt\":\"$P\",\"max_tokens\":480,\"ignore_eos\":true,\"stream\":true,\"seed\":1}"
for i in 1 2 3 4 5 6; do
    curl -sSN -m 60 -d "$long" "$url/v1/completions" >"$work/killed.$i" 2>/dev/null &
    client=$!
    sleep 0.0$i
    kill -KILL $client
    wait $client 2>/dev/null
done
idle() { # within some seconds nothing runs any more
    tries=0
    until get /metrics && grep -q '^verbatim_requests_running 0$' "$work/out"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || return 1
        sleep 0.1
    done
}
ok "killed clients leave no request running" idle
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":24,\"seed\":5}"
ok "and the next one is served" json_is text "$text"

# ---------------------------------------------------------------------------------------------------- the end
curl -sSN -m 60 -d "$long" "$url/v1/completions" >"$work/last" 2>/dev/null &
client=$!
ok "a stream runs" soon test -s "$work/last"
stop TERM
ok "SIGTERM: exit status 0" status_is 0
wait $client
ok "the running stream was finished" grep -q '^data: \[DONE\]' "$work/last"
get /health
ok "nobody listens any more" test "$rc" = 7

# ---------------------------------------------------------------------------------------------------- conversations
ok "a model with a chat template" start_server -m "$work/chat.gguf" --draft ngram --api-key sesame --name bot --preset max --system-prompt none
hi='"messages":[{"role":"user","content":"hello hello hello"}]'
post /v1/chat/completions "{$hi}"
ok "401 without the key" refused 401 "API key"
get /v1/models -H 'Authorization: Bearer sesam'
ok "401 with a wrong one" refused 401 "API key"
get /health
ok "/health asks for none" code_is 200
chat() { post /v1/chat/completions "$1" -H 'Authorization: Bearer sesame'; }
chat "{\"model\":\"bot:fast\",$hi,\"max_tokens\":16,\"seed\":2,\"logprobs\":true,\"top_logprobs\":2}"
ok "200 with it" code_is 200
ok "an assistant's message" json_is role assistant
# laws_add_up: the ids of every law are all there, and their probabilities make 1.
laws_add_up() {
    sed 's/"from_draft"/\
/g' "$work/out" | awk -F'"top_probs":' 'NF > 1 { sum = 0; n = split($2, p, "\"prob\":"); for (i = 2; i <= n; i++) sum += p[i] + 0
        if (n < 2 || sum < 1 - 1e-9 || sum > 1 + 1e-9) wrong = 1; laws++ } END { exit wrong || !laws }'
}
for m in bot bot:off; do
    chat "{\"model\":\"$m\",$hi,\"guided_choice\":[\"one\",\"two\"],\"seed\":2,\"temperature\":1,\"top_k\":0,\"top_p\":1,\"min_p\":0,\"logprobs\":true,\"top_logprobs\":20,\"post_sampling_probs\":true}"
    ok "$m: probabilities of the masked law, which make 1" laws_add_up
    [ "$m" != bot ] || cp "$work/out" "$work/laws"
done
laws() { grep -o '"top_probs".*"finish' "$1" | sed 's/"from_draft":[a-z]*//g'; }
ok "the same with and without a draft" test "$(laws "$work/out")" = "$(laws "$work/laws")"
chat "{$hi,\"max_tokens\":1,\"post_sampling_probs\":true}"
ok "they stand among the log-probabilities" refused 400 "post_sampling_probs needs logprobs"
chat "{\"model\":\"bot:fast\",$hi,\"max_tokens\":16,\"seed\":2,\"logprobs\":true,\"top_logprobs\":2}"
ok "16 log-probabilities" test "$(grep -o '"top_logprobs"' "$work/out" | wc -l)" = 16
ok "with their origins" test "$(grep -o '"from_draft"' "$work/out" | wc -l)" = 16
content=$(json content)
case $content in '['*) content=$(sed -n 's/.*"message":{"role":"assistant","content":"\(\([^"\\]\|\\.\)*\)".*/\1/p' "$work/out") ;; esac
chat "{$hi,\"max_tokens\":16,\"seed\":2,\"stream\":true}"
ok "the stream starts with the role" test "$(events | head -n 1 | grep -c '"delta":{"role":"assistant"')" = 1
ok "and has the same text" test "$(stream_content)" = "$content"
ok "and an empty delta at the end" test "$(events | grep -c '"delta":{}.*"finish_reason":"length"')" = 1
chat "{$hi,\"max_tokens\":2,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}"
ok "tools are refused" refused 400 --ignore-tools
chat "{$hi,\"max_tokens\":2,\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"none\"}"
ok "unless they may not be called" code_is 200
schema='{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}'
chat "{$hi,\"max_tokens\":60,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":$schema}}}"
ok "JSON of a schema" grep -q '"content":"{.*ok.*\(true\|false\).*}"' "$work/out"
chat "{$hi,\"response_format\":{\"type\":\"yaml\"}}"
ok "another format is refused" refused 400 response_format
chat '{"messages":[{"role":"wizard","content":"x"}]}'
ok "an unknown role" refused 400 wizard
get /health -H 'Origin: https://app.example'
ok "who has the key may ask from any page" head_has 'access-control-allow-origin: *'
stop INT
ok "SIGINT: exit status 0" status_is 0

# ---------------------------------------------------------------------------------------------------- limits
ok "one slot, one place in the queue" start_server -m "$target" --slots 1 --queue 1 --idle-timeout 1 --drain 0
for i in 1 2 3 4 5 6; do
    curl -sS -m 60 -o "$work/q.$i" -w '%{http_code}' -d "{\"prompt\":\"$P\",\"max_tokens\":400,\"ignore_eos\":true}" "$url/v1/completions" >"$work/code.$i" &
    eval "job$i=\$!"
done
for i in 1 2 3 4 5 6; do eval "wait \$job$i"; done
ok "two are served" test "$(cat "$work"/code.* | grep -o 200 | wc -l)" -ge 2
ok "others are sent away with 429" test "$(cat "$work"/code.* | grep -o 429 | wc -l)" -ge 1
post /v1/completions '{"model":"target:fast","prompt":"x"}'
ok "without a draft there are no drafting presets" refused 404 "no draft"
verbatim serve -m "$target" --port "$port"
ok "a port that is taken" fails 1 "port $port"
if command -v bash >/dev/null 2>&1; then
    # Raw bytes, from a file: the first line of the answer goes to $work/out.
    raw() { bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"; cat "$1" >&3; timeout 5 head -n 1 <&3' "$port" "$1" >"$work/out" 2>"$work/err"; rc=$?; }
    # The connection was answered with 4xx, or cut; the server is still there.
    survived() {
        head -n 1 "$work/out" | grep -qE '^HTTP/1\.[01] [45]|^$' || [ ! -s "$work/out" ] || return 1
        get /health && code_is 200
    }
    n=0
    while IFS= read -r line; do
        n=$((n + 1))
        printf '%b' "$line" >"$work/raw"
        raw "$work/raw"
        ok "malformed HTTP $n" survived
    done <<'X'
\0000\0001\0002\0003\r\n\r\n
GET\r\n\r\n
GET /health\r\n\r\n
GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n
GET /health HTTP/1.1\r\n\r\n
GET /nothing HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n{}
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n{}
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n
POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"prompt"
BREW /coffee HTTP/1.1\r\nHost: localhost\r\n\r\n
GET /\0377\0376 HTTP/1.1\r\nHost: localhost\r\n\r\n
GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n
GET /nope HTTP/1.1\r\nHost : localhost\r\n : x\r\n\r\n
X
    # Half-open and slow clients wait alone, and not for ever.
    bash -c 'for i in $(seq 40); do exec {fd}<>"/dev/tcp/127.0.0.1/$0"; printf "GET /hea" >&$fd; done; sleep 4' "$port" &
    slow=$!
    sleep 0.3
    get /health -m 2
    ok "40 half-open clients do not block others" code_is 200
    sleep 1.7
    get /metrics
    ok "and are cut after --idle-timeout" test "$(sed -n 's/^verbatim_http_connections //p' "$work/out")" -le 4
    wait $slow
else
    skip "malformed HTTP" "there is no bash"
fi
curl -sSN -m 60 -d "$long" "$url/v1/completions" >"$work/last" 2>/dev/null &
client=$!
sleep 0.05
stop TERM
wait $client
ok "--drain 0: exit status 0 at once" status_is 0

# ---------------------------------------------------------------------------------------------------- long answers
endless="{\"prompt\":\"$P\",\"max_tokens\":30000,\"ignore_eos\":true,\"stream\":true,\"seed\":1}"
ok "one slot, and a long context" start_server -m "$work/long.gguf" -c 30100 --slots 1 --queue 2 --keep-alive 0.1 --drain 0.5
curl -sSN -m 60 -d "$endless" "$url/v1/completions" >"$work/first" 2>/dev/null &
first=$!
ok "a long stream runs" soon test -s "$work/first"
curl -sSN -m 60 -d "{\"prompt\":\"$P\",\"max_tokens\":5,\"stream\":true}" "$url/v1/completions" >"$work/second" 2>/dev/null &
second=$!
ok "one that waits gets comments" soon grep -q '^: ' "$work/second"
ok "and no text" test "$(grep -c '^data' "$work/second")" = 0
post /v1/completions '{"prompt":"x","n":4}'
ok "more choices than there is room for" refused 400 "room for 3"
kill -KILL $first
wait $first 2>/dev/null
wait $second
ok "its turn comes when the first client has gone" grep -q '^data: \[DONE\]' "$work/second"
ok "the log has the tokens made for who has gone" soon grep -q 'stream client gone output [1-9]' "$work/server.err"
curl -sS -m 60 -d "{\"prompt\":\"$P\",\"max_tokens\":30000,\"ignore_eos\":true}" "$url/v1/completions" >/dev/null 2>&1 &
whole=$!
writes() { get /metrics && grep -q '^verbatim_requests_running 1$' "$work/out"; }
ok "a long answer in one piece is written" soon writes
sleep 0.2
kill -KILL $whole
wait $whole 2>/dev/null
ok "the log has its tokens too" soon grep -q ' output [1-9].* client gone' "$work/server.err"
curl -sSN -m 60 -d "$endless" "$url/v1/completions" >"$work/third" 2>/dev/null &
third=$!
ok "another long stream" soon test -s "$work/third"
stop TERM
wait $third
ok "SIGTERM: exit status 0 after --drain" status_is 0
ok "the stream was told why it ends" grep -q '"code":"shutting_down"' "$work/third"
ok "two slots" start_server -m "$work/long.gguf" -c 4000 --slots 2 --drain 0
curl -sSN -m 60 -d "{\"prompt\":\"$P\",\"n\":8,\"max_tokens\":2000,\"ignore_eos\":true,\"stream\":true}" "$url/v1/completions" >"$work/choices" 2>/dev/null &
choices=$!
ok "eight choices are written" soon test -s "$work/choices"
post /v1/completions '{"prompt":"x","max_tokens":2}'
ok "another request does not wait for all of them" test "$code" = 200 -a "$(grep -c '"finish_reason":"length"' "$work/choices")" -le 4
kill -KILL $choices
wait $choices 2>/dev/null
stop TERM
ok "a time limit for requests" start_server -m "$work/long.gguf" -c 30100 --request-timeout 0.01
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":30000,\"ignore_eos\":true}"
ok "the answer ends as by length" json_is finish_reason length
ok "and says so" out_has '"warnings":["ended by the server'
ok "before all tokens were there" json_less completion_tokens 30000
stop

# ---------------------------------------------------------------------------------------------------- a trained pair
tales=vectors/models
if [ -e $tales/tales-target-q4_k_m.gguf ]; then
    ok "the trained pair" start_server -m $tales/tales-target-q4_k_m.gguf -md $tales/tales-draft-q8_0.gguf
    for i in 1 2 3 4; do
        curl -sS -m 60 -d "{\"prompt\":\"$P\",\"max_tokens\":40,\"seed\":$i}" "$url/v1/completions" >"$work/many.$i" &
        eval "job$i=\$!"
    done
    for i in 1 2 3 4; do eval "wait \$job$i"; done
    for i in 1 2 3 4; do
        cp "$work/many.$i" "$work/out"
        together=$(json text)
        ok "tale $i: drafts were accepted" json_more accepted_draft_tokens 0
        verbatim run -m $tales/tales-target-q4_k_m.gguf -p "$P" -n 40 --seed $i --json
        ok "tale $i of 4 at once: the text of the target alone" json_is text "$together"
    done
    stop
else
    skip "the trained pair" "there is no $tales"
fi

# ---------------------------------------------------------------------------------------------------- configuration
printf '{"model": "%s", "draft_model": "%s", "preset": "fast", "temp": 0, "name": "from-file", "cors": ["https://a.example", "https://b.example"]}' \
    "$target" "$draft" >"$work/config.json"
VERBATIM_NAME=from-environment VERBATIM_PRESET=max
export VERBATIM_NAME VERBATIM_PRESET
ok "--config" start_server --config "$work/config.json" --preset off
unset VERBATIM_NAME VERBATIM_PRESET
get /props
ok "the environment goes before the file" json_is model from-environment
ok "the command line before the environment" json_is draft_tokens 0
ok "the file before the defaults" json_is temperature 0.0
get /health -H 'Origin: https://b.example'
ok "lists in the file" head_has 'access-control-allow-origin: https://b.example'
stop
ok "--num-draft-tokens" start_server -m "$target" -md "$draft" --preset max --num-draft-tokens 4
get /props
ok "sets the length of the model itself" json_is draft_tokens 4
stop
ok "--preset without a draft" start_server -m "$target" --preset fast
ok "says that nothing drafts" grep -q -e '--preset is for a draft: give -md FILE' "$work/server.err"
stop
ok "--draft suffix" start_server -m "$target" --draft suffix
ok "is called that" grep -q 'draft    what followed the longest repeat' "$work/server.err"
stop
printf '{"prot": 9000}' >"$work/config.json"
verbatim serve --config "$work/config.json" -m "$target"
ok "an unknown key is an error" fails 2 '"prot"'
printf '\357\273\277{"prot": 9000}' >"$work/config.json"
verbatim serve --config "$work/config.json" -m "$target"
ok "behind a byte order mark too" fails 2 '"prot"'
printf '{"port": true}' >"$work/config.json"
verbatim serve --config "$work/config.json" -m "$target"
ok "so is a value of the wrong kind" fails 2 '"port" must be'
printf '{"port": 9000' >"$work/config.json"
verbatim serve --config "$work/config.json" -m "$target"
ok "and a file that is no JSON" fails 2 "line 1"
VERBATIM_PROT=1
export VERBATIM_PROT
verbatim serve -m "$target"
ok "an unknown variable too" fails 2 VERBATIM_PROT
unset VERBATIM_PROT
verbatim serve --config "$work/nothing.json" -m "$target"
ok "a missing file" fails 1 nothing.json
verbatim serve
ok "no model" fails 2 "-m FILE"
bytes=$(printf '\377y')
verbatim serve -m "$target" --port 0 --name "$bytes"
ok "a name that is no UTF-8" fails 2 "of UTF-8"
verbatim serve -m "$target" --port 0 --name "$(printf '%0200d' 0)"
ok "a name that is too long" fails 2 "199 bytes"
if cp "$target" "$work/x$bytes.gguf" 2>/dev/null; then
    ok "a file whose name is no UTF-8" start_server -m "$work/x$bytes.gguf" --host localhost
    ok "is said to be called otherwise" grep -qF 'the model is called "x?y"' "$work/server.err"
    get /v1/models
    ok "the model is listed" out_has '"id":"x?y:off"'
    post /v1/completions '{"prompt":"Once","max_tokens":2}'
    ok "and answers" json_is model 'x?y'
    get /props
    ok "/props too" json_is model 'x?y'
    began=$(date +%s%N)
    stop
    ok "an idle server ends at once" test $(($(date +%s%N) - began)) -lt 1500000000
else
    skip "a file whose name is no UTF-8" "this system has none"
fi
verbatim run -m "$target" --seed 9223372036854775808
ok "the range of seeds, as it is" fails 2 "expected -1 to 9223372036854775807"
verbatim serve -m "$target" -md "$work/other.gguf" --port 0
ok "a draft of another vocabulary" fails 1 "doctor"
verbatim serve -m "$target" --system-prompt nowhere
ok "an unknown system prompt" fails 2 "expert"
verbatim serve -m "$target" --host 'no such host'
ok "a host that is none" fails 1 "no such host"
verbatim serve -m "$target" --chat-template nope --port 0
ok "an unknown chat template lists the known ones" fails 2 chatml
finish
