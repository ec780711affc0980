#!/bin/sh
# grammar.sh - `verbatim grammar`: kinds of files, texts and their exit status, what may come next.
. "$(dirname "$0")/lib.sh"
# says STATUS PATTERN: ended with that status, and standard output has a line of that pattern
says() { [ "$rc" = "$1" ] && grep -q -- "$2" "$work/out"; }
printf 'root ::= "yes" | "no" [a-c]\n' >"$work/answer.gbnf"
printf '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}' >"$work/schema.json"
printf '[0-9]{4}-[0-9]{2}\n' >"$work/month.regex"

verbatim grammar "$work/answer.gbnf"
ok "a grammar is read" says 0 "read in .* ms: 1 rules"
ok "and says what may come" out_has "bytes that may come: n y"
verbatim grammar "$work/answer.gbnf" -p yes
ok "a whole text" says 0 "the text is complete, and nothing may follow"
verbatim grammar "$work/answer.gbnf" -p no
ok "a beginning: status 1" says 1 "a beginning of one of the grammar, not complete"
ok "and what may follow" out_has "bytes that may come: a..c"
verbatim grammar "$work/answer.gbnf" -p "yet"
ok "no beginning: status 1, and where" says 1 'its first 2 bytes are, and then "t" does not fit'
printf no1 >"$work/text"
verbatim grammar "$work/answer.gbnf" -f "$work/text" --json
ok "as JSON" says 1 '"valid_bytes": *2'
verbatim grammar "$work/schema.json" -p '{"a":1}'
ok "a schema by its name" says 0 "complete"
verbatim grammar "$work/month.regex" -p 2026-11
ok "a regular expression by its name" says 0 "complete"
verbatim grammar "$work/month.regex" --kind gbnf
ok "--kind goes first" fails 1 "line 1: a rule's name is missing"
verbatim grammar "$work/month.regex" --kind json-object -p '{}'
ok "any JSON object" says 0 "complete"
verbatim grammar
ok "no file" fails 2 "no grammar"
printf 'root ::= "a"\n\nb ::= c\n' >"$work/bad.gbnf"
verbatim grammar "$work/bad.gbnf"
ok "a mistake has its line" fails 1 'line 3: rule "c" is used and nowhere defined'
printf '(a)\\1' >"$work/back.regex"
verbatim grammar "$work/back.regex"
ok "what is not supported has its name and place" fails 1 "character 5: back references"
verbatim grammar "$work/answer.gbnf" -m "$target" -p no
ok "with a model: ids" out_has "ids that may come: "
verbatim grammar "$work/answer.gbnf" -m "$target" -p y
ok "and the text that must come" out_has 'text that must come: "es"'
if [ -z "${VB_RUNNER:-}" ] && python3 -c 'import re' 2>/dev/null; then
    python3 tests/regex_differential.py --pipe "$BUILD/tests/tools/schema_pipe" --patterns 40 --seed 5 >"$work/out" 2>&1
    rc=$?
    ok "40 random patterns mean what they mean to Python's re" [ $rc = 0 ]
else
    skip "random patterns against Python's re" "there is no python3, or programs are emulated"
fi
finish
