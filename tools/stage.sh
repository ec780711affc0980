# stage.sh - one part of a check that is bounded in time; sourced by .ci/run (bash).
# Environment: LIMIT, the seconds that all stages have together; LEAST, those that a stage needs to be begun at all (30).
LEAST=${LEAST:-30}
passed=0 failed=0 skipped=0
started=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# stage NAME COMMAND...: runs it and adds the numbers of its closing line, "N passed, N failed, N skipped". A stage that
# exits with an error without a failed test, or has no closing line, is a failure itself. So is one that finds no time, or
# that the time ends: what was not looked at does not pass.
stage() {
    local name=$1 begin=$SECONDS line p=0 f=0 s=0 rc
    shift
    local left=$((LIMIT - (SECONDS - started)))
    if [ $left -lt "$LEAST" ]; then
        echo "==== $name: FAILED, not begun: no time is left of LIMIT, $LIMIT s"
        failed=$((failed + 1))
        return
    fi
    echo "==== $name: $*"
    timeout -k 10 $left "$@" </dev/null 2>&1 | tee "$log" | grep -avE '^(gcc|clang|aarch64-linux-gnu-gcc|aarch64-linux-gnu-ar|ar|cp) '
    rc=${PIPESTATUS[0]}
    line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -1)
    if [ -n "$line" ]; then
        read -r p f s <<<"$(sed -E 's/[^0-9]+/ /g' <<<"$line")"
        s=${s:-0}
    fi
    if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
        f=$((f + 1))
        echo "==== $name: FAILED, cut off after $((SECONDS - begin)) s: LIMIT is $LIMIT s for all stages"
    elif [ "$f" = 0 ] && { [ "$rc" != 0 ] || [ -z "$line" ]; }; then
        f=1
        echo "==== $name: FAILED, exit status $rc, closing line: ${line:-none}"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    echo "==== $name: $p passed, $f failed, $s skipped in $((SECONDS - begin)) s"
}

# The last lines; the exit status is that of the whole.
stages_end() {
    echo "total: $((SECONDS - started)) s"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}
