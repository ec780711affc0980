#!/bin/sh
# matrix.sh - examples/benchmark-matrix against a server: every draft length writes the same text, and a table and a picture come of it.
. "$(dirname "$0")/lib.sh"
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
if ! command -v python3 >/dev/null 2>&1; then
    skip "the matrix of draft lengths" "there is no python3"
    finish
fi
if ! start_server -m "$target" -md "$draft" --slots 1 -c 512 --costs "$work/costs.json"; then
    ok "a server" false
    finish
fi
printf 'Once upon a time\nThe king\\nand the queen\n' >"$work/prompts.txt"
python3 "$(dirname "$0")/../../examples/benchmark-matrix/matrix.py" "$url/v1" --prompts "$work/prompts.txt" -n 16 --rounds 2 \
    --temperature 0.8 --out "$work/matrix" >"$work/out" 2>"$work/err"
rc=$?
ok "the matrix of draft lengths: status 0" status_is 0
for gamma in none 2 3 5 7 auto; do
    ok "a row for $gamma, with the same text" grep -q "^| $gamma | .* | yes |\$" "$work/matrix/matrix.md"
done
ok "the table is printed, too" out_has "| gamma | tokens/s |"
ok "an acceptance" grep -q '| 3 | .* % | yes |' "$work/matrix/matrix.md"
ok "a picture with a bar for each" test "$(grep -c 'fill="#4a7ab5"' "$work/matrix/matrix.svg")" = 6
ok "which is XML" python3 -c "import sys, xml.dom.minidom as x; x.parse(sys.argv[1])" "$work/matrix/matrix.svg"
ok "what passes cost was kept" test -s "$work/costs.json"
curl -s "$url/v1/completions" -d '{"prompt": "Once upon", "max_tokens": 40, "seed": 3, "accept": "rejection", "gamma": "auto", "verbatim": true}' >"$work/out"
ok "an answer to auto says how many tokens its steps drafted" out_has '"steps_by_length"'
ok "and by which costs" out_has "\"costs\":\"$(python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['hash'])" "$work/costs.json")\""
finish
