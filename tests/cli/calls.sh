#!/bin/sh
# Calls of tools through chat templates and back: small templates of every format, published ones with VB_FIXTURES. CALLS: how many
# texts for each (200; 30 in builds with sanitizers, which are slow), CUTS: in how many places each is cut (12; 0: at every byte). Then mistakes planted into the reader.
. "$(dirname "$0")/lib.sh"
tools=$(dirname "$0")/..
lines=$BUILD/tests/tools/call_lines

CUTS=${CUTS:-12}
export CUTS
[ "$BUILD" = build ] || CALLS=${CALLS:-30}

round() {
    name=$1
    shift
    python3 "$tools/chat_calls.py" "$lines" "$@" >"$work/out" 2>"$work/err"
    rc=$?
    ok "$name" status_is 0
    [ "$rc" = 0 ] || sed -n '/ wrong$/{/ 0 wrong$/!p}' "$work/out"
    sed -n '$p' "$work/out"
}

if [ -n "${VB_RUNNER:-}" ]; then
    skip "calls through templates" "the tool runs under an emulator"
elif ! command -v python3 >/dev/null 2>&1; then
    skip "calls through templates" "no python3"
else
    round "calls are read back from small templates of every format" "$tools/templates" "${CALLS:-200}" "${SEED:-1}"
    if [ -n "${VB_FIXTURES:-}" ]; then
        round "calls are read back from published templates" "$VB_FIXTURES" "${CALLS:-200}" "${SEED:-1}"
    else
        skip "calls through published templates" "VB_FIXTURES is not set"
    fi
fi
if [ "$BUILD" != build ] || [ -n "${VB_RUNNER:-}" ]; then
    skip "planted mistakes in the reader of calls" "the plain build tries them"
else
    python3 "$tools/calls_planted.py" "$BUILD" >"$work/out" 2>"$work/err"
    rc=$?
    if [ "$rc" = 77 ]; then skip "planted mistakes" "no compiler"; else ok "mistakes planted into the reader of calls are caught" status_is 0; fi
    grep -v '^# caught' "$work/out"
fi
finish
