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
head -n 20 "$dir/recordings/t.q16.jsonl" > "$work/cut.jsonl"
verbatim compare "$dir/recordings/t.q16.jsonl" "$work/cut.jsonl"
ok "a recording that was cut off" fails 1 "line 21"
printf 'x' >> "$dir/blocks.jsonl"
verbatim check "$dir"
ok "a changed file is found" status_is 1
ok "and named" out_has "not ok - blocks.jsonl"
verbatim record
ok "record without a folder" fails 2 "--out DIR"
verbatim compare "$dir/blocks.jsonl"
ok "compare without a second file" fails 2 "two recordings"
verbatim check "$work/none"
ok "check of nothing" fails 1 "manifest.jsonl"
finish
