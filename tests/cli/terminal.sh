#!/bin/sh
# terminal.sh - `verbatim chat` on a terminal: editing, history, completion, pasting, Ctrl-C, and the commands.
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")
[ -z "${VB_RUNNER:-}" ] || { skip "chat on a terminal" "an emulator is too slow for somebody who types"; finish; }
command -v python3 >/dev/null 2>&1 || { skip "chat on a terminal" "there is no python3"; finish; }

# libedit keeps copies of the names that EL_ADDFN was given for as long as the program runs: no leak of ours.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export ASAN_OPTIONS

# talks ARGS...: `verbatim chat` with them obeys the script on standard input; what was shown when it did not is in $work/out
talks() {
    # shellcheck disable=SC2086
    timeout 60 python3 "$here/terminal.py" ${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$target" -md "$draft" --chat-template vicuna --temp 0.8 --seed 3 "$@" \
        >"$work/out" 2>"$work/err"
    rc=$?
    [ $rc = 0 ]
}
edits() { ldd "$BUILD/bin/verbatim" 2>/dev/null | grep -q libedit; }

edits && VB_EDITS=1 && export VB_EDITS

ok "Ctrl-D ends" talks -n 4 <<'S'
ready
type \x04
end 0
S
ok "an answer in plain text, /stats, /quit" talks -n 12 <<'S'
ready
type Hello\r
see (cut after 12 tokens: -n)
ready
type /stats\r
see 1 turn; 12 tokens
see first token after
see acceptance
ready
type /quit\r
never \x1b[9;31m
never \x1b[32m
end 0
S
ok "/drafts shows who wrote what, and again not" talks -n 40 <<'S'
ready
type /drafts\r
see green
ready
type Hello\r
see \x1b[9;31m
ready
type /drafts\r
see plain
ready
type \x04
end 0
S
ok "Ctrl-C stops an answer, and never ends the conversation at the next prompts" talks -n -1 --ignore-eos -c 512 <<'S'
ready
type Hello\r
pause 0.02
interrupt
ready
interrupt
see Ctrl-D
ready
pause 0.3
interrupt
see Ctrl-D
ready
type /stats\r
see turn
ready
type \x04
end 0
S
ok "sampling, drafts and rule change on the way" talks -n 8 <<S
ready
type /temp 0\\r
see (temperature 0)
ready
type /temp warm\\r
see expected a number
ready
type /seed 77\\r
see seed 77
ready
type /gamma 33\\r
see expected 1 to 32
ready
type /preset max\\r
see (guesses per step: 7)
ready
type /preset turbo\\r
see expected fast
ready
type Hello\\r
ready
type /draft none\\r
see (draft none)
ready
type and then\\r
ready
type /draft $work/none.gguf\\r
see cannot open
see (draft none)
ready
type /draft $draft\\r
see (draft model)
ready
type and then\\r
ready
type /draft ngram\\r
see (draft ngram)
ready
type /stats\\r
see 3 turns
ready
type /nonsense\\r
see no such command: /nonsense
see /retry
ready
type \\x04
end 0
S
ok "/undo, /retry, /system, /reset" talks -n 8 <<'S'
ready
type /undo\r
see nothing to forget
ready
type /retry\r
see no answer yet
ready
type /system be brief\r
see (system message set)
ready
type /system\r
see system message: be brief
ready
type Hello\r
ready
type /retry\r
see seed 4
ready
type /undo\r
see forgotten
ready
type /undo\r
see nothing to forget
ready
type /reset\r
see new conversation
ready
type /system\r
see be brief
ready
type /system none\r
ready
type /system\r
see no system message
ready
type \x04
end 0
S
ok "/save" talks -n 8 <<S
ready
type Hello\\r
ready
type /save\\r
see name of a file
ready
type /save $work/talk.json\\r
see (2 messages in
ready
type /save /nonexistent/talk.json\\r
see cannot write
ready
type \\x04
end 0
S
ok "writes messages as a request has them" grep -q '"content": "Hello"' "$work/talk.json"
printf '{"messages": [{"role": "user"}]}' >"$work/bad.json"
printf '{"messages": [' >"$work/cut.json"
ok "/load goes on with them" talks -n 8 <<S
ready
type /load $work/bad.json\\r
see expected {
ready
type /load $work/cut.json\\r
see line 1
ready
type /load $work/none.json\\r
see cannot read
ready
type /load $work/talk.json\\r
see (2 messages from
ready
type And then?\\r
ready
type /save $work/more.json\\r
see (4 messages in
ready
type \\x04
end 0
S
if edits; then
    ok "Up brings the last line back, which can be edited" talks -n 4 <<'S'
ready
type Hallo\x1b[D\x1b[D\x1b[D\x1b[D\x7fH\r
ready
type \x1b[A
see Hallo
type \x15/quit\r
end 0
S
    ok "UTF-8: one key takes one character back" talks -n 4 <<S
ready
type /system gr\\xc3\\xbc\\xc3\\x9f\\x7f\\xc3\\x9fe\\r
ready
type /save $work/utf8.json\\r
see (1 messages
ready
type \\x04
end 0
S
    ok "as it was typed" grep -q 'gr.*e"' "$work/utf8.json"
    ok "Tab completes commands and files" talks -n 4 <<S
ready
type /he\\t
see lp 
type \\r
see /retry
ready
type /load $work/tal\\t
see k.json
type \\r
see (2 messages from
ready
type \\x04
end 0
S
    ok "what is pasted is one message, Alt-Enter a line break" talks -n 4 <<S
ready
paste first line\\rsecond line
see second line
type \\x1b\\rthird\\r
ready
type /save $work/pasted.json\\r
see (2 messages
ready
type \\x04
end 0
S
    ok "with its line breaks" grep -q 'first line\\nsecond line\\nthird"' "$work/pasted.json"
    ok "the window may change its size while a line is typed" talks -n 4 <<'S'
ready
type a long line of words that goes on and on
size 24 40
type , and on\r
ready
type \x04
end 0
S
else
    skip "editing" "this build has no libedit"
fi
# Without a terminal: answers alone on standard output.
printf 'Hello\n/stats\n' | ${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$target" --chat-template vicuna -n 5 --seed 1 >"$work/out" 2>"$work/err"
rc=$?
ok "in a pipe: the answers and nothing else" test "$rc$(grep -c '>' "$work/out")" = 00
ok "no marks of a terminal" test "$(grep -c "$(printf '\033')" "$work/out" "$work/err" | grep -c ':0')" = 2
finish
