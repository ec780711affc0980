// structured.mjs - what libraries call structured output, over the shipped model: openai's parse with zod, the AI SDK's objects,
// LangChain's withStructuredOutput by each method, LlamaIndex, OpenCode with a call that must come. A story teller knows no JSON: what
// comes out right here is the grammar's doing, and each library's own validator judges it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, Output, streamObject, tool } from "ai";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { command, group, ok, same, skip } from "./check.mjs";
import { environment } from "./opencode.mjs";

const QUESTION = "Which animal does the girl meet?";
const user = [{ role: "user", content: QUESTION }];
// Every part is bounded, so that a model that rambles comes to an end.
const Animal = z.object({
  kind: z.enum(["cat", "dog", "bear"]),
  age: z.number().int().min(0).max(30),
  tame: z.boolean(),
  name: z.string().max(12),
  friends: z.array(z.object({ kind: z.enum(["frog", "bird"]), far: z.union([z.literal("near"), z.null()]) })).max(3),
});
const PLAIN = {
  type: "object", required: ["kind", "age"], additionalProperties: false,
  properties: { kind: { type: "string", enum: ["cat", "dog"] }, age: { type: "integer", minimum: 0, maximum: 30 } },
};
const plain = o => ["cat", "dog"].includes(o?.kind) && Number.isInteger(o.age) && o.age >= 0 && o.age <= 30 && Object.keys(o).length === 2;
const fits = o => Animal.safeParse(o).success;

async function openai(base) {
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
  for (let seed = 1; seed <= 3; seed++) {
    const ask = { model: "tales", messages: user, seed, temperature: 1 };
    const answer = await client.chat.completions.parse({ ...ask, response_format: zodResponseFormat(Animal, "animal") });
    ok(`openai: parse with zod, seed ${seed}`, fits(answer.choices[0].message.parsed), answer.choices[0]);
    const off = await client.chat.completions.parse({ ...ask, model: "tales:off", response_format: zodResponseFormat(Animal, "animal") });
    same("openai: the target alone writes the same", off.choices[0].message.content, answer.choices[0].message.content);
  }
  const called = await client.chat.completions.parse({ model: "tales", messages: user, seed: 4, temperature: 1,
    tools: [zodFunction({ name: "note_animal", parameters: Animal })], tool_choice: { type: "function", function: { name: "note_animal" } } });
  const [call] = called.choices[0].message.tool_calls ?? [];
  ok("openai: zodFunction, its arguments parsed", call?.function.name === "note_animal" && fits(call.function.parsed_arguments), called.choices[0]);
  const s = client.chat.completions.stream({ model: "tales", messages: user, seed: 5, temperature: 1, response_format: zodResponseFormat(Animal, "animal") });
  ok("openai: streamed and parsed", fits((await s.finalChatCompletion()).choices[0].message.parsed));
}

async function aiSdk(base) {
  const provider = createOpenAICompatible({ name: "verbatim", baseURL: `${base}/v1`, apiKey: "none", supportsStructuredOutputs: true });
  const ask = { model: provider("tales"), prompt: QUESTION, temperature: 1, maxRetries: 0 };
  ok("ai: generateObject with zod", fits((await generateObject({ ...ask, seed: 1, schema: Animal })).object));
  ok("ai: generateObject with a JSON schema", plain((await generateObject({ ...ask, seed: 2, schema: jsonSchema(PLAIN) })).object));
  const list = (await generateObject({ ...ask, seed: 3, output: "array", schema: z.object({ kind: z.enum(["cat", "dog"]) }), maxOutputTokens: 400 }).catch(e => e));
  ok("ai: generateObject, a list, or ended by length", list.object?.every(o => ["cat", "dog"].includes(o.kind)) || list.finishReason === "length", list);
  const one = await generateObject({ ...ask, seed: 4, output: "enum", enum: ["rain", "sun"] });
  ok("ai: generateObject, one of a list", ["rain", "sun"].includes(one.object), one.object);
  const s = streamObject({ ...ask, seed: 5, schema: Animal });
  let parts = 0;
  for await (const part of s.partialObjectStream) parts += part !== undefined;
  ok("ai: streamObject", fits(await s.object) && parts > 3, parts);
  ok("ai: generateText with Output.object", fits((await generateText({ ...ask, seed: 6, output: Output.object({ schema: Animal }) })).output));
  const note = tool({ description: "notes an animal", inputSchema: Animal });
  const called = await generateText({ ...ask, seed: 7, tools: { note }, toolChoice: "required" });
  ok("ai: toolChoice required", called.toolCalls.length > 0 && called.toolCalls.every(c => !c.invalid && fits(c.input)), called.toolCalls);
}

async function langchain(base) {
  const { ChatOpenAI } = await import("@langchain/openai");
  const model = seed => new ChatOpenAI({ model: "tales", apiKey: "none", configuration: { baseURL: `${base}/v1` }, maxRetries: 0, temperature: 1, maxTokens: 2000, modelKwargs: { seed } });
  for (const method of ["jsonSchema", "functionCalling"]) {
    ok(`langchain: withStructuredOutput, ${method}, zod`, fits(await model(1).withStructuredOutput(Animal, { name: "animal", method }).invoke(QUESTION)));
    ok(`langchain: withStructuredOutput, ${method}, a JSON schema`, plain(await model(2).withStructuredOutput(PLAIN, { name: "animal", method }).invoke(QUESTION)));
    const both = await model(3).withStructuredOutput(Animal, { name: "animal", method, includeRaw: true }).invoke(QUESTION);
    ok(`langchain: withStructuredOutput, ${method}, with the message`, fits(both.parsed) && both.raw !== undefined, both);
  }
  // JSON mode promises an object and no schema; a text that the length ends is none.
  let whole = 0, short = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const { parsed, raw } = await model(seed).withStructuredOutput(PLAIN, { method: "jsonMode", includeRaw: true }).invoke(`${QUESTION} Answer in JSON.`);
    if (raw.response_metadata.finish_reason === "length") short++;
    else if (parsed && typeof parsed === "object" && !Array.isArray(parsed)) whole++;
  }
  same("langchain: withStructuredOutput, jsonMode: an object, or ended by length", whole + short, 4);
}

async function llamaindex(base) {
  const { OpenAI: Model } = await import("@llamaindex/openai");
  const { tool: make } = await import("llamaindex");
  const llm = more => new Model({ model: "tales", apiKey: "none", baseURL: `${base}/v1`, maxRetries: 0, temperature: 1, additionalChatOptions: { seed: 1, ...more } });
  const r = await llm({}).chat({ messages: user, responseFormat: Animal });
  ok("llamaindex: responseFormat with zod", fits(JSON.parse(r.message.content)), r.message);
  const seen = [], note = make({ name: "note", description: "notes an animal", parameters: Animal, execute: input => { seen.push(input); return "noted"; } });
  const called = await llm({ tool_choice: "required" }).exec({ messages: user, tools: [note] });
  ok("llamaindex: a tool that must be called", seen.length > 0 && seen.every(fits), called);
  const { object } = await llm({ tool_choice: "required" }).exec({ messages: user, responseFormat: Animal });
  ok("llamaindex: exec with a responseFormat", fits(object), object);
}

// Passes requests on; the first one that has tools must call one of them, which OpenCode has no option for.
async function demanding(base, log) {
  const server = http.createServer(async (request, reply) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    let text = Buffer.concat(parts).toString();
    const body = text ? JSON.parse(text) : {};
    if (body.tools?.length && !log.length) text = JSON.stringify({ ...body, tool_choice: "required", seed: 1, max_tokens: 400 });
    const entry = { tools: body.tools?.map(t => t.function.name) ?? [], messages: body.messages, first: text.includes('"tool_choice":"required"') };
    if (entry.tools.length) log.push(entry);
    const answer = await fetch(base + request.url, { method: request.method, headers: { "Content-Type": "application/json" }, body: text || undefined });
    reply.writeHead(answer.status, { "Content-Type": answer.headers.get("content-type") ?? "application/json" });
    for await (const part of answer.body) reply.write(part);
    reply.end();
  });
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  return { port: server.address().port, close: () => { server.closeAllConnections(); server.close(); } };
}

async function opencode(base, program, example, work) {
  const home = join(work, "shape-home"), project = join(work, "shape-project"), log = [];
  for (const folder of [home, project]) mkdirSync(folder);
  const way = await demanding(base, log);
  const config = JSON.parse(readFileSync(example, "utf8").replace("127.0.0.1:8000", `127.0.0.1:${way.port}`).replaceAll("local:", "tales:"));
  // What a story teller writes into a shell is not run: tools that look are all it gets.
  config.tools = { "*": false, glob: true, grep: true };
  writeFileSync(join(project, "opencode.json"), JSON.stringify(config));
  const env = environment(home);
  if (!existsSync(program) || (await command(program, ["--version"], { env })).status !== 0) {
    way.close();
    return skip("OpenCode with a call that must come", "its program does not run here");
  }
  const r = await command(program, ["run", "Look for files."], { cwd: project, env, timeout: 300000, killSignal: "SIGKILL" });
  const [asked, next] = log, results = next?.messages.filter(m => m.role === "tool") ?? [], calls = next?.messages.flatMap(m => m.tool_calls ?? []) ?? [];
  ok("opencode, required: it had tools to offer", asked?.tools.length > 0 && asked.first, { asked: asked?.tools, r });
  ok("opencode, required: the shipped model called one of them", calls.length > 0 && calls.every(c => asked.tools.includes(c.function.name)), { calls, r });
  ok("opencode, required: its arguments are JSON", calls.every(c => typeof JSON.parse(c.function.arguments) === "object"), calls);
  same("opencode, required: and OpenCode answered every call", results.length, calls.length);
  way.close();
}

export async function run(base, program, example, work) {
  await group("openai, structured", () => openai(base));
  await group("ai, structured", () => aiSdk(base));
  await group("langchain, structured", () => langchain(base));
  await group("llamaindex, structured", () => llamaindex(base));
  await group("opencode, required", () => opencode(base, program, example, work));
}
