#!/bin/sh
# lint.sh - what tools/lint-comments and tools/lint-arrows refuse, planted; and that the tree itself passes both.
. "$(dirname "$0")/lib.sh"
root=$(dirname "$0")/../..
f=$work/planted.c

# look TEXT: $work/planted.c holds TEXT (a format of printf); standard output and status of the check as verbatim's
look() {
    # shellcheck disable=SC2059
    printf "$1" >"$f"
    "$root/tools/lint-comments" "$f" >"$work/out" 2>"$work/err"
    rc=$?
}
refused() { [ "$rc" = 1 ] && grep -q ":$1: error: .*$2" "$work/out"; }
accepted() { [ "$rc" = 0 ] && [ ! -s "$work/out" ]; }

dashes=$(printf '%80s' '' | tr ' ' -)
full=$(printf '%98s' '' | tr ' ' x)

look "int a;\n\n/* $dashes errors */\n\nint b;\n"
ok "a ruler on one line" accepted
look "int a;\n/* $dashes errors\n */\nint b;\n"
ok "a ruler whose end is on the next line" refused 2 "ruler whose end"
look "/* $dashes the\n * command */\nint b;\n"
ok "a ruler with a word of its title on the next line" refused 1 "ruler whose end"
look "/* $dashes\n * tensors */\n"
ok "a ruler with all of its title there" refused 1 "ruler"
look "/* $dashes logarithms\n *\n *   log x = k*ln 2 + log(1 + f)\n */\n"
ok "a ruler at the head of a longer comment" accepted
look "/* $full\n * $full\n */\nint a;\n"
ok "the end of a comment alone behind a full line" refused 3 "alone behind a full line"
look "struct s {\n    /* $full\n     */\n    int a;\n};\n"
ok "the same inside a struct" refused 3 "alone behind a full line"
look "/* $full\n * and a second line.\n */\nint a;\n"
ok "the end alone behind a short line" accepted
look "/* $full and some more */\nint a;\n"
ok "a comment of more than 110 columns" refused 1 "more than 110 columns"
look "/* A table:\n *   acc = fmaf(d_x, d_w, acc)   $full\n */\n"
ok "a row of a table of more than 110 columns" refused 2 "more than 110 columns"
look "int a; // $full and more\n"
ok "the same behind code" refused 1 "more than 110 columns"
look "const char *s = \"/* $full and more\";\nconst char *t = \"$full $full\";\n"
ok "a long string is no comment" accepted
look "/* https://example.org/$full\n */\n"
ok "an address may be long" refused 2 "alone behind"

files=$(cd "$root" && git ls-files '*.c' '*.h' 2>/dev/null | grep -v '^server/.*generated')
if [ -n "$files" ]; then
    (cd "$root" && echo "$files" | xargs tools/lint-comments) >"$work/out" 2>&1
    rc=$?
    ok "the tree's own comments" accepted
fi

# arrows FILE TEXT ...: these files in folders of their own; what tools/lint-arrows says of them
lint_arrows=$(cd "$root/tools" && pwd)/lint-arrows
house=$work/house
arrows() {
    rm -rf "$house"
    planted=
    while [ $# -gt 1 ]; do
        mkdir -p "$house/$(dirname "$1")"
        printf '%s\n' "$2" >"$house/$1"
        planted="$planted $1"
        shift 2
    done
    # shellcheck disable=SC2086
    (cd "$house" && "$lint_arrows" $planted) >"$work/out" 2>"$work/err"
    rc=$?
}
says() { [ "$rc" = 1 ] && grep -q "error: .*$1" "$work/out"; }
table() { [ "$rc" = 0 ] && grep -q "$1" "$work/out"; }

arrows engine/a.c '#include "ref/b.h"' ref/b.h '#include "base/c.h"' base/c.h 'int c;'
ok "arrows that the house allows, in a table" table "^engine  *-> ref 1$"
arrows ref/a.c '#include "engine/b.h"' engine/b.h 'int b;'
ok "an arrow up" says "ref/ may not include engine/"
arrows gguf/a.c '#include "simd/b.h"' simd/b.h 'int b;'
ok "an arrow that nothing asked for" says "gguf/ may not include simd/"
arrows simd/a.c '#include "ref/model.h"' ref/model.h 'int b;'
ok "more of ref/ than the contract" says "the contract alone"
arrows attic/a.c '#include "base/b.h"' base/b.h 'int b;'
ok "a folder that has no row" says "attic/ has no row"
arrows ref/a.c '#include "model.h"' ref/model.h 'int b;'
ok "an include without its folder" says "does not name its folder"
arrows ref/a.h '#include "ref/b.h"' ref/b.h '#include "ref/c.h"' ref/c.h '#include "ref/a.h"'
ok "a circle of files" says "a circle of includes"
arrows base/a.h '#include "include/b.h"' include/b.h '#include "base/c.h"' base/c.h 'int c;'
ok "a circle of folders" says "a circle of includes: [a-z]* -> [a-z]* -> "

if [ -n "$files" ]; then
    (cd "$root" && echo "$files" | xargs tools/lint-arrows) >"$work/out" 2>&1
    rc=$?
    ok "the tree's own arrows" table "^engine "
fi

# A set of kernels without a word of simd/vec.h, or with one of another type, is refused by the compiler, with its name.
# The set is one of the compiler's machine, not of this one: a cross compiler takes another machine's file as empty.
cc=${CC:-cc}
case $("$cc" -dumpmachine 2>/dev/null) in
x86_64*) set=avx2 ;;
aarch64*) set=neon ;;
*) set= ;;
esac
# words SED: kernels_$set.c with vec_$set.h edited so
words() {
    rm -rf "$house"
    mkdir -p "$house/simd"
    sed "$1" "$root/simd/vec_$set.h" >"$house/simd/vec_$set.h"
    (cd "$root" && "$cc" -std=c11 -fsyntax-only -D_GNU_SOURCE -I"$house" -I. -Iinclude "simd/kernels_$set.c") >"$work/out" 2>"$work/err"
    rc=$?
}
names() { [ "$rc" != 0 ] && grep -q "error: .*$1" "$work/err"; }
if [ -n "$set" ] && command -v "$cc" >/dev/null 2>&1; then
    words ''
    ok "a complete set compiles" [ "$rc" = 0 ]
    words '/^INLINE ivec i_if_ge/,/^}/d'
    ok "a set without a word" names i_if_ge
    words 's/^INLINE v16 v16_neg(/INLINE v16 v16_negative(/'
    ok "a set that calls a word otherwise" names v16_neg
    words 's/^INLINE ivec i_set8(int x)/INLINE ivec i_set8(short x)/'
    ok "a word of another type" names "simd/vec.h asks for ivec i_set8(int x)"
    words 's/^    TILE_ROWS = 2,/    TILE_ROWS = 9,/'
    ok "a number that does not fit" names "simd/vec.h: TILE_ROWS"
else
    skip "words of a set of kernels" "no compiler, or no set for this machine"
fi

finish
