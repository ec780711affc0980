#!/bin/sh
# wild.sh - what people meet: set-ups and requests from the bug reports of other engines in which Verbatim is right, so that it
# stays so. Models in parts behind a cache's symbolic links, drafts with a shorter context, stop strings that lie across
# tokens and reads, warm and cold caches, messages without content, closed and full files.
. "$(dirname "$0")/lib.sh"
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
P="Once upon a time"

# ---------------------------------------------------------------------------------------------------- files
verbatim run -m "$target" -p "$P" -n 24 --seed 5 --json
text=$(json text) ids=$(json tokens)
# The layout of a download cache: names are links to files that are named by their hashes.
mkdir -p "$work/hub/blobs" "$work/hub/snapshots/abc"
for i in 1 2; do
    cp "$work/parts-0000$i-of-00002.gguf" "$work/hub/blobs/hash$i"
    ln -s "../../blobs/hash$i" "$work/hub/snapshots/abc/parts-0000$i-of-00002.gguf"
done
first=$work/hub/snapshots/abc/parts-00001-of-00002.gguf
verbatim run -m "$first" -p "$P" -n 24 --seed 5 --json
ok "a model in parts, behind links: the tokens of the whole file" json_is tokens "$ids"
verbatim run -m "$work/hub/snapshots/abc/parts-00002-of-00002.gguf" -p x -n 1
ok "its second part alone: the first is named" fails 1 "00001-of-00002"
verbatim run -m "$work/hub/blobs/hash1" -p x -n 1
ok "the file behind the link has lost its name" fails 1 "hash1"
rm "$work/hub/snapshots/abc/parts-00002-of-00002.gguf"
verbatim run -m "$first" -p x -n 1
ok "a part that is missing is named" fails 1 "parts-00002-of-00002.gguf"
cp "$target" "$work/größe ü: Q8.gguf"
verbatim run -m "$work/größe ü: Q8.gguf" -p "$P" -n 24 --seed 5 --json
ok "a name with blanks, a colon and umlauts" json_is tokens "$ids"
for type in Q4_0 Q6_K Q4_K_M; do
    verbatim quantize "$work/float.gguf" "$work/q-$type.gguf" $type
    verbatim run -m "$work/q-$type.gguf" -md "$work/float.gguf" -p "$P" -n 24 --seed 3 --compare --json
    ok "$type with the float model as its draft: as the target alone" json_is identical true
    verbatim quantize "$work/q-$type.gguf" "$work/again.gguf" Q8_0
    ok "$type is not quantised once more" fails 1 "already quantised"
done

# ---------------------------------------------------------------------------------------------------- contexts
for more in "--temp 0" "--temp 0.8" "--temp 0.8 --accept rejection" "--temp 0.8 --accept block"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -md "$work/short.gguf" -p "$P" -n 120 --seed 2 --ignore-eos --json $more
    ok "a draft for 64 positions, target for 512, $more: 120 tokens" test "$(json_count tokens)" = 120
done
verbatim run -m "$target" -md "$work/short.gguf" -p "$P" -n 120 --seed 2 --compare --json
ok "the tokens of the target alone" json_is identical true
for more in "--temp 0" "--temp 0.8"; do
    # shellcheck disable=SC2086
    verbatim run -m "$target" -p "a a a a a a a a a a a a" -n 60 --draft ngram --gamma 16 --compare --json $more
    ok "repetitions drafted from the prompt, $more: the tokens of the target alone" json_is identical true
done

# ---------------------------------------------------------------------------------------------------- streams of the shell
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/bin/verbatim" run -m "$target" -p "$P" -n 24 --seed 5 --json >"$work/out" 2>"$work/err" <&-
rc=$?
ok "standard input closed: run" json_is tokens "$ids"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize -m "$target" >"$work/out" 2>"$work/err" <&-
rc=$?
ok "standard input closed: tokenize ends, and is no crash" test "$rc" -le 1
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$work/chat.gguf" >"$work/out" 2>"$work/err" <&-
rc=$?
ok "standard input closed: chat ends, and is no crash" test "$rc" -le 1
mkdir "$work/small"
if [ -z "${VB_RUNNER:-}" ] && unshare -m mount -t tmpfs -o size=16k tmpfs "$work/small" 2>/dev/null; then
    # full OPTIONS...: verbatim OPTIONS on a file system of 16 kB; what it leaves there in $work/left
    full() {
        # shellcheck disable=SC2016
        unshare -m sh -c 'mount -t tmpfs -o size=16k tmpfs "$1" || exit 99; program=$2 left=$3; small=$1; shift 3
            "$program" "$@"; rc=$?; ls -A "$small" >"$left"; exit $rc' sh "$work/small" "$BUILD/bin/verbatim" \
            "$work/left" "$@" >"$work/out" 2>"$work/err" </dev/null
        rc=$?
    }
    full quantize "$work/float.gguf" "$work/small/q.gguf" Q8_0
    ok "a full disk: quantize" fails 1 "No space left"
    ok "which leaves nothing behind" test ! -s "$work/left"
    full logits -m "$target" --tokens 1,2,3,4,5,6,7,8,9,10,11,12 --out "$work/small/l"
    ok "a full disk: logits" fails 1 "No space left"
    ok "which leave nothing behind" test ! -s "$work/left"
    full run -m "$target" -md "$draft" -p "$P" -n 200 --seed 1 --ignore-eos --trace "$work/small/t" --trace-full
    ok "a full disk: a trace" status_is 1
    ok "which is said" err_has "No space left"
else
    skip "a full disk" "no file system can be mounted here"
fi
printf '{"model":"m\\u0000.gguf"}' >"$work/nul.json"
verbatim serve --config "$work/nul.json"
ok "a NUL in --config" fails 2 "the character NUL"

# ---------------------------------------------------------------------------------------------------- requests
if ! command -v curl >/dev/null 2>&1; then
    skip "requests" "there is no curl"
    finish
fi
# post PATH JSON: body in $work/out
post() {
    code=$(curl -sS -m 60 -o "$work/out" -w '%{http_code}' -H 'Content-Type: application/json' -d "$2" "$url$1" 2>"$work/err")
    rc=$?
}
streamed() { sed -n 's/^data: //p' "$work/out" | sed -n 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/p' | tr -d '\n'; }
stop() {
    kill -TERM "$server" && wait "$server"
    server=''
}
ok "a server whose draft has the shorter context" start_server -m "$target" -md "$work/short.gguf"
long="$P $P $P $P $P $P $P $P $P $P"
post /v1/completions "{\"model\":\"target:off\",\"prompt\":\"$long\",\"max_tokens\":40,\"seed\":4}"
alone=$(json text)
post /v1/completions "{\"model\":\"target\",\"prompt\":\"$long\",\"max_tokens\":40,\"seed\":4}"
ok "a prompt beyond the draft's context: the text of the target alone" json_is text "$alone"
cut='"frequency_penalty":1.5,"presence_penalty":0.7,"repeat_penalty":1.3'
post /v1/completions "{\"prompt\":\"$long\",\"max_tokens\":32,\"seed\":6,$cut}"
cold=$(json text)
post /v1/completions "{\"prompt\":\"$long\",\"max_tokens\":32,\"seed\":6,$cut}"
ok "penalties see the prompt, cached or not" json_is text "$cold"
ok "the second time it was cached" json_more cached_tokens 0
verbatim run -m "$target" -p "$long" -n 32 --seed 6 --frequency-penalty 1.5 --presence-penalty 0.7 --repeat-penalty 1.3 --json
ok "as run says" json_is text "$cold"

# Stop strings cut out of the text. Only plain ones: JSON escapes the others, and a byte of a character is none.
plain() { case $1 in '' | *[\"\\]*) return 1 ;; esac; [ -z "$(printf '%s' "$1" | LC_ALL=C tr -d ' -~')" ]; }
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":40,\"seed\":5}"
whole=$(json text)
wrong='' tried=0
for at in 2 5 8 11 14 17 20 26; do
    for length in 1 3 6; do
        word=$(printf '%s' "$whole" | cut -c "$at-$((at + length - 1))")
        plain "$word" || continue
        want=$(printf '%s' "$whole" | awk -v w="$word" '{ print substr($0, 1, index($0, w) - 1) }')
        tried=$((tried + 1))
        post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":40,\"seed\":5,\"stop\":\"$word\"}"
        [ "$(json text)" = "$want" ] || wrong="$wrong [$word]"
        post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":40,\"seed\":5,\"stream\":true,\"stop\":[\"$word\"]}"
        [ "$(streamed)" = "$want" ] || wrong="$wrong stream[$word]"
    done
done
ok "$tried stop strings, whole and streamed:$wrong" test -z "$wrong" -a "$tried" -gt 5
for n in 40 39 38 37 36 35 34 33; do
    post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":$n,\"seed\":5}"
    whole=$(json text)
    tail=$(printf '%s' "$whole" | tail -c 1)
    ! plain "$tail" || break
done
post /v1/completions "{\"prompt\":\"$P\",\"max_tokens\":$n,\"seed\":5,\"stream\":true,\"stop\":[\"${tail}never comes\"]}"
ok "a stop string begun at the end and never completed: nothing is lost" test "$(streamed)" = "$whole"
stop

ok "a server with a chat template" start_server -m "$work/chat.gguf" --draft ngram --system-prompt none
chat() { post /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\"$1},{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":4,\"seed\":1}"; }
chat ',"content":""'
tokens=$(json prompt_tokens) empty=$(json content)
for content in ',"content":null' '' ',"content":[]' ',"content":null,"tool_calls":[]' ',"content":[{"type":"text","text":""}]'; do
    chat "$content"
    ok "an assistant's message with {role$content}: as with an empty one" test "$code $(json prompt_tokens) $(json content)" = "200 $tokens $empty"
done
stop
finish
