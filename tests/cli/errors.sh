#!/bin/sh
# errors.sh - what goes wrong is said, with exit status 1: files, vocabularies, full disks, closed pipes, Ctrl-C.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"

for c in "run -p x" "tokenize" "chat" "inspect" "logits --tokens 1 --out $work/l"; do
    # shellcheck disable=SC2086
    verbatim $c -m "$work/missing.gguf"
    ok "${c%% *}: a missing file is named" fails 1 "missing.gguf"
done
head -c 3000 "$target" >"$work/cut.gguf"
verbatim run -m "$work/cut.gguf" -p x
ok "a truncated model" fails 1 "cut.gguf"
head -c $(($(wc -c <"$target") - 1000)) "$target" >"$work/cut2.gguf"
verbatim run -m "$work/cut2.gguf" -p x
ok "a model whose weights are cut off" fails 1 "cut2.gguf"
echo "not a model" >"$work/text.gguf"
verbatim inspect "$work/text.gguf"
ok "a file that is no GGUF" fails 1 "text.gguf"
verbatim run -m "$work" -p x
ok "a folder" status_is 1

verbatim run -m "$target" -md "$work/other.gguf" -p "$P"
ok "a draft of another vocabulary is refused" fails 1 "verbatim doctor"
verbatim doctor -m "$target" -md "$work/other.gguf"
ok "doctor: exit status 1" status_is 1
ok "doctor shows differing entries" out_has "id "
verbatim doctor -m "$target" -md "$work/other.gguf" --json
ok "doctor --json: incompatible" json_is compatible false
verbatim doctor -m "$target" -md "$draft" --quick
ok "doctor: a pair that fits" status_is 0
ok "doctor says so" out_has "fit: "
verbatim doctor -m "$target" -md "$draft" --quick --json
ok "doctor --json: compatible" json_is compatible true
verbatim run -m "$target" -p x --kernels warp
ok "unknown kernels: the error names what is there" fails 1 "ref"
verbatim run -m "$target" -p x -c 100000
ok "a context beyond the model's training" fails 1 "512"
verbatim chat -m "$target"
ok "chat without a template" fails 1 "--chat-template"
verbatim tokenize -m "$work/chat.gguf" --add-bos
ok "tokenize --add-bos where there is one" status_is 0
verbatim run -m "$target" -p x -f "$work/none"
ok "-p and -f" status_is 2
verbatim run -m "$target" -f "$work/none"
ok "a missing prompt file" fails 1 "none"
verbatim logits -m "$target" --tokens 1,999999 --out "$work/l"
ok "a token outside the vocabulary" fails 1 "999999"
ok "leaves no output" test ! -e "$work/l"
ok "and no partial file" test "$(ls "$work" | grep -c partial)" = 0
verbatim logits -m "$target" --tokens 1 --out "$work/no/such/folder/l"
ok "an output that cannot be written" fails 1 "no/such/folder"
echo keep >"$work/l"
verbatim logits -m "$target" --tokens 1,999999 --out "$work/l"
ok "a failure leaves an earlier output alone" test "$(cat "$work/l")" = keep

if [ -c /dev/full ]; then
    verbatim logits -m "$target" --tokens 1,2,3 --out /dev/full
    ok "logits to a full disk" fails 1 "No space left"
    for c in "run -m $target -p x -n 4" "run -m $target -p x -n 4 --json" "inspect $target" "--version" "run --help" "cpu"; do
        # shellcheck disable=SC2086
        ${VB_RUNNER:-} "$BUILD/bin/verbatim" $c >/dev/full 2>"$work/err" </dev/null
        rc=$?
        ok "standard output on a full disk: ${c%% *}" status_is 1
        ok "and it is said" err_has "No space left"
    done
    verbatim run -m "$target" -md "$draft" -p x -n 8 --trace /dev/full
    ok "a trace on a full disk" status_is 1
    ok "names the file" err_has "/dev/full"
else
    skip "a full disk" "no /dev/full here"
fi
# shellcheck disable=SC2086
{ ${VB_RUNNER:-} "$BUILD/bin/verbatim" run -m "$target" -p x -n -1 --ignore-eos 2>"$work/err"; echo $? >"$work/rc"; } </dev/null | head -c 1 >"$work/out"
rc=$(cat "$work/rc")
ok "a reader that goes away: exit status 1" status_is 1
ok "and it is said" err_has "went away"

# Ctrl-C: the text so far, the statistics, status 0.
interrupt() { # interrupt ARGS...: SIGINT once it is generating
    : >"$work/err" # the one before may have left the word that is waited for
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    i=0
    while [ $i -lt 400 ] && kill -0 $pid 2>/dev/null && ! grep -q '\[VERIFY\]' "$work/err"; do
        sleep 0.05
        i=$((i + 1))
    done
    kill -INT $pid
    wait $pid
    rc=$?
}
# A background process of a script starts with SIGINT ignored; the program sets its own handler, so it is heard.
interrupt run -m "$work/long.gguf" -p "$P" -n -1 -c 32768 --ignore-eos --verbose -t 1
ok "Ctrl-C: exit status 0" status_is 0
ok "Ctrl-C: the text so far" test -s "$work/out"
ok "Ctrl-C: the statistics" err_has "ended: cancelled"
interrupt run -m "$work/long.gguf" --draft ngram -p "$P" -n -1 -c 32768 --ignore-eos --verbose --json -t 1
ok "Ctrl-C with --json: exit status 0" status_is 0
ok "Ctrl-C with --json: the reason" json_is reason cancelled
finish
