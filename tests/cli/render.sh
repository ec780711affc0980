#!/bin/sh
# verbatim render: a conversation as a chat template writes it.
. "$(dirname "$0")/lib.sh"

# pipe TEXT ARGS...: the text on standard input
pipe() {
    input=$1
    shift
    # shellcheck disable=SC2086
    printf '%s' "$input" | ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" >"$work/out" 2>"$work/err"
    rc=$?
}

request='{"messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":true}'
printf '%s' "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}{{ extra }}{{ n }}" >"$work/t.jinja"

pipe "$request" render --template chatml
ok "one of ours by its name" status_is 0
printf '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n' >"$work/want"
ok "the bytes, and no newline more" same_files "$work/out" "$work/want"
pipe '{"messages":[{"role":"user","content":"Hi"}],"bos_token":"<s>","chat_template_kwargs":{"extra":"!"},"n":12345678901234567890123}' \
    render --template "$work/t.jinja"
printf '<s>[user] Hi!12345678901234567890123' >"$work/want"
ok "a file; every member is a variable, big numbers are kept" same_files "$work/out" "$work/want"
pipe '{"messages":[]}' render -m "$work/chat.gguf"
ok "a model's own template" status_is 0
pipe "$request" render -m "$work/target.gguf"
ok "a model without one: the error says so" fails 1 "no tokenizer.chat_template"
pipe "$request" render -m "$work/target.gguf" --template chatml
ok "a template whose markers the vocabulary has not" fails 1 "<|im_start|>"
pipe "$request" render -m "$work/target.gguf" --template vicuna
ok "a template without markers" status_is 0
printf '%s' "{{ raise_exception('no ' ~ messages|length) }}" >"$work/raise.jinja"
pipe "$request" render --template "$work/raise.jinja"
ok "what the template raises" fails 1 "line 1: no 1"
printf '%s' "{% if x %}" >"$work/broken.jinja"
pipe "$request" render --template "$work/broken.jinja"
ok "a template that is none names the line" fails 1 "line 1"
pipe "$request" render
ok "no template" fails 2 "--template NAME|FILE"
pipe "$request" render --template nope
ok "an unknown name lists the known ones" fails 2 "chatml"
pipe '{' render --template chatml
ok "a request that is no JSON" fails 1 "no JSON"
printf '%s' "{{ strftime_now('%d %b %Y %H:%M') }}" >"$work/date.jinja"
pipe "$request" render --template "$work/date.jinja" --date 2024-07-26
ok "--date" test "$(cat "$work/out")" = "26 Jul 2024 00:00"
pipe "$request" render --template "$work/date.jinja" --date "2024-07-26 13:04:05"
ok "--date with a time" test "$(cat "$work/out")" = "26 Jul 2024 13:04"
pipe '{"date":"2023-02-28"}' render --template "$work/date.jinja"
ok "the request's date" test "$(cat "$work/out")" = "28 Feb 2023 00:00"
pipe "$request" render --template "$work/date.jinja"
ok "today is said where it matters" err_has "--date"
pipe "$request" render --template chatml
ok "and not where it does not" test ! -s "$work/err"
pipe "$request" render --template chatml --date 2023-02-29
ok "no such day" fails 2 "YYYY-MM-DD"
finish
