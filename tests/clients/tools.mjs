// tools.mjs - agents: the clients with tools and reasoning, over a model that says what tests/cli/agent.json has for it: a call of
// get_weather (of bash where there is one), a sentence after a result, a thought where thinking is on.
import { mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { command, group, ok, recorder, same, skip } from "./check.mjs";
import { environment } from "./opencode.mjs";

const QUESTION = "How is the weather in Paris?", CITY = 'Paris, "\u00cele"', TEXT = "Let me see.", ANSWER = "It is sunny there.";
const ARGUMENTS = { city: CITY, days: 1.5 };
const SCHEMA = { type: "object", properties: { city: { type: "string" }, days: { type: "number" } }, required: ["city"] };
const TOOLS = [{ type: "function", function: { name: "get_weather", description: "Tells the weather", parameters: SCHEMA } }];
const user = [{ role: "user", content: QUESTION }];

async function openai(base) {
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
  const ask = { model: "local", messages: user, tools: TOOLS, seed: 1 };
  const whole = await client.chat.completions.create(ask), [choice] = whole.choices, [call] = choice.message.tool_calls ?? [];
  same("openai: a call", [choice.message.content, call?.function.name, JSON.parse(call?.function.arguments ?? "null"), choice.finish_reason],
    [TEXT, "get_weather", ARGUMENTS, "tool_calls"]);
  const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  const deltas = [];
  for await (const chunk of stream) deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
  const final = await stream.finalMessage();
  same("openai: streamed, the same call", [final.content, final.tool_calls[0].id, final.tool_calls[0].function.name, final.tool_calls[0].function.arguments],
    [TEXT, call.id, call.function.name, call.function.arguments]);
  ok("openai: id and name first, arguments in pieces", deltas[0].id && deltas[0].function.name && deltas.length > 3 && deltas.slice(1).every(d => d.index === 0 && !d.id), deltas);
  const seen = [];
  const get_weather = args => { seen.push(args); return { sky: "sun <|end|>", degrees: 20 }; };
  const runner = client.chat.completions.runTools({ ...ask,
    tools: [{ type: "function", function: { function: get_weather, parse: JSON.parse, name: "get_weather", description: "Tells the weather", parameters: SCHEMA } }] });
  same("openai: runTools ends with the answer", [await runner.finalContent(), seen], [ANSWER, [ARGUMENTS]]);
  const next = [...user, choice.message, { role: "tool", tool_call_id: call.id, content: "sun" }];
  const after = await client.chat.completions.create({ ...ask, messages: next });
  same("openai: an answer after the result", [after.choices[0].message.content, after.choices[0].finish_reason], [ANSWER, "stop"]);
  const none = await client.chat.completions.create({ ...ask, tool_choice: "none" });
  same("openai: tool_choice none", [none.choices[0].message.tool_calls, none.choices[0].finish_reason], [undefined, "stop"]);
  const thought = await client.chat.completions.create({ model: "local", messages: user, reasoning_effort: "low" });
  same("openai: reasoning_effort", [thought.choices[0].message.reasoning_content, thought.choices[0].message.content], ["The user greets me: STOP.", "Good day."]);
  same("openai: and its tokens", thought.usage.completion_tokens_details.reasoning_tokens, 3);
}

async function aiSdk(base) {
  const wire = recorder();
  const provider = createOpenAICompatible({ name: "verbatim", baseURL: `${base}/v1`, apiKey: "none", fetch: wire.fetch, includeUsage: true });
  const seen = [];
  const get_weather = tool({ description: "Tells the weather", inputSchema: jsonSchema(SCHEMA), execute: async input => { seen.push(input); return "sun"; } });
  const ask = { model: provider("local"), prompt: QUESTION, tools: { get_weather }, stopWhen: stepCountIs(4), maxRetries: 0, seed: 1 };
  const whole = await generateText(ask);
  same("ai: generateText calls, gets the result, answers", [whole.text, whole.steps.length, whole.steps[0].finishReason, seen], [ANSWER, 2, "tool-calls", [ARGUMENTS]]);
  const s = streamText({ ...ask, onError: () => {} }), parts = [];
  for await (const part of s.fullStream) parts.push(part);
  const call = parts.find(p => p.type === "tool-call");
  same("ai: streamText does, too", [await s.text, call?.toolName, call?.input, (await s.steps).length], [ANSWER, "get_weather", ARGUMENTS, 2]);
  ok("ai: the input comes in pieces", parts.filter(p => p.type === "tool-input-delta").length > 2, parts.map(p => p.type));
  ok("ai: the second prompt's beginning was in the cache", (await s.steps)[1].usage.inputTokenDetails.cacheReadTokens > 50, (await s.steps)[1].usage);
  const thinking = createOpenAICompatible({ name: "verbatim", baseURL: `${base}/v1`, apiKey: "none", transformRequestBody: b => ({ ...b, enable_thinking: true }) });
  const thought = await generateText({ model: thinking("local"), prompt: QUESTION });
  same("ai: reasoning", [thought.reasoningText, thought.text], ["The user greets me: STOP.", "Good day."]);
  const t = streamText({ model: thinking("local"), prompt: QUESTION });
  same("ai: reasoning in a stream", [await t.reasoningText, await t.text], ["The user greets me: STOP.", "Good day."]);
}

async function langchain(base) {
  const { ChatOpenAI } = await import("@langchain/openai");
  const { HumanMessage, ToolMessage } = await import("@langchain/core/messages");
  const model = new ChatOpenAI({ model: "local", apiKey: "none", configuration: { baseURL: `${base}/v1` }, maxRetries: 0 }).bindTools(TOOLS);
  const first = await model.invoke([new HumanMessage(QUESTION)]);
  same("langchain: bindTools", [first.content, first.tool_calls.map(c => [c.name, c.args])], [TEXT, [["get_weather", ARGUMENTS]]]);
  let sum;
  for await (const chunk of await model.stream([new HumanMessage(QUESTION)])) sum = sum ? sum.concat(chunk) : chunk;
  same("langchain: in a stream", [sum.content, sum.tool_calls.map(c => [c.name, c.args])], [TEXT, [["get_weather", ARGUMENTS]]]);
  const last = await model.invoke([new HumanMessage(QUESTION), first, new ToolMessage({ content: "sun", tool_call_id: first.tool_calls[0].id })]);
  same("langchain: an answer after the result", [last.content, last.tool_calls.length], [ANSWER, 0]);
}

async function llamaindex(base) {
  const { OpenAI: Model } = await import("@llamaindex/openai");
  const { tool: make } = await import("llamaindex");
  const seen = [];
  const llm = new Model({ model: "local", apiKey: "none", baseURL: `${base}/v1`, maxRetries: 0, temperature: 0.8 });
  const get_weather = make({ name: "get_weather", description: "Tells the weather", parameters: SCHEMA, execute: input => { seen.push(input); return "sun"; } });
  const r = await llm.chat({ messages: user, tools: [get_weather] });
  const [call] = r.message.options?.toolCall ?? [];
  same("llamaindex: a call", [call?.name, typeof call?.input === "string" ? JSON.parse(call.input) : call?.input], ["get_weather", ARGUMENTS]);
  const next = [...user, r.message, { role: "user", content: "sun", options: { toolResult: { id: call.id, result: "sun", isError: false } } }];
  same("llamaindex: an answer after the result", (await llm.chat({ messages: next, tools: [get_weather] })).message.content, ANSWER);
}

const PYTHON = `
import json, sys
from openai import OpenAI
c = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
tools = json.loads(sys.argv[2])
m = [{"role": "user", "content": "How is the weather in Paris?"}]
r = c.chat.completions.create(model="local", messages=m, tools=tools, seed=1).choices[0]
call = r.message.tool_calls[0]
with c.chat.completions.stream(model="local", messages=m, tools=tools, seed=1) as s:
    for _ in s: pass
    f = s.get_final_completion().choices[0].message.tool_calls[0]
assert (f.id, f.function.name, f.function.arguments) == (call.id, call.function.name, call.function.arguments)
m += [r.message, {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
a = c.chat.completions.create(model="local", messages=m, tools=tools).choices[0].message.content
t = c.chat.completions.create(model="local", messages=m[:1], reasoning_effort="low").choices[0].message
print(json.dumps([r.finish_reason, call.function.name, json.loads(call.function.arguments), a, t.reasoning_content]))
`;

async function python(base) {
  if ((await command("python3", ["-c", "import openai"])).status !== 0) return skip("openai for Python with tools", "it is not there");
  const r = await command("python3", ["-c", PYTHON, `${base}/v1`, JSON.stringify(TOOLS)]);
  same("openai for Python", r.status === 0 ? JSON.parse(r.out) : r.err, ["tool_calls", "get_weather", ARGUMENTS, ANSWER, "The user greets me: STOP."]);
}

// OpenCode in its default configuration: all its tools, one of which is called and does what it does.
async function opencode(base, program, example, work) {
  const home = join(work, "agent-home"), project = join(work, "agent-project");
  for (const folder of [home, project]) mkdirSync(folder);
  // This model's tokens are bytes: the prompt has five times as many as usual.
  const config = readFileSync(example, "utf8").replace("http://127.0.0.1:8000", base).replaceAll('"context": 16384', '"context": 120000');
  writeFileSync(join(project, "opencode.json"), config);
  const env = environment(home);
  if ((await command(program, ["--version"], { env })).status !== 0) return skip("OpenCode with tools", "its program does not run here");
  const r = await command(program, ["run", "Write a file."], { cwd: project, env, timeout: 240000, killSignal: "SIGKILL" });
  same("opencode: exit status 0", r.status, 0);
  ok("opencode: the tool was called", existsSync(join(project, "made.txt")) && readFileSync(join(project, "made.txt"), "utf8") === "made by a tool\n", r);
  ok("opencode: and its result answered", r.out.includes(ANSWER), r);
}

export async function run(base, program, example, work) {
  await group("openai with tools", () => openai(base));
  await group("ai with tools", () => aiSdk(base));
  await group("langchain", () => langchain(base));
  await group("llamaindex", () => llamaindex(base));
  await group("python", () => python(base));
  await group("opencode with tools", () => opencode(base, program, example, work));
}
