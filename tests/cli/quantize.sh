#!/bin/sh
# quantize.sh - verbatim quantize: what it prints, what it leaves behind, and that the result speaks.
. "$(dirname "$0")/lib.sh"
source=$work/float.gguf
nothing_left() { [ ! -e "$1" ] && ! unfinished "$1"; }
unfinished() { # a file OUT.part-PID is there
    for part in "$1".part*; do [ -e "$part" ] && return 0; done
    return 1
}

for type in F16 Q8_0 q4_k_m; do
    verbatim quantize "$source" "$work/q.gguf" $type --force
    ok "$type succeeds" status_is 0
    ok "$type: a line per tensor and a summary" grep -qE 'q\.gguf: .* bits per parameter, rmse [0-9.]+ %' "$work/out"
    ok "$type: standard error stays empty" test ! -s "$work/err"
    verbatim run -m "$work/q.gguf" -p "Once upon a time" -n 8 --seed 1
    ok "$type: the result speaks" status_is 0
done
verbatim inspect "$work/q.gguf" --json
ok "the file says what it is" grep -qF '"general.quantization_version"' "$work/out"

verbatim quantize "$source" "$work/t1.gguf" Q4_K -t 1
verbatim quantize "$source" "$work/t3.gguf" Q4_K -t 3
ok "the same bytes for any number of threads" same_files "$work/t1.gguf" "$work/t3.gguf"
ok "every stand-in is reported" grep -qF 'not Q4_K: rows of 192 are no multiple of 256' "$work/out"
verbatim quantize "$source" "$work/pure.gguf" Q4_K --pure
ok "--pure is another file" test "$(cmp -s "$work/t1.gguf" "$work/pure.gguf"; echo $?)" = 1

verbatim quantize "$source" "$work/x.gguf"
ok "three arguments" fails 2 "quantize IN OUT TYPE"
verbatim quantize "$source" "$work/x.gguf" Q8_0 more
ok "not four" fails 2 'unexpected argument "more"'
verbatim quantize "$source" "$work/x.gguf" Q9_K
ok "an unknown type lists the known ones" fails 1 "Q4_K_M"
verbatim quantize "$source" "$work/t1.gguf" Q4_K
ok "an existing output needs --force" fails 1 "t1.gguf exists"
verbatim quantize "$work/t1.gguf" "$work/x.gguf" Q8_0
ok "a quantised input is refused" fails 1 "already quantised (Q"
verbatim quantize "$source" "$source" Q8_0 --force
ok "so is the input as output" fails 1 "is the input itself"
ok "nothing is left behind" nothing_left "$work/x.gguf"

# With standard output closed the table of tensors must not lie among the weights.
${VB_RUNNER:-} "$BUILD/bin/verbatim" quantize "$source" "$work/x.gguf" Q8_0 >&- 2>"$work/err"
rc=$?
ok "a closed standard output is an error" test $rc = 1
ok "and leaves nothing behind" nothing_left "$work/x.gguf"

(
    ulimit -f 8
    verbatim quantize "$source" "$work/x.gguf" Q8_0
    [ "$rc" = 1 ] && grep -q "the file needs [0-9]* bytes" "$work/err"
)
ok "a full disk is an error" test $? = 0
ok "and leaves nothing behind" nothing_left "$work/x.gguf"
if [ -w /dev/full ]; then
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$BUILD/bin/verbatim" quantize "$source" "$work/x.gguf" Q8_0 >/dev/full 2>"$work/err"
    rc=$?
    ok "a report that cannot be printed is an error" test $rc = 1
    ok "which leaves nothing behind" nothing_left "$work/x.gguf"
fi

# Ctrl-C once the unfinished file is there, well before it is complete. (Some shells start background commands with
# interrupts ignored; the program listens all the same.)
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/bin/verbatim" quantize "$source" "$work/c.gguf" Q5_1 -t 1 >"$work/out" 2>"$work/err" &
pid=$!
i=0
while ! unfinished "$work/c.gguf" && [ $i -lt 1000 ]; do
    sleep 0.01
    i=$((i + 1))
done
kill -INT $pid
wait $pid
rc=$?
ok "Ctrl-C stops it" test $rc = 1
ok "it says where" err_has "stopped at tensor"
ok "and leaves nothing behind" nothing_left "$work/c.gguf"
finish
