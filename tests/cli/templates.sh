#!/bin/sh
# Chat templates beside Jinja2: random ones where Python has it, published ones with VB_FIXTURES.
. "$(dirname "$0")/lib.sh"
tools=$(dirname "$0")/..
render=$BUILD/tests/tools/render_lines

# The first Python that has Jinja2: that of the path, or the system's own, which is the one that packages are for.
python=python3
python3 -c 'import jinja2' 2>/dev/null || [ ! -x /usr/bin/python3 ] || python=/usr/bin/python3

# beside NAME SCRIPT ARGS...: a Python script that compares; 77: it cannot
beside() {
    name=$1
    shift
    $python "$@" >"$work/out" 2>"$work/err"
    rc=$?
    if [ "$rc" = 77 ]; then skip "$name" "no Jinja2 for Python"; else ok "$name" status_is 0; fi
    sed -n '$p' "$work/out"
}

if [ -n "${VB_RUNNER:-}" ]; then
    skip "templates beside Jinja2" "the tool runs under an emulator"
elif ! command -v $python >/dev/null 2>&1; then
    skip "templates beside Jinja2" "no python3"
else
    beside "random templates render as Jinja2 renders them" "$tools/chat_differential.py" "$render" 600 "${SEED:-1}"
    if [ -n "${VB_FIXTURES:-}" ]; then
        beside "published templates render as Jinja2 rendered them" "$tools/chat_published.py" "$render" "$VB_FIXTURES"
    else
        skip "published templates" "VB_FIXTURES is not set"
    fi
fi
finish
