#!/bin/sh
# prompts.sh - a text becomes the same ids whoever asks: run, tokenize, prove, record, the server's completions and
# /tokenize. BOS is there once, whether the file's rule adds it or the text brings it.
. "$(dirname "$0")/lib.sh"
server='' url=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

# ids of the first line of a trace that has some
traced() { sed -n '2s/.*"tokens":\[\([0-9,]*\)\].*/\1/p' "$1"; }
escaped() { printf %s "$1" | sed 's/"/\\"/g'; }
post() { curl -sS -m 60 -H 'Content-Type: application/json' -d "$2" "$url$1" >"$work/out" 2>"$work/err"; }

# same MODEL TEXT IDS
same() {
    model=$1 text=$2 ids=$3
    verbatim run -m "$model" -p "$text" -n 1 --seed 1 --trace "$work/trace"
    ok "run: '$text'" test "$(traced "$work/trace")" = "$ids"
    printf '{"text":"%s"}\n' "$(escaped "$text")" >"$work/prompts.jsonl"
    rm -rf "$work/vectors"
    verbatim record -m "$model" --prompts "$work/prompts.jsonl" -n 1 --out "$work/vectors" --name v
    ok "record: '$text'" grep -qF "{\"prompt\":0,\"tokens\":[$ids]}" "$work/vectors/recordings/v.q8.jsonl"
    if [ -n "$url" ]; then
        post /tokenize "{\"content\":\"$(escaped "$text")\",\"add_special\":true}"
        ok "/tokenize: '$text'" json_is tokens "[$ids]"
        post /tokenize "{\"prompt\":\"$(escaped "$text")\",\"add_special_tokens\":true}"
        ok "/tokenize with another server's names: '$text'" json_is tokens "[$ids]"
        post /v1/completions "{\"prompt\":\"$(escaped "$text")\",\"max_tokens\":1,\"seed\":1}"
        ok "completions: '$text'" json_is prompt_tokens "$(echo "$ids" | tr , '\n' | wc -l | tr -d ' ')"
    fi
}
# serve_model FILE: a server for what follows, where there is curl
serve_model() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; }
    command -v curl >/dev/null 2>&1 || return 0
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
    start_server -m "$1" || { echo "not ok 1 - the server starts"; exit 1; }
}

# the file adds BOS (1)
printf 'Once' >"$work/text"
${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$target" --no-special <"$work/text" >"$work/once"
once=$(tr ' ' , <"$work/once")
serve_model "$target"
same "$target" "Once" "1,$once"
same "$target" "<s>Once" "1,$once"
same "$target" "<s>" "1"
same "$target" "<s><s>Once" "1,1,$once"
same "$target" "Once</s>" "1,$once,2"
printf '<s>Once' >"$work/text"
${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$target" --add-bos <"$work/text" >"$work/out"
ok "tokenize --add-bos: '<s>Once'" test "$(tr ' ' , <"$work/out")" = "1,$once"
for p in Once '<s>Once'; do
    verbatim prove -m "$target" -p "$p" --samples 200 --tokens 1 --json --draft none
    ok "prove: '$p'" json_is ok true
    json stages >"$work/stages.$p"
done
ok "prove: one law for both" same_files "$work/stages.Once" "$work/stages.<s>Once"
verbatim run -m "$target" -p '<s>Once' --no-special -n 1 --seed 1 --trace "$work/trace"
ids=$(traced "$work/trace")
ok "--no-special: the name is text" test "${ids#1,}" != "$ids" -a "$ids" != "1,$once"
if [ -n "$url" ]; then
    post /v1/completions "{\"prompt\":[1,$once],\"max_tokens\":1,\"seed\":1}"
    ok "ids are taken as they are" json_is prompt_tokens "$(echo "1,$once" | tr , '\n' | wc -l | tr -d ' ')"
    post /v1/completions "{\"prompt\":[1,1,$once],\"max_tokens\":1,\"seed\":1}"
    ok "twice BOS too, if they say so" json_is prompt_tokens "$(echo "1,1,$once" | tr , '\n' | wc -l | tr -d ' ')"
fi

# the file adds none
chat=$work/chat.gguf
printf 'Once' >"$work/text"
${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$chat" --no-special <"$work/text" >"$work/once"
once=$(tr ' ' , <"$work/once")
printf '<|endoftext|>' >"$work/text"
bos=$(${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$chat" <"$work/text")
serve_model "$chat"
same "$chat" "Once" "$once"
same "$chat" "<|endoftext|>Once" "$bos,$once"
finish
