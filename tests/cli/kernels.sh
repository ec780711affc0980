#!/bin/sh
# kernels.sh - the table of docs/kernels.md is what this build has.
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034,SC2086,SC2154
${VB_RUNNER:-} "$BUILD/tests/tools/kernel_table" >"$work/out" 2>"$work/err"
rc=$? # for ok
machine=$(sed -n 's/^<!-- end of \(.*\) -->$/\1/p' "$work/out")
if [ "$machine" = "other machines" ]; then
    skip "the table of docs/kernels.md" "no kernels for this machine"
    finish
fi
sed -n "/^<!-- kernels of $machine:/,/^<!-- end of $machine -->/p" docs/kernels.md >"$work/committed"
ok "the table of docs/kernels.md for $machine" same_files "$work/out" "$work/committed"
finish
