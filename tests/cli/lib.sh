# lib.sh - what the scripts in tests/cli share. They test the program as people run it, on small seeded models, and
# print TAP. Each starts with `. "$(dirname "$0")/lib.sh"` and ends with `finish`.
# Environment: BUILD (default build), VB_RUNNER (an emulator in front of the program).
BUILD=${BUILD:-build}
work=$(mktemp -d "${TMPDIR:-/tmp}/verbatim-cli.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
unset NO_COLOR
export VERBATIM_CACHE="$work/cache" # what is measured here is nobody else's
count=0 bad=0

# verbatim ARGS...: standard output in $work/out, standard error in $work/err, the exit status in $rc
verbatim() {
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
    return 0
}
verbatim --version
[ "$rc" = 0 ] || { echo "not ok 1 - $BUILD/bin/verbatim does not run"; exit 1; }
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/tests/tools/tiny_pair" "$work" || { echo "not ok 1 - cannot write the models"; exit 1; }
target=$work/target.gguf draft=$work/draft.gguf

# start_server ARGS...: a server (tests/server.sh) whose standard error is $work/server.err
. "$(dirname "$0")/../server.sh"
start_server() { serve server "$@" || { cp "$work/server.err" "$work/err" && return 1; }; }

# ok NAME CONDITION...: one test; the condition is a command
ok() {
    name=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $name"
    else
        bad=$((bad + 1))
        echo "not ok $count - $name"
        echo "#   failed: $*"
        echo "#   exit status $rc; standard output and error:"
        head -c 1500 "$work/out" | sed 's/^/#   | /'
        head -c 1500 "$work/err" | sed 's/^/#   > /'
    fi
}
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}
finish() {
    echo "1..$count"
    [ "$bad" = 0 ] || exit 1
    exit 0
}

status_is() { [ "$rc" = "$1" ]; }
out_has() { grep -qF -- "$1" "$work/out"; }
err_has() { grep -qF -- "$1" "$work/err"; }
out_empty() { [ ! -s "$work/out" ]; }
# fails STATUS TEXT: ended with that status, a message that has the text on standard error, nothing on standard output
fails() { [ "$rc" = "$1" ] && [ ! -s "$work/out" ] && grep -qF -- "$2" "$work/err"; }
same_files() { [ -s "$1" ] && cmp -s "$1" "$2"; } # two empty ones prove nothing

# json KEY: the value of a key in the one-line object on standard output; arrays whole. Keys are unique enough: the
# first one counts. text, the only value that may hold quotes and brackets, comes out with its escapes.
json() {
    awk -v key="\"$1\":" '{
        at = index($0, key)
        if (!at) exit
        s = substr($0, at + length(key))
        if (substr(s, 1, 1) == "\"") { match(s, /^"([^"\\]|\\.)*"/); print substr(s, 2, RLENGTH - 2); exit }
        if (substr(s, 1, 1) == "[") { match(s, /^\[[^]]*\]/); print substr(s, 1, RLENGTH); exit }
        match(s, /^[^,}]*/)
        print substr(s, 1, RLENGTH)
    }' "$work/out"
}
json_is() { [ -n "$2" ] && [ "$(json "$1")" = "$2" ]; }
json_less() { awk -v a="$(json "$1")" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 < b + 0) }'; }
json_more() { awk -v a="$(json "$1")" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 > b + 0) }'; }
# elements of an array
json_count() { json "$1" | awk '{ s = $0; if (s == "[]") print 0; else print gsub(/,/, ",", s) + 1 }'; }
