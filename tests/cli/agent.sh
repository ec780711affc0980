#!/bin/sh
# agent.sh - conversations with tools and reasoning through `verbatim serve`, over a model that says what tests/cli/agent.json has
# for it: calls cut out whole and in streams, results, thoughts, prompts without generating, answers that are gone on with.
. "$(dirname "$0")/lib.sh"
if ! command -v curl >/dev/null 2>&1 || ! command -v python3 >/dev/null 2>&1; then
    skip "the server with tools" "there is no curl or no python3"
    finish
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
server='' url='' code=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null; rm -rf "$work"' EXIT

# ask PATH JSON: body in $work/out, status in $code
ask() {
    code=$(curl -sS -m 60 -o "$work/out" -w '%{http_code}' -H 'Content-Type: application/json' -d "$2" "$url$1" 2>"$work/err")
    rc=$?
}
# said: what an answer says, whole or put together from its stream:  CONTENT|REASONING|NAME(ARGUMENTS)...|FINISH_REASON
said() {
    python3 - "$work/out" <<'P'
import json, sys
text = open(sys.argv[1], encoding="utf-8").read()
content, reasoning, calls, reason = None, "", [], None
def take(m, index):
    global content, reasoning
    if m.get("content") is not None: content = (content or "") + m["content"]
    reasoning += m.get("reasoning_content") or ""
    for i, c in enumerate(m.get("tool_calls") or []):
        i = c["index"] if index else i
        if i == len(calls):  # the first delta of a call: id, type and name
            assert len(c["id"]) == 9 and c["type"] == "function" and c["function"]["name"]
            calls.append([c["function"]["name"], ""])
        calls[i][1] += c["function"]["arguments"]
if text.startswith("data:"):
    events = [l[6:] for l in text.split("\n") if l.startswith("data: ")]
    assert events.pop() == "[DONE]"
    for e in map(json.loads, events):
        for c in e["choices"]:
            assert reason is None
            take(c["delta"], True)
            reason = c["finish_reason"]
    if content == "" and calls: content = None
else:
    c = json.loads(text)["choices"][0]
    take(c["message"], False)
    reason = c["finish_reason"]
print("%s|%s|%s|%s" % (content, reasoning, " ".join("%s(%s)" % tuple(c) for c in calls), reason))
P
}
says() { [ "$code" = 200 ] && [ "$(said)" = "$1" ]; }
# field PATH...: a value of the answer, as JSON
field() {
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
for k in sys.argv[2:]: v = v[int(k)] if isinstance(v, list) else v[k]
print(json.dumps(v))' "$work/out" "$@" 2>/dev/null
}
field_is() { # field_is VALUE PATH...
    want=$1
    shift
    [ "$(field "$@")" = "$want" ]
}
refused() { [ "$code" = 400 ] && grep -qF -- "$1" "$work/out" && grep -q '^{"error":{"message":' "$work/out"; }

# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/tests/tools/scripted_model" "$(dirname "$0")/agent.json" "$work/agent.gguf"
ok "the server" start_server -m "$work/agent.gguf" --draft ngram -c 4096 --slots 2
ok "the start names the form of calls" grep -qF '  tools    yes: a call begins with <tool_call>\n{\"name\": \"' "$work/server.err"
ok "and of thoughts" grep -qF '  thinking between <think>\n and \n</think>\n\n, switched by enable_thinking' "$work/server.err"

hi='"messages":[{"role":"user","content":"Hi"}]'
tools='"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"number"}}}}},{"type":"function","function":{"name":"get_time"}}]'
call='get_weather({"city": "Paris, \"Île\"", "days": 1.50})'

# ---------------------------------------------------------------------------------------------------- calls
for stream in false true; do
    s="\"stream\":$stream"
    ask /v1/chat/completions "{$hi,$s}"
    ask /v1/chat/completions "{$hi,$s}"
    ok "text, stream $stream" says "Hello, wörld STOP here.|||stop"
    ask /v1/chat/completions "{$hi,$tools,$s}"
    ok "a call behind a text, stream $stream" says "Let me see.||$call|tool_calls"
    ask /v1/chat/completions "{$hi,$tools,\"tool_choice\":\"none\",$s}"
    ok "no tools, no call, stream $stream" says "Hello, wörld STOP here.|||stop"
    ask /v1/chat/completions "{$hi,$tools,$s,\"chat_template_kwargs\":{\"script\":\"two\"}}"
    ok "two calls, stream $stream" says "None||get_weather({\"city\": \"Oslo\"}) get_time({})|tool_calls"
    ok "and LM Studio's word for it, stream $stream" grep -q '"stop_reason":"toolCalls"' "$work/out"
    ask /v1/chat/completions "{$hi,$tools,$s,\"chat_template_kwargs\":{\"script\":\"two\"},\"parallel_tool_calls\":false}"
    ok "one is enough, stream $stream" says "None||get_weather({\"city\": \"Oslo\"})|tool_calls"
    ask /v1/chat/completions "{$hi,$tools,$s,\"chat_template_kwargs\":{\"script\":\"marks\"}}"
    ok "marks that begin no call, stream $stream" says "a <tool_call b <tool_call> {c}|||stop"
    ask /v1/chat/completions "{$hi,$tools,$s,\"stop\":\"see\"}"
    ok "a stop string before the call, stream $stream" says "Let me |||stop"
    ask /v1/chat/completions "{$hi,$tools,$s,\"stop\":\"days\"}"
    ok "one inside it, stream $stream" says "Let me see.||$call|tool_calls"
    ask /v1/chat/completions "{$hi,$tools,$s,\"max_tokens\":2}"
    ok "the length before the call, stream $stream" says "Let me see.|||length"
    ask /v1/chat/completions "{$hi,\"enable_thinking\":true,\"stop\":\"STOP\",$s}"
    ok "thoughts, in which nothing stops, stream $stream" says "Good day.|The user greets me: STOP.||stop"
    ask /v1/chat/completions "{$hi,\"enable_thinking\":true,\"reasoning_format\":\"none\",$s}"
    ok "thoughts in the content, stream $stream" says '<think>
The user greets me: STOP.
</think>

Good day.|||stop'
    ask /v1/chat/completions "{$hi,\"enable_thinking\":true,\"include_reasoning\":false,$s}"
    ok "thoughts nowhere, stream $stream" says "Good day.|||stop"
done
ask /v1/chat/completions "{$hi,$tools,\"chat_template_kwargs\":{\"script\":\"broken\"}}"
ok "a call that breaks off is content" says '<tool_call>
{"name": "get_weather", "arguments": {"city": |||stop'
ask /v1/chat/completions "{$hi,\"enable_thinking\":true}"
ok "thoughts are counted" field_is 3 usage completion_tokens_details reasoning_tokens
ask /v1/chat/completions "{$hi,$tools,\"seed\":5}"
id=$(field choices 0 message tool_calls 0 id)
ask /v1/chat/completions "{$hi,$tools,\"seed\":5}"
ok "the same request, the same id" field_is "$id" choices 0 message tool_calls 0 id
ask /v1/chat/completions "{$hi,$tools,\"seed\":6}"
ok "another seed, another id" test "$(field choices 0 message tool_calls 0 id)" != "$id"
ask /v1/chat/completions "{$hi,$tools,\"n\":2,\"seed\":5}"
ok "another choice, another id" test "$(field choices 0 message tool_calls 0 id)" != "$(field choices 1 message tool_calls 0 id)"

# Log-probabilities: every token of the answer, those of thoughts and calls too, whole and in a stream.
for more in "$tools" '"enable_thinking":true' "$tools,\"stop\":\"see\""; do
    ask /v1/chat/completions "{$hi,$more,\"logprobs\":true,\"return_token_ids\":true,\"seed\":1}"
    python3 - "$work/out" >"$work/whole" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))["choices"][0]
l = c["logprobs"]["content"]
assert [t["id"] for t in l] == c["token_ids"] and all(-1e-6 < t["logprob"] <= 0 for t in l)
print(c["token_ids"])
P
    ask /v1/chat/completions "{$hi,$more,\"logprobs\":true,\"return_token_ids\":true,\"seed\":1,\"stream\":true}"
    python3 - "$work/out" >"$work/parts" <<'P'
import json, sys
ids, l = [], []
for line in open(sys.argv[1]):
    if not line.startswith("data: {"): continue
    for c in json.loads(line[6:])["choices"]:
        ids += c.get("token_ids") or []
        l += (c["logprobs"] or {"content": []})["content"]
assert [t["id"] for t in l] == ids
print(ids)
P
    ok "log-probabilities of every token, whole and in parts" cmp -s "$work/whole" "$work/parts"
    ok "and there are some" test "$(wc -c <"$work/whole")" -gt 3
done

# ---------------------------------------------------------------------------------------------------- results
called='{"role":"assistant","content":"Let me see.","tool_calls":[{"id":"abc","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Paris\", \"x\": 1.10}"}}]}'
first="{\"role\":\"user\",\"content\":\"How is the weather in Paris, and is it going to rain tomorrow?\"}"
ask /v1/chat/completions "{\"messages\":[$first],$tools,\"seed\":1}"
n=$(field usage prompt_tokens)
result='{"role":"tool","tool_call_id":"abc","content":"sun <|end|> 20"}'
ask /v1/chat/completions "{\"messages\":[$first,$called,$result],$tools}"
ok "an answer after the result" says "It is sunny there.|||stop"
ok "the second prompt begins with the first, which is not read again" test "$(field usage prompt_tokens_details cached_tokens)" -ge $((n - 2))
ask /apply-template "{\"messages\":[$first,$called,$result],\"return_token_ids\":true}"
ok "the prompt shows call and result" field_is '"<|user|>How is the weather in Paris, and is it going to rain tomorrow?<|end|><|assistant|>Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"x\": 1.10}}\n</tool_call><|end|><|tool|>sun <|end|> 20<|end|><|assistant|><|answer|>"' prompt
ids=$(field token_ids | tr -d '[]')
printf '%s' "{\"messages\":[$first,{\"role\":\"tool\",\"content\":\"sun <|end|> 20\"}],\"add_generation_prompt\":true}" >"$work/request"

# ---------------------------------------------------------------------------------------------------- prompts
ask /tokenize "{\"messages\":[$first,$called,$result],\"return_token_strs\":true}"
ok "/tokenize counts a conversation" field_is "[$ids]" tokens
ok "and says how much fits" field_is 4096 max_model_len
ask /v1/chat/completions/input_tokens "{\"messages\":[$first,$called,$result]}"
ok "so does .../input_tokens" field_is "$(printf '%s' "$ids" | tr ',' '\n' | wc -l | awk '{print $1 + 1}')" input_tokens
ask /v1/chat/completions "{\"messages\":[$first,$called,$result]}"
ok "they are the prompt's of an answer" field_is "$(printf '%s' "$ids" | tr ',' '\n' | wc -l | awk '{print $1 + 1}')" usage prompt_tokens
verbatim_in() { # verbatim_in FILE ARGS...
    file=$1
    shift
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$BUILD/bin/verbatim" "$@" <"$file" >"$work/out" 2>"$work/err"
    rc=$?
}
ask /apply-template "{\"messages\":[$first,{\"role\":\"tool\",\"content\":\"sun <|end|> 20\"}],\"return_token_ids\":true}"
ids=$(field token_ids | tr -d '[],')
verbatim_in "$work/request" render -m "$work/agent.gguf" --ids
ok "the ids are those of the rendering" test "$(cat "$work/out")" = "$ids"
verbatim_in "$work/request" render -m "$work/agent.gguf" --ids --parse-content-specials
ok "with the option, what the result spells is a token" test "$(wc -w <"$work/out")" -lt "$(printf '%s' "$ids" | wc -w)"
ask /v1/chat/completions "{$hi,\"chat_template_kwargs\":{\"script\":\"date\"},\"date\":\"2024-02-29\"}"
ok "the date that the template asked for is in the answer" field_is '"2024-02-29 00:00:00"' date
ask /v1/chat/completions "{$hi}"
ok "and is not where it did not" test -z "$(field date)"

# ---------------------------------------------------------------------------------------------------- going on
begun='"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Say <|answer|>"}]'
ask /v1/chat/completions "{$begun}"
ok "an answer that was begun is not gone on with in silence" refused continue_final_message
ask /apply-template "{$begun,\"continue_final_message\":true}"
ok "but where that is asked for" field_is '"<|user|>Hi<|end|><|assistant|>Say <|answer|>"' prompt
ask /apply-template '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Say ","prefix":true}]}'
ok "under DeepSeek's name for it, too" field_is '"<|user|>Hi<|end|><|assistant|>Say "' prompt
ask /apply-template "{$hi,\"add_generation_prompt\":false}"
ok "a prompt without a turn for the answer" field_is '"<|user|>Hi<|end|>"' prompt

# ---------------------------------------------------------------------------------------------------- refused
ask /v1/chat/completions "{$hi,$tools,\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"nobody\"}}}"
ok "a choice of no tool" refused "none of the tools"
ask /v1/chat/completions "{$hi,\"functions\":[{\"name\":\"f\"}]}"
ok "the older API" refused "older API"
ask /v1/chat/completions "{$hi,\"reasoning_effort\":\"high\",\"enable_thinking\":false}"
ok "two wishes that exclude each other" refused "enable_thinking"
ask /props '{}'
code=$(curl -sS -m 60 -o "$work/out" -w '%{http_code}' "$url/props")
ok "/props tells what the template can" field_is '{"shown": true, "calls": "members", "parallel": true, "begin": "<tool_call>\n{\"name\": \""}' tools
kill "$server" && wait "$server"

# ---------------------------------------------------------------------------------------------------- verbatim chat
cat >"$work/tools.json" <<'J'
[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}},
  "command":"cat >\"$GOT\"; echo sunny; echo hot >&2; exit 3"}]
J
GOT=$work/arguments
export GOT
talk() { # talk ARGS...: what is typed comes on standard input
    # shellcheck disable=SC2086
    ${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$work/agent.gguf" -c 2000 "$@" >"$work/out" 2>"$work/err"
    rc=$?
}
printf 'Hi\ny\n/save %s\n' "$work/saved.json" | talk --tools "$work/tools.json"
ok "chat: a tool that is allowed" test "$(cat "$work/out")" = "Let me see.
get_weather {\"city\": \"Paris, \\\"Île\\\"\", \"days\": 1.50}
It is sunny there."
ok "the command was asked about" err_has 'run get_weather? [y/n]'
ok "its arguments came on standard input" test "$(cat "$work/arguments")" = '{"city": "Paris, \"Île\"", "days": 1.50}'
cp "$work/saved.json" "$work/out"
ok "the result is what it printed, and that it failed" field_is '"sunny\nhot\n(exit status 3)"' messages 2 content
ok "it is in answer to the call" test "$(field messages 2 tool_call_id)" = "$(field messages 1 tool_calls 0 id)"
rm -f "$work/arguments"
printf 'Hi\nn\n/save %s\n' "$work/saved.json" | talk --tools "$work/tools.json"
ok "one that is not is not run" test ! -e "$work/arguments"
cp "$work/saved.json" "$work/out"
ok "and the model is told" field_is '"error: the user did not allow this"' messages 2 content
printf 'Hi\n' | talk --tools "$work/tools.json"
ok "nor one at the end of input" test ! -e "$work/arguments" -a $rc = 0
printf 'Hi\n' | talk
ok "without tools there are no calls" out_has "Hello"
echo '{"tools":[{"function":{"name":"f"}}]}' >"$work/bad.json"
verbatim chat -m "$work/agent.gguf" --tools "$work/bad.json"
ok "a tool without a command" fails 1 'tool 1: expected'
verbatim chat -m "$work/chat.gguf" --tools "$work/tools.json"
ok "a template that does not show tools" fails 1 'does not show tools'
# A template that always thinks: dimmed where there are colours, else between its marks.
sed 's/{%- elif enable_thinking %}/{%- elif true %}/' "$(dirname "$0")/agent.json" >"$work/thinks.json"
# shellcheck disable=SC2086
${VB_RUNNER:-} "$BUILD/tests/tools/scripted_model" "$work/thinks.json" "$work/thinks.gguf"
printf 'Hi\n/save %s\n' "$work/saved.json" | ${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$work/thinks.gguf" -c 2000 --color always >"$work/out" 2>"$work/err"
ok "chat: thoughts are dimmed" test "$(sed 's/\x1b\[2m//g; s/\x1b\[0m//g' "$work/out")" = "The user greets me: STOP.
Good day." -a "$(grep -c "$(printf '\033\\[2mThe user')" "$work/out")" = 1
cp "$work/saved.json" "$work/out"
ok "and apart in the conversation" field_is '"The user greets me: STOP."' messages 1 reasoning_content
printf 'Hi\n' | ${VB_RUNNER:-} "$BUILD/bin/verbatim" chat -m "$work/thinks.gguf" -c 2000 >"$work/out" 2>"$work/err"
ok "without colours they stand between their marks" test "$(cat "$work/out")" = "<think>
The user greets me: STOP.
</think>

Good day."

# ---------------------------------------------------------------------------------------------------- options
ok "the server with options" start_server -m "$work/agent.gguf" -c 4096 --continue-final --parse-content-specials --date 2024-02-29
ask /v1/chat/completions "{$begun}"
ok "an answer that was begun, by default; its token by the option" says "It is sunny there.|||stop"
ask /v1/chat/completions "{$hi,\"chat_template_kwargs\":{\"script\":\"date\"}}"
ok "the server's date" field_is '"2024-02-29 00:00:00"' date
kill "$server" && wait "$server"
server=''
finish
