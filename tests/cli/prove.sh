#!/bin/sh
# prove.sh - trace-check, prove.
. "$(dirname "$0")/lib.sh"
P="Once upon a time"

for rule in coupled rejection block; do
    verbatim run -m "$target" -md "$draft" -p "$P" -n 24 --seed 5 --temp 1 --accept $rule --trace "$work/t" --trace-full -t 1
    verbatim trace-check "$work/t"
    ok "trace-check, $rule: everything follows" status_is 0
    ok "and says so first" test "$(head -c 3 "$work/out")" = OK:
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

# prove
common="-m $target -md $draft -p Hello --temp 1 --top-k 6 --top-p 1 --min-p 0 --samples 400 -t 1 -c 64"
for rule in coupled rejection block; do
    # shellcheck disable=SC2086
    verbatim prove $common --accept $rule
    ok "prove, $rule: passes" status_is 0
    ok "and says so" out_has "PASS: nothing speaks against the target's law"
    ok "and what it could not have seen" out_has "would have been found"
done
# shellcheck disable=SC2086
verbatim prove $common --accept coupled --json
ok "prove --json" out_has '"ok":true'
ok "coupled gives the path of the target alone (P2)" out_has '"paths":200,"path_differs":0'
# shellcheck disable=SC2086
verbatim prove $common --accept row-shift
ok "a wrong rule fails" status_is 1
ok "and is called wrong on purpose" out_has "wrong on purpose"
ok "with the most wrong prefixes" out_has "FAIL: this is not the target's law"
# shellcheck disable=SC2086
verbatim prove $common --accept no-such-rule
ok "a rule that does not exist" fails 2 "expected coupled, greedy"
verbatim prove -m "$target" --accept row-shift
ok "a wrong rule without a draft" fails 2 "give -md DRAFT"
verbatim prove -m "$target" --samples 3
ok "too few samples" fails 2 "expected 100"
awk 'BEGIN { for (i = 0; i < 300; i++) print "3 4 5" }' >"$work/samples"
verbatim prove -m "$target" -p Hello --samples "$work/samples" -t 1
ok "samples that are not the target's" status_is 1
printf '3 4 5\n3 4\n' >"$work/samples"
verbatim prove -m "$target" -p Hello --samples "$work/samples" -t 1
ok "a short line is named" fails 1 "line 2: 2 ids"
printf '3 4 x\n' >"$work/samples"
verbatim prove -m "$target" -p Hello --samples "$work/samples" -t 1
ok "a line that is no ids is named" fails 1 "line 1: expected token ids"
# texts
verbatim run -m "$target" -p Hello -n 16 --temp 0 -t 1 --json
greedy=$(json text)
awk -v t="$greedy" 'BEGIN { gsub(/\\/, "\\\\", t); for (i = 0; i < 100; i++) print "\"" t "\"" }' >"$work/samples"
texts="-m $target -p Hello --temp 0 -t 1 -c 64 --bytes 3 --samples $work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "texts of the only path pass" status_is 0
ok "and it is bytes that are compared" out_has "the exact law of their first bytes"
awk 'BEGIN { for (i = 0; i < 100; i++) print "{\"text\":\"never this\",\"finish_reason\":\"stop\"}" }' >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "other texts fail" status_is 1
ok "and are impossible" out_has "100 completions hold a text to which the target gives the probability 0"
printf "p\np\n" >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as text
ok "plain lines are texts" out_has "2 completions have fewer than 3 bytes"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as text --json
ok "and with --json" out_has '"bytes":3,"cells"'
printf '"fine, really"\n"broken\n' >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "a line that is no JSON is named" fails 1 "$work/samples: line 2: column"
printf '"fine, really"\n[1,2]\n' >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "a line that is no text is named" fails 1 "$work/samples: line 2: expected a string"
printf '{"text":"ab","finish_reason":"length"}\n' >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "a text that was cut off is named" fails 1 "line 1: 2 bytes cut off"
printf '{"text":"four","finish_reason":"tired"}\n' >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as json
ok "a reason that is none is named" fails 1 'line 1: "finish_reason"'
: >"$work/samples"
# shellcheck disable=SC2086
verbatim prove $texts --samples-as text
ok "an empty file" fails 1 "no samples"
verbatim prove -m "$target" --samples-as text
ok "texts of no file" fails 2 "add --samples FILE"
verbatim prove --help
ok "the wrong rules are listed as wrong" out_has "WRONG ON PURPOSE"
for rule in $(sed -n 's/^    {"\([a-z-]*\)", "\(.*\)$/\1/p' prove/wrong_rules.c); do
    ok "--help lists $rule" out_has "$rule"
done
finish
