#!/bin/sh
# kill.sh - `verbatim serve` under clients that behave badly (tests/soak/kill.py), and many at a time (tests/soak/soak.py, for
# SOAK_SECONDS, here 3); it ends in order with a stream under way.
. "$(dirname "$0")/lib.sh"
if ! command -v python3 >/dev/null 2>&1; then
    skip "bad clients" "there is no python3"
    finish
fi
here=$(cd "$(dirname "$0")" && pwd)
models=$here/../../vectors/models
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT
: >"$work/stream"
ok "the server starts" start_server -m "$models/tales-target-q4_k_m.gguf" -md "$models/tales-draft-q8_0.gguf"

# tests ARGS...: a program that prints TAP; its lines with our numbers
tests() {
    python3 "$@" >"$work/out" 2>"$work/err"
    rc=$?
    good=$(grep -c '^ok ' "$work/out") wrong=$(grep -c '^not ok ' "$work/out")
    sed -n 's/^ok [0-9]* - /ok - /p; s/^not ok [0-9]* - /not ok - /p; /^#/p' "$work/out"
    count=$((count + good + wrong)) bad=$((bad + wrong))
    ok "$(basename "$1") ends with status 0" status_is 0
}
tests "$here/../soak/kill.py" "$url/v1"
tests "$here/../soak/soak.py" "$url/v1" 0 --seconds "${SOAK_SECONDS:-3}" --requests 12 --clients 6

python3 -c '
import json, sys, urllib.request
body = json.dumps({"prompt": "Once upon a time", "max_tokens": 400, "seed": 3, "stream": True}).encode()
for line in urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/completions", body, {"Content-Type": "application/json"})):
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
' "$url/v1" >"$work/stream" 2>"$work/err" &
client=$!
tries=0
until grep -q '^data: ' "$work/stream" || [ $tries -gt 100 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
kill -TERM "$server"
wait "$server"
rc=$?
server=''
ok "SIGTERM with a stream under way: exit status 0" status_is 0
wait "$client"
rc=$?
ok "and the stream came to its end" grep -q '^data: \[DONE\]' "$work/stream"
finish
