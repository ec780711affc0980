#!/bin/sh
# adapters.sh - examples/adapters: what they record of a server that computes rightly passes `compare`, and of one that does not fails.
. "$(dirname "$0")/lib.sh"
server=$BUILD/tests/tools/endpoint
adapters=$(dirname "$0")/../../examples/adapters
pid=
stop_server() {
    [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    pid=
}
trap 'stop_server; rm -rf "$work"' EXIT
command -v python3 >/dev/null 2>&1 || { skip "adapters" "no python3"; finish; }

# start MODEL MODE: a server; its address in $host
start() {
    stop_server
    : >"$work/port"
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$server" "$1" "$1" "$2" >"$work/port" 2>"$work/server.err" </dev/null &
    pid=$!
    tries=0
    while [ ! -s "$work/port" ] && [ $tries -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    host=http://127.0.0.1:$(cat "$work/port")
}
# adapt NAME ARGS...
adapt() {
    name=$1
    shift
    python3 "$adapters/$name/record.py" "$@" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
}
ours=$work/mine/recordings
chat=$work/chat.gguf
verbatim record -m "$target" -p "Hello you" -n 6 --out "$work/mine"
ok "our recording" status_is 0
verbatim record -m "$chat" -p "Hello you" -n 6 --out "$work/mine"
ok "and one of another model" status_is 0

# The server computes under q8 with a float16 cache; the recording is q16 with a float32 one.
start "$target" right
adapt llama-server --url "$host" --ours "$ours/target.q16.jsonl" --out "$work/theirs"
ok "llama-server: recorded" status_is 0
verbatim compare "$ours/target.q16.jsonl" "$work/theirs" --tolerance q8
ok "it passes" status_is 0
ok "with the whole law: KL" out_has "same best token"
ok "and log-probabilities" out_has "log-probabilities:"
verbatim compare "$ours/target.q8.jsonl" "$work/theirs" --tolerance f16
ok "hashed arrays of ours are not compared with a law, tokens are" out_has "tokens: 6 compared"
sed '3s/"values":\[-[0-9.]*/"values":[-0.01/' "$work/theirs" >"$work/changed"
verbatim compare "$ours/target.q16.jsonl" "$work/changed" --tolerance q8
ok "a changed value is found" status_is 1
ok "and placed" out_has "first beyond the tolerance: level 5, prompt 0, position 0, logits, element 0"
cp vectors/texts.jsonl "$work/mine/texts.jsonl" 2>/dev/null || printf '{"texts":"verbatim"}\n{"text":"Hello"}\n' >"$work/mine/texts.jsonl"
verbatim record -m "$target" --texts texts.jsonl --out "$work/mine"
adapt llama-server --url "$host" --texts "$work/mine/texts.jsonl" --out "$work/tokens"
ok "llama-server: token ids" status_is 0
ok "as many lines" [ "$(wc -l <"$work/tokens")" = "$(wc -l <"$work/mine/tokens/target.jsonl")" ]
grep -v '"hex"' "$work/mine/texts.jsonl" | sed 1d >"$work/texts"
sed 1d "$work/tokens" | grep '"special"' | sort >"$work/a"
sed 1d "$work/mine/tokens/target.jsonl" | sort >"$work/b"
ok "all that could be sent are ours" [ "$(comm -12 "$work/a" "$work/b" | wc -l)" = "$(wc -l <"$work/a")" ]

adapt openai --url "$host/v1" --ours "$ours/target.q16.jsonl" --out "$work/theirs"
ok "openai: ids but no alternatives" status_is 0
verbatim compare "$ours/target.q16.jsonl" "$work/theirs" --tolerance q8
ok "it passes" status_is 0
start "$chat" content
adapt openai --url "$host/v1" --ours "$ours/chat.q16.jsonl" --out "$work/theirs"
ok "openai: texts need the vocabulary" fails 1 "give --gguf"
adapt openai --url "$host/v1" --ours "$ours/chat.q16.jsonl" --out "$work/theirs" --gguf "$chat" --top 8
ok "with it they are known" status_is 0
verbatim compare "$ours/chat.q16.jsonl" "$work/theirs" --tolerance q8
ok "it passes" status_is 0
ok "eight of each law are compared" grep -q '"ids":\[[0-9,]*\],"values":' "$work/theirs"
verbatim compare "$ours/target.q16.jsonl" "$work/theirs" --tolerance q8
ok "another model's recording is refused" fails 1 "differ"
start "$target" json
adapt openai --url "$host/v1" --ours "$ours/target.q16.jsonl" --out "$work/none"
ok "half a JSON: URL" fails 1 "/v1/completions: the answer of"
stop_server
adapt llama-server --url "$host" --ours "$ours/target.q16.jsonl" --out "$work/none"
ok "nobody there: URL" fails 1 "is the server running?"
ok "no half recording" [ ! -e "$work/none" ]

# record() of the PyTorch adapter with what a model would return: our own logits, as lists, and as tensors where torch is there.
for form in lists tensors; do
    python3 - "$adapters" "$ours/target.q16.jsonl" "$work/theirs" $form >"$work/out" 2>"$work/err" <<'P'
import json, struct, sys
sys.path.insert(0, sys.argv[1] + '/transformers')
import record
lines = [json.loads(s) for s in open(sys.argv[2])]
f32 = lambda l: list(struct.unpack('>%df' % l['n'], bytes.fromhex(l['f32'])))
rows = {l['position']: f32(l) for l in lines if l.get('op') == 'logits'}
layer = {l['position']: f32(l) for l in lines if l.get('op') == 'layer_out' and l['layer'] == 0}
greedy = next(l['greedy'] for l in lines if 'greedy' in l)
n = len(rows)
def forward(ids):
    after = lambda p: [float(i == (greedy + [0])[p + 1 - n]) for i in range(len(rows[0]))]
    logits = [rows[p] if p < n else after(p) for p in range(len(ids))]
    layers = [[layer.get(p, layer[0]) for p in range(len(ids))]]
    if sys.argv[4] == 'tensors':
        import torch
        return torch.tensor(logits), [torch.tensor(x) for x in layers]
    return logits, layers
record.record(forward, sys.argv[2], sys.argv[3], 'a test')
P
    rc=$?
    if [ $form = tensors ] && grep -q "No module named 'torch'" "$work/err"; then
        skip "transformers: tensors" "no torch"
        continue
    fi
    ok "transformers: $form recorded" status_is 0
    verbatim compare "$ours/target.q16.jsonl" "$work/theirs"
    ok "bit for bit" status_is 0
    ok "with layers" out_has "arrays: $(($(grep -c '"op":"logits"' "$ours/target.q16.jsonl") * 2)) compared, 0 beyond"
done
finish
