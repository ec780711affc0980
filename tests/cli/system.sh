#!/bin/sh
# system.sh - what the operating system may do to a program: closed descriptors, limits, interrupted calls, a model that is
# cut short while it is in use.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"
program=$BUILD/bin/verbatim
case $BUILD in *san*) sanitized=yes ;; *) sanitized= ;; esac
nothing_left() { [ "$(ls "$work" | grep -c "^$1")" = 0 ]; }

# Closed descriptors never become a file that is written.
verbatim logits -m "$target" --tokens 1,2,3 --out "$work/want"
# shellcheck disable=SC2086
for closed in '>&-' '<&-' '2>&-' '<&- >&- 2>&-'; do
    rm -f "$work/got"
    eval "\${VB_RUNNER:-} \"$program\" logits -m \"$target\" --tokens 1,2,3 --out \"$work/got\" $closed"
    ok "logits with $closed: nothing else is in the file" same_files "$work/got" "$work/want"
done
: >"$work/out"
${VB_RUNNER:-} "$program" run -m "$target" -p "$P" -n 4 --seed 1 --trace "$work/trace" >&- 2>"$work/err"
rc=$?
ok "standard output is closed: an error" fails 1 "cannot write standard output"
ok "and no trace that begins with text" nothing_left trace
${VB_RUNNER:-} "$program" --version >&- 2>"$work/err"
rc=$?
ok "--version, too" fails 1 "cannot write standard output"
${VB_RUNNER:-} "$program" tokenize -m "$target" <&- >"$work/out" 2>"$work/err"
rc=$?
ok "standard input is closed: an error" fails 1 "cannot read -"

# A limit on the size of files is an error like a full disk, and leaves nothing.
# shellcheck disable=SC3045
(ulimit -f 1 2>/dev/null && ${VB_RUNNER:-} "$program" logits -m "$target" --tokens 1,2,3,4,5,6 --out "$work/large" 2>"$work/err")
rc=$?
ok "the limit on the size of files is an error" fails 1 "File too large"
ok "which leaves nothing behind" nothing_left large
# shellcheck disable=SC3045,SC2086
(ulimit -f 0 && VERBATIM_CACHE=$work/kept ${VB_RUNNER:-} "$program" run -m "$target" -md "$draft" -p "$P" -n 4 --gamma auto --seed 1 2>&1
    echo "status $?") | cat >"$work/out"
ok "what nobody asked to be kept need not be: it is said, and the text comes" grep -q 'cannot write .*/kept/costs-' "$work/out"
ok "all the same" grep -q 'status 0' "$work/out"

# Small stacks: they work, or the error says so.
if [ -n "$sanitized${VB_RUNNER:-}" ]; then
    skip "a stack of 64 kB" "sanitizers and emulators take more"
else
    verbatim run -m "$target" -md "$draft" -p "$P" -n 16 --seed 1 -t 2
    cp "$work/out" "$work/want"
    # shellcheck disable=SC3045
    (ulimit -s 64 && "$program" run -m "$target" -md "$draft" -p "$P" -n 16 --seed 1 -t 2 >"$work/out" 2>"$work/err")
    rc=$?
    ok "a stack of 64 kB is enough" same_files "$work/out" "$work/want"
    : >"$work/out"
    # shellcheck disable=SC3045
    (ulimit -s 48 && "$program" run -m "$target" -p "$P" >"$work/out" 2>"$work/err")
    rc=$?
    ok "a smaller one is an error" fails 1 "the stack is too small"
fi

# Interrupted calls go on.
storm=$BUILD/tests/plugins/storm.so
if [ -n "$sanitized${VB_RUNNER:-}" ] || [ ! -e "$storm" ]; then
    skip "interrupted calls" "nothing can be loaded before this program"
else
    printf '%s\n' "$P" | "$program" tokenize -m "$target" >"$work/want"
    { printf 'Once upon'; sleep 0.1; printf ' a time\n'; } |
        LD_PRELOAD=$storm "$program" tokenize -m "$target" >"$work/out" 2>"$work/err"
    rc=$?
    ok "a slow pipe is read to its end" same_files "$work/out" "$work/want"
    ids=$(awk 'BEGIN { for (i = 1; i <= 200; i++) printf "%d ", i }')
    "$program" logits -m "$target" --tokens "$ids" --out - >"$work/want" 2>/dev/null
    LD_PRELOAD=$storm "$program" logits -m "$target" --tokens "$ids" --out - 2>"$work/err" | { sleep 0.1; cat >"$work/got"; }
    ok "a full pipe is written to its end" same_files "$work/got" "$work/want"
    "$program" run -m "$target" -p "$P" -n 60 --seed 1 --json -t 1 2>/dev/null | sed 's/"stats".*//' >"$work/want"
    LD_PRELOAD=$storm "$program" run -m "$target" -p "$P" -n 60 --seed 1 --json -t 1 2>/dev/null | { sleep 0.1; sed 's/"stats".*//'; } >"$work/got"
    ok "and standard output" same_files "$work/got" "$work/want"
    printf 'Once upon a time\n' | "$program" chat -m "$work/chat.gguf" --seed 1 -n 8 >"$work/want" 2>"$work/err"
    { printf 'Once upon'; sleep 0.1; printf ' a time\n'; } |
        LD_PRELOAD=$storm "$program" chat -m "$work/chat.gguf" --seed 1 -n 8 >"$work/got" 2>"$work/err"
    rc=$?
    ok "a line that comes in two pieces is one message" same_files "$work/got" "$work/want"
fi
mkfifo "$work/fifo"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$program" run -m "$target" -f "$work/fifo" >"$work/out" 2>"$work/err" &
pid=$!
exec 3>"$work/fifo"
sleep 0.1
kill -INT $pid
wait $pid
rc=$?
exec 3>&-
ok "Ctrl-C ends a read that waits" fails 1 "cannot read"

# Ctrl-C while a model is loaded is one sentence, whatever was to be done with the model.
preload=$BUILD/tests/preload/ctrl_c.so
if [ -n "$sanitized${VB_RUNNER:-}" ] || [ ! -e "$preload" ]; then
    skip "Ctrl-C while a model is loaded" "nothing can be loaded before this program"
else
    # stopped MODEL ARGS...: Ctrl-C the moment that file is opened
    stopped() {
        wanted=$1
        shift
        VB_CTRL_C=$wanted LD_PRELOAD=$preload "$program" "$@" >"$work/out" 2>"$work/err" </dev/null
        rc=$?
        fails 1 "stopped by Ctrl-C while $work/$wanted was being loaded" && [ "$(wc -l <"$work/err")" = 1 ]
    }
    for file in target.gguf draft.gguf; do
        ok "run, $file" stopped $file run -m "$target" -md "$draft" -p "$P"
        ok "chat, $file" stopped $file chat -m "$target" -md "$draft" --chat-template chatml
        ok "bench, $file" stopped $file bench -m "$target" -md "$draft"
        ok "prove, $file" stopped $file prove -m "$target" -md "$draft" --samples 100
    done
    ok "logits" stopped target.gguf logits -m "$target" --tokens 1,2 --out "$work/stopped"
    ok "and no file" nothing_left stopped
    for repack in on off; do ok "--repack $repack" stopped target.gguf run -m "$target" -p "$P" --repack $repack; done
    VB_CTRL_C=target.gguf LD_PRELOAD=$preload "$program" serve -m "$target" --port 0 >"$work/out" 2>"$work/err" </dev/null
    rc=$?
    ok "serve" fails 130 "stopped while the models were being loaded"
fi

# A model that is cut short while it is in use: the program has opened it when it opens the pipe with the prompt.
if [ -n "${VB_RUNNER:-}" ]; then
    skip "a model cut short while in use" "the emulator sees the signal"
else
    cp "$target" "$work/cut.gguf"
    "$program" run -m "$work/cut.gguf" -f "$work/fifo" --repack off >"$work/out" 2>"$work/err" &
    pid=$!
    exec 3>"$work/fifo"
    head -c 4096 "$target" >"$work/cut.gguf"
    printf '%s' "$P" >&3
    exec 3>&-
    wait $pid
    rc=$?
    ok "a model cut short while in use is named" fails 1 "cut.gguf: cannot be read any more"
    if command -v curl >/dev/null 2>&1; then
        cp "$target" "$work/cut.gguf"
        start_server -m "$work/cut.gguf" --repack off
        head -c 4096 "$target" >"$work/cut.gguf"
        curl -s "$url/v1/completions" -d '{"prompt":"Once upon a time","max_tokens":4}' >"$work/out"
        wait "$server"
        rc=$?
        cp "$work/server.err" "$work/err"
        ok "by the server, too" fails 1 "cut.gguf: cannot be read any more"
    fi
fi
finish
