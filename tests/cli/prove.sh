#!/bin/sh
# prove.sh - trace-check.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"

for rule in coupled rejection block; do
    verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --temp 1 --accept $rule --trace "$work/t" --trace-full -t 1
    verbatim trace-check "$work/t"
    ok "trace-check, $rule: everything follows" status_is 0
    ok "and it says what was derived" out_has "derived again"
    verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --temp 1 --accept $rule --trace "$work/s" -t 1
    verbatim trace-check "$work/s"
    ok "trace-check, $rule, without the laws" status_is 0
    ok "and it says what was not derived" out_has "not derived"
done
verbatim trace-check "$work/t" --json
ok "trace-check --json" out_has '"ok":true,"line":null'
sed '3s/"step":0/"step":1/' "$work/t" >"$work/changed"
verbatim trace-check "$work/changed"
ok "a changed byte names its line" fails 1 "line 3: the chain breaks"
verbatim trace-check "$work/changed" --json
ok "and with --json" out_has '"ok":false,"line":3'
ok "the status is 1" status_is 1
sed '$d' "$work/t" >"$work/changed"
verbatim trace-check "$work/changed"
ok "a trace without its end" fails 1 "ends early"
verbatim trace-check "$work/none"
ok "no such file" fails 1 "cannot read"
verbatim trace-check
ok "no file named" fails 2 "trace-check FILE"
finish
