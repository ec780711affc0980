#!/bin/sh
# injection.sh - messages that spell special tokens: beside transformers, with VB_FIXTURES (two published vocabularies).
. "$(dirname "$0")/lib.sh"
if [ -n "${VB_RUNNER:-}" ] || [ -z "${VB_FIXTURES:-}" ] || ! command -v python3 >/dev/null 2>&1; then
    skip "special tokens in messages, beside transformers" "VB_FIXTURES is not set, or there is no python3"
    finish
fi
"${PYTHON:-python3}" "$(dirname "$0")/../chat_injection.py" "$BUILD/bin/verbatim" "$VB_FIXTURES" >"$work/out" 2>"$work/err"
rc=$?
if [ "$rc" = 77 ]; then
    skip "special tokens in messages, beside transformers" "no transformers for Python"
else
    ok "no control token comes from a message, and with the option the ids are transformers'" status_is 0
    sed -n '$p' "$work/out"
fi
finish
