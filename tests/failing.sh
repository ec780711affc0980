# failing.sh - failing allocations, for tests/cli/memory*.sh, which include it after lib.sh. tests/preload/failat.c stands in front of
# the C library; allocations are counted from main on, and some of them fail, one at a time, drawn with a fixed seed.
# VB_MEMORY_ALL=1: every one.
preload=$BUILD/tests/preload/failat.so
control=$work/control

NEVER=1000000000
head -c 24 /dev/zero >"$control"
arm() { printf '%s%015d' "$1" "$2" 1<>"$control"; } # without cutting it: the library has it mapped
letter() { head -c 1 "$control"; }
counted() { od -An -tu8 -j16 "$control" | tr -d ' '; }

# What differs between two runs of the same.
settle() {
    sed -E 's/"(seconds|timings)":\{[^}]*\}/"\1":{}/g; s/"(tokens_per_s|tokens_per_second|time_to_first_token|first_token_s|generation_time|there|seconds|created|cached_tokens)":[-0-9.e+]+/"\1":0/g
        s/"id":"[a-z]+-[^"]*"/"id":""/g; s/[0-9.]+ (s|ms|tokens.s)\b/N \1/g' "$1" 2>/dev/null
}

# under COMMAND...: with failing allocations, input from $work/in
under() {
    VB_FAILAT=$control LD_PRELOAD=$preload "$@" >"$work/out" 2>"$work/err" <"$work/in"
    rc=$?
    return 0
}
: >"$work/in"

arm a $NEVER
under "$BUILD/bin/verbatim" inspect "$target" --json # one that allocates
why=
[ -z "${VB_RUNNER:-}" ] || why="not under an emulator"
[ -n "$why" ] || [ -f "$preload" ] || why="$preload is not built"
[ -n "$why" ] || { [ "$rc" = 0 ] && [ "$(letter)" = c ]; } || why="nothing can be put in front of this program's allocator"
if [ -n "$why" ]; then
    skip "failing allocations" "$why"
    finish
fi

# points COUNT MOST: MOST numbers from 1 to COUNT, one from each part of it
points() {
    if [ -n "${VB_MEMORY_ALL:-}" ] || [ "$1" -le "$2" ]; then
        seq 1 "$1"
    else
        awk -v count="$1" -v most="$2" 'BEGIN { srand(7); for (i = 0; i < most; i++) print 1 + int((i + rand()) * count / most) }'
    fi
}
