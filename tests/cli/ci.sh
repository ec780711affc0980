#!/bin/sh
# ci.sh - how tools/stage.sh counts the stages of .ci/run: what was not looked at, or not to the end, has failed.
. "$(dirname "$0")/lib.sh"
root=$(dirname "$0")/../..

# stages LIMIT COMMANDS: the commands with `stage` at hand, in bash; output and status as of verbatim
stages() {
    LIMIT=$1 LEAST=1 bash -uc ". '$root/tools/stage.sh'; $2; stages_end" >"$work/out" 2>"$work/err"
    rc=$?
}
ends() { [ "$(tail -1 "$work/out")" = "$1" ] && [ "$rc" = "$2" ]; }
says() { grep -qE "$1" "$work/out"; }

if ! command -v bash >/dev/null || ! command -v timeout >/dev/null; then
    echo "ok 1 # SKIP no bash or no timeout here"
    echo "1..1"
    exit 0
fi

stages 60 'stage a echo "3 passed, 0 failed"; stage b echo "4 passed, 0 failed, 2 skipped"'
ok "closing lines are added up" ends "7 passed, 0 failed, 2 skipped" 0
stages 60 'stage a echo "3 passed, 1 failed, 0 skipped"'
ok "a failed test fails the whole" ends "3 passed, 1 failed, 0 skipped" 1
stages 60 'stage a true'
ok "a stage that says nothing has failed" ends "0 passed, 1 failed, 0 skipped" 1
stages 60 'stage a sh -c "echo 3 passed, 0 failed, 0 skipped; exit 2"'
ok "one that exits with an error has failed" ends "3 passed, 1 failed, 0 skipped" 1
stages 0 'stage a echo "3 passed, 0 failed, 0 skipped"'
ok "a stage without time has failed" ends "0 passed, 1 failed, 0 skipped" 1
ok "and says so" says '^==== a: FAILED, not begun: no time is left of LIMIT, 0 s$'
# Three seconds: with one, a second that ends before the first stage begins leaves it none.
stages 3 'stage a sleep 20; stage b echo "3 passed, 0 failed, 0 skipped"'
ok "a stage that is cut off has failed, and the next one finds no time" ends "0 passed, 2 failed, 0 skipped" 1
ok "the first says so" says '^==== a: FAILED, cut off after [0-9]+ s: LIMIT is 3 s for all stages$'
ok "the second too" says '^==== b: FAILED, not begun'
stages 3 'stage a sh -c "echo 3 passed, 0 failed, 0 skipped; exec sleep 20"'
ok "what a stage had passed until then counts, and it has failed" ends "3 passed, 1 failed, 0 skipped" 1

finish
