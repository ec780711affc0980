#!/bin/sh
# pre.sh - --pre NAME: a model whose tokenizer.ggml.pre is no help is refused with the option named, and with it every command
# does what it does with a file that names the pre-tokenizer itself. Whoever reports which model it was says so.
. "$(dirname "$0")/lib.sh"
server='' url=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
known=$work/known.gguf nopre=$work/nopre.gguf
P="the dog's 1000 days"
printf %s "$P" >"$work/text"
ids() { ${VB_RUNNER:-} "$BUILD/bin/verbatim" tokenize "$@" <"$work/text" 2>"$work/err"; }

# refused without it
printf '{"texts":"x"}\n{"text":"a 1000"}\n' >"$work/texts.jsonl"
for command in "run -m $nopre -p x" "run -m $known -md $nopre -p x" "tokenize -m $nopre" "prove -m $nopre" "bench -m $nopre" \
    "doctor -m $known -md $nopre" "record -m $nopre -p x --out $work/no" "record -m $nopre --texts ../texts.jsonl --out $work/no" \
    "chat -m $nopre --chat-template chatml" "serve -m $nopre --port 0"; do
    # shellcheck disable=SC2086
    verbatim $command
    ok "${command%% *}: the error names the option" fails 1 "--pre NAME"
done
ok "and says what is wrong" err_has "tokenizer.ggml.pre: 'default' is not known"

# with it: as the file that names it
ok "tokenize: other ids under another name" test "$(ids -m "$nopre" --pre qwen2)" != "$(ids -m "$nopre" --pre gpt-2)"
ok "tokenize: those of the file that names it" test "$(ids -m "$nopre" --pre qwen2)" = "$(ids -m "$known")"
ok "tokenize: the option goes before the file" test "$(ids -m "$known" --pre gpt-2)" = "$(ids -m "$nopre" --pre gpt-2)"
verbatim run -m "$known" -p "$P" -n 8 --seed 3 --json
text=$(json text)
ok "run: the file's own pre" json_is pre qwen2
ok "run: is not overridden" json_is pre_overridden false
verbatim run -m "$nopre" -md "$nopre" --pre qwen2 -p "$P" -n 8 --seed 3 --json
ok "run: the same text, with a draft" json_is text "$text"
ok "run: the pre is reported" json_is pre qwen2
ok "run: as not the file's" json_is pre_overridden true
ok "run: in the statistics" err_has "pre-tokenizer qwen2: by --pre, not by the file"
verbatim run -m "$known" --pre qwen2 -p "$P" -n 8 --seed 3 --json
ok "run: the file's own name overrides nothing" json_is pre_overridden false
verbatim run -m "$nopre" --pre qwen2 -p "$P" -n 8 --seed 3 --trace "$work/trace"
ok "run: in a trace" grep -qF '"pre":"qwen2","pre_overridden":true' "$work/trace"
verbatim trace-check "$work/trace"
ok "run: which is checked as others are" status_is 0
verbatim doctor -m "$known" -md "$nopre" --pre qwen2 --quick
ok "doctor: they fit" status_is 0
ok "doctor: and it says whose pre it is" out_has "bpe qwen2 (by --pre, not by the file)"
verbatim doctor -m "$known" -md "$nopre" --pre qwen2 --quick --json
ok "doctor --json" out_has '"pre_overridden":true'
verbatim prove -m "$nopre" --pre qwen2 -p x --samples 200 --tokens 1 --json
ok "prove" json_is ok true
ok "prove: reported" json_is pre_overridden true
verbatim logits -m "$nopre" --pre qwen2 --tokens 1,2 --out "$work/logits"
ok "logits takes it, and ids need none" status_is 0

# recordings
dir=$work/vectors
mkdir "$dir"
cp "$work/texts.jsonl" "$dir"
verbatim record -m "$nopre" --pre qwen2 --texts texts.jsonl --name a --out "$dir"
verbatim record -m "$known" --texts texts.jsonl --name b --out "$dir"
ok "record: the same ids" test "$(sed 1d "$dir/tokens/a.jsonl")" = "$(sed 1d "$dir/tokens/b.jsonl")"
ok "record: the head says whose pre it is" grep -qF '"pre":"qwen2","pre_overridden":true' "$dir/tokens/a.jsonl"
ok "record: and only where it is not the file's" test "$(grep -c pre_overridden "$dir/tokens/b.jsonl")" = 0
verbatim record -m "$nopre" -md "$nopre" --pre qwen2 -p "$P" -n 2 --name a --out "$dir"
ok "record: traces too" grep -qF '"pre":"qwen2","pre_overridden":true' "$dir/traces/a.coupled.jsonl"
verbatim record --manifest --out "$dir"
verbatim check --quick "$dir"
ok "check makes them again with it" status_is 0

# what makes no sense
verbatim run -m "$nopre" --pre llama -p x
ok "a name that is not known" fails 2 "--pre llama: expected one of gpt-2, "
verbatim tokenize -m "$target" --pre qwen2
ok "SentencePiece has none" fails 1 "leave the option out"
verbatim serve -m "$nopre" --pre nonsense --port 0
ok "serve: a name that is not known" fails 2 "--pre nonsense"

# the server
if command -v curl >/dev/null 2>&1; then
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
    for pre in qwen2 gpt-2; do
        ok "serve --pre $pre" start_server -m "$nopre" --pre "$pre" --name m
        ok "serve: the start says so" grep -qF "pre      $pre: by --pre, not by the file" "$work/server.err"
        curl -sS -m 60 "$url/props" >"$work/out" 2>"$work/err"
        ok "/props: the pre" json_is pre "$pre"
        ok "/props: not the file's" json_is pre_overridden true
        json system_fingerprint >>"$work/fingerprints"
        curl -sS -m 60 -H 'Content-Type: application/json' -d "{\"content\":\"$P\"}" "$url/tokenize" >"$work/out" 2>"$work/err"
        ok "/tokenize: its ids" json_is tokens "[$(ids -m "$nopre" --pre "$pre" | tr ' ' ,)]"
        kill "$server"
        wait "$server"
        server=''
    done
    ok "a fingerprint for each" test "$(sort -u "$work/fingerprints" | wc -l | tr -d ' ')" = 2
else
    skip "the server" "there is no curl"
fi
finish
