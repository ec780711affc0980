#!/bin/sh
# vectors.sh - record, check and compare as people run them.
. "$(dirname "$0")/lib.sh"

dir=$work/vectors
verbatim record --out "$dir"
ok "record writes the formats" test -s "$dir/blocks.jsonl" -a -s "$dir/dots.jsonl"
verbatim record -m "$target" --tokens 1,290,372 -n 3 --name t --out "$dir"
ok "record writes a model's recordings" test -s "$dir/recordings/t.q8.jsonl" -a -s "$dir/recordings/t.q16.jsonl"
verbatim record --manifest --out "$dir"
ok "record writes the manifest" test -s "$dir/manifest.jsonl"
verbatim check "$dir"
ok "check passes" status_is 0
ok "check makes recordings again" out_has "recordings/t.q16.jsonl"
verbatim compare "$dir/recordings/t.q16.jsonl" "$dir/recordings/t.q16.jsonl"
ok "a recording equals itself" status_is 0
verbatim compare "$dir/recordings/t.q16.jsonl" "$dir/recordings/t.q8.jsonl"
ok "q8 is not q16, bit for bit" status_is 1
ok "the first difference is named" out_has "first difference: level 4, prompt 0, position 0, layer 0, q, element 0"
# Reports. The name of the recording is one that must be escaped.
python=$(command -v /usr/bin/python3 || command -v python3 || true)
wellformed() {
    if command -v xmllint >/dev/null 2>&1; then
        xmllint --noout "$1"
    else
        "$python" -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$1"
    fi
}
wellformed_ok() {
    if command -v xmllint >/dev/null 2>&1 || [ -n "$python" ]; then
        ok "$1 is well-formed" wellformed "$2"
    else
        skip "$1 is well-formed" "neither xmllint nor python3"
    fi
}
asks_outside() { sed 's|xmlns="http://www.w3.org/1999/xhtml"||' "$1" | grep -qiE 'https?:|src=|href=|url\(|@import|<script'; }
asks_nothing() { ! asks_outside "$1"; }
cp "$dir/recordings/t.q8.jsonl" "$work/a<b>&\"c.jsonl"
verbatim compare "$dir/recordings/t.q16.jsonl" "$work/a<b>&\"c.jsonl" --html "$work/r.html" --junit "$work/r.xml"
ok "compare with reports" status_is 1
wellformed_ok "compare --html" "$work/r.html"
wellformed_ok "compare --junit" "$work/r.xml"
ok "the page asks for nothing from outside" asks_nothing "$work/r.html"
ok "it has a dark side" grep -q "prefers-color-scheme:dark" "$work/r.html"
ok "it shows the map of layers" grep -q "attn_norm" "$work/r.html"
ok "names are escaped" grep -qF 'a&lt;b&gt;&amp;&quot;c.jsonl' "$work/r.html"
ok "the build server sees the failure" grep -q '<failure message=' "$work/r.xml"
ok "and how many" grep -qE 'tests="[1-9][0-9]*" failures="[1-9]' "$work/r.xml"
verbatim check "$dir" --quick --html "$work/k.html" --junit "$work/k.xml"
ok "check with reports" status_is 0
wellformed_ok "check --html" "$work/k.html"
wellformed_ok "check --junit" "$work/k.xml"
ok "the page asks for nothing from outside" asks_nothing "$work/k.html"
ok "a case for each file" grep -q 'name="recordings/t.q16.jsonl"' "$work/k.xml"
ok "nothing failed" grep -q 'failures="0"' "$work/k.xml"
verbatim check "$dir" --quick --json
ok "check --json" out_has '"verbatim":"check","version":1,"pass":true'
verbatim check "$dir" --quick --html "$work/none/k.html"
ok "a report that cannot be written" status_is 1
# What is not known is said, wherever the result is read.
sed 's/"logprobs":"[0-9a-f]*",*//; s/^{}$/{"cache":""}/' "$dir/recordings/t.q16.jsonl" >"$work/none.jsonl"
verbatim compare "$dir/recordings/t.q16.jsonl" "$work/none.jsonl" --html "$work/n.html" --junit "$work/n.xml"
ok "a recording without log-probabilities passes" status_is 0
ok "and that none were compared is said" out_has "log-probabilities: NONE compared of "
ok "in the page too" grep -q "NONE compared of " "$work/n.html"
ok "for a build server they are skipped" grep -qE 'name="prompt 0: log-probabilities"><skipped message=' "$work/n.xml"
ok "and counted" grep -qE 'failures="0" errors="0" skipped="1"' "$work/n.xml"
wellformed_ok "that page" "$work/n.html"
wellformed_ok "that report" "$work/n.xml"
verbatim compare "$dir/recordings/t.q16.jsonl" "$work/none.jsonl" --json
ok "--json counts them" out_has '"logprobs":0,"logprobs_not_compared":'
sed 's/"logprobs":"[0-9a-f]\{16\}/"logprobs":"7ff8000000000000/' "$dir/recordings/t.q16.jsonl" >"$work/nan.jsonl"
for tolerance in bitwise f32 f16 q8; do
    verbatim compare "$dir/recordings/t.q16.jsonl" "$work/nan.jsonl" --tolerance $tolerance
    ok "a log-probability that is NaN, --tolerance $tolerance" fails 1 "value 0 is not finite"
done
# Levels 1 to 3
verbatim compare "$dir/dots.jsonl" "$dir/dots.jsonl"
ok "dots equal themselves" status_is 0
awk '/"dots":"Q6_K"/ && !done { sub(/"isum":\[/, "&9"); done = 1 } { print }' "$dir/dots.jsonl" >"$work/dots.jsonl"
verbatim compare "$dir/dots.jsonl" "$work/dots.jsonl" --tolerance q8
ok "a wrong sum is beyond every tolerance" status_is 1
ok "and is named" out_has "Q6_K isum, element 0"
verbatim compare "$dir/dots.jsonl" "$dir/blocks.jsonl"
ok "files of two kinds" fails 1 "line 1: not of the same"
head -n 20 "$dir/dots.jsonl" >"$work/cut.jsonl"
verbatim compare "$dir/dots.jsonl" "$work/cut.jsonl"
ok "dots that were cut off" fails 1 "line 21"
head -n 20 "$dir/recordings/t.q16.jsonl" > "$work/cut.jsonl"
verbatim compare "$dir/recordings/t.q16.jsonl" "$work/cut.jsonl"
ok "a recording that was cut off" fails 1 "line 21"
printf 'x' >> "$dir/blocks.jsonl"
verbatim check "$dir"
ok "a changed file is found" status_is 1
ok "and named" out_has "not ok - blocks.jsonl"
verbatim record
ok "record without a folder" fails 2 "--out DIR"
printf '{"tokens":[1,290]}\n{"text":"a\\u0000b"}\n\0\n{"tokens":[1]}\n' >"$work/prompts"
verbatim record -m "$target" --prompts "$work/prompts" -n 1 --name p --out "$work/p"
ok "a line after a NUL byte is not passed over" fails 1 "prompts: line 3"
verbatim compare "$dir/blocks.jsonl"
ok "compare without a second file" fails 2 "two recordings"
verbatim check "$work/none"
ok "check of nothing" fails 1 "manifest.jsonl"
finish
