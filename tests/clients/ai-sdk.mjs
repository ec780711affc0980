// ai-sdk.mjs - @ai-sdk/openai-compatible under the package ai: texts, streams, usage, stop strings, errors, aborts. What it sends is
// recorded, and curl sends the same.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, Output, RetryError, streamText, tool } from "ai";
import { group, ok, recorder, same, soon, thrown } from "./check.mjs";

const QUESTION = { prompt: "Tell me a tale.", maxOutputTokens: 48, seed: 21, temperature: 1, maxRetries: 0 };
globalThis.AI_SDK_LOG_WARNINGS = false; // the older API takes no tool_choice, and ai says so each time
const quiet = { onError: () => {} }; // or streamText prints the error as well

async function texts(model, server, wire) {
  const whole = await generateText({ model, ...QUESTION });
  same("generateText: curl's text", whole.text, await server.chat(wire.bodies.at(-1)));
  ok("generateText: there is a text", whole.text.length > 10, whole.text);
  const body = JSON.parse(await server.curl("/v1/chat/completions", wire.bodies.at(-1)));
  same("generateText: its usage", [whole.usage.inputTokens, whole.usage.outputTokens, whole.usage.totalTokens],
    [body.usage.prompt_tokens, body.usage.completion_tokens, body.usage.total_tokens]);
  same("generateText: its reason", whole.finishReason, body.choices[0].finish_reason);
  same("generateText: accepted and rejected drafts", whole.providerMetadata?.verbatim,
    { acceptedPredictionTokens: body.stats.accepted_draft_tokens, rejectedPredictionTokens: body.stats.rejected_draft_tokens });
  same("generateText: no warnings", whole.warnings, []);
  const cut = await generateText({ model, ...QUESTION, maxOutputTokens: 5 });
  same("generateText: 5 tokens, for length", [cut.usage.outputTokens, cut.finishReason, whole.text.startsWith(cut.text)], [5, "length", true]);
  return whole;
}

async function streams(model, server, wire, whole) {
  const s = streamText({ model, ...QUESTION, ...quiet });
  let text = "", pieces = 0;
  for await (const piece of s.textStream) {
    text += piece;
    pieces++;
  }
  same("streamText: the same text", text, whole.text);
  same("streamText: curl's text", text, await server.chat(wire.bodies.at(-1)));
  ok("streamText: in pieces", pieces > 5, pieces);
  ok("streamText: it was a stream with usage", wire.bodies.at(-1).stream === true && wire.bodies.at(-1).stream_options.include_usage === true, wire.bodies.at(-1));
  const count = u => [u.inputTokens, u.outputTokens, u.totalTokens];
  same("streamText: the same usage", count(await s.usage), count(whole.usage));
  same("streamText: the same reason", await s.finishReason, whole.finishReason);
  same("streamText: the same drafts", await s.providerMetadata, whole.providerMetadata);
}

async function conversations(provider, model, server, wire, whole) {
  const messages = [{ role: "user", content: "Tell me a tale." }, { role: "assistant", content: whole.text },
    { role: "user", content: [{ type: "text", text: "And " }, { type: "text", text: "then? \u732b" }] }];
  const { prompt, ...rest } = QUESTION;
  const next = await generateText({ model, ...rest, instructions: "You tell tales.", messages });
  same("generateText: a system prompt and three messages", wire.bodies.at(-1).messages.map(m => m.role), ["system", "user", "assistant", "user"]);
  same("generateText: curl's text for them", next.text, await server.chat(wire.bodies.at(-1)));
  const older = await generateText({ model: provider.completionModel("tales"), ...QUESTION });
  same("completionModel: curl's text", older.text, await server.completion(wire.bodies.at(-1)));
  const streamed = streamText({ model: provider.completionModel("tales:off"), ...QUESTION, ...quiet });
  same("completionModel: streamed by the target alone, the same", await streamed.text, older.text);
}

async function stops(provider, model, server, wire) {
  const ask = { ...QUESTION, seed: 5 };
  const older = provider.completionModel("tales");
  const whole = await generateText({ model: older, ...ask });
  const word = whole.text.trim().split(/\s+/)[3];
  const stopped = await generateText({ model: older, ...ask, stopSequences: [word] });
  same("stopSequences: the text before it", [stopped.text, stopped.finishReason], [whole.text.slice(0, whole.text.indexOf(word)), "stop"]);
  const s = streamText({ model, ...QUESTION, stopSequences: ["e", "never so"], ...quiet });
  const text = await s.text;
  same("stopSequences: in a stream, curl's text", text, await server.chat(wire.bodies.at(-1)));
  ok("stopSequences: without it", !text.includes("e") && (await s.finishReason) === "stop", text);
}

async function errors(provider, model, server, base) {
  const fails = async (name, status, word, request, retryable = false) => {
    const e = await thrown(request);
    ok(`error: ${name} is an APICallError with ${status}`,
      APICallError.isInstance(e) && e.statusCode === status && e.message.includes(word) && e.isRetryable === retryable,
      { name: e?.name, status: e?.statusCode, message: e?.message, retryable: e?.isRetryable });
    return e;
  };
  const missing = await fails("an unknown model", 404, "tales:fast", generateText({ model: provider("nope"), ...QUESTION }));
  same("error: with its code", missing?.data?.error.code, "model_not_found");
  const look = tool({ description: "look", inputSchema: jsonSchema({ type: "object", properties: {} }) });
  await fails("a tool", 400, "--ignore-tools", generateText({ model, ...QUESTION, tools: { look } }));
  const schema = jsonSchema({ type: "object", properties: { a: { $ref: "x.json" } } });
  // Without this option the SDK keeps the schema to itself and asks for any object.
  const structured = createOpenAICompatible({ name: "verbatim", baseURL: base, apiKey: process.env.CHAT_KEY, supportsStructuredOutputs: true });
  await fails("a schema that is not known here", 400, "x.json", generateText({ model: structured("tales"), ...QUESTION, output: Output.object({ schema }) }));
  await fails("a prompt that does not fit", 400, "512", generateText({ model, ...QUESTION, prompt: "a tale ".repeat(600) }));
  const stranger = createOpenAICompatible({ name: "verbatim", baseURL: base, apiKey: "sesam" });
  await fails("a wrong key", 401, "key", generateText({ model: stranger("tales"), ...QUESTION }));
  const seen = [];
  const s = streamText({ model: provider("nope"), ...QUESTION, onError: e => seen.push(e.error) });
  for await (const part of s.fullStream) if (part.type === "error") seen.push(part.error);
  same("error: a stream's comes as a part of it", seen.map(e => e.statusCode), [404, 404]);
}

// A server with 2 slots and 1 place in its queue.
async function crowd(server) {
  const provider = createOpenAICompatible({ name: "verbatim", baseURL: `${server.base}/v1`, apiKey: "none", transformRequestBody: b => ({ ...b, ignore_eos: true }) });
  const model = provider("local"), endless = { model, ...QUESTION, ...quiet, maxOutputTokens: 30000 };
  const controller = new AbortController();
  const before = await server.counters(), running = [];
  for (let i = 0; i < 3; i++) {
    const stream = streamText({ ...endless, seed: i, abortSignal: controller.signal });
    running.push((async () => {
      let n = 0;
      for await (const part of stream.fullStream) n += part.type === "text-delta" ? part.text.length : 0;
      return n;
    })().catch(e => e.name));
  }
  ok("queue: two streams run, one waits", await soon(async () => {
    const c = await server.counters();
    return c.requests_running === 2 && c.requests_waiting === 1;
  }));
  const full = await thrown(generateText({ model, ...QUESTION }));
  ok("queue: the next is an APICallError with 429, to be tried again", APICallError.isInstance(full) && full.statusCode === 429 && full.isRetryable, full);
  const tired = await thrown(generateText({ model, ...QUESTION, maxRetries: 1 }));
  ok("queue: after a second try the package gives up", RetryError.isInstance(tired) && tired.errors.length === 2 && tired.lastError.statusCode === 429, tired);
  controller.abort();
  await Promise.all(running);
  ok("abort: leaves no request running", await server.idle());
  const after = await server.counters();
  same("abort: three were cancelled", after.requests_cancelled_total - before.requests_cancelled_total, 3);
  ok("abort: their work ended", after.output_tokens_total - before.output_tokens_total < 50000, after.output_tokens_total - before.output_tokens_total);
  const stop = new AbortController();
  const answer = thrown(generateText({ ...endless, abortSignal: stop.signal }));
  ok("abort: an answer in one piece runs", await soon(async () => (await server.counters()).requests_running === 1));
  stop.abort();
  same("abort: it ends with an AbortError", (await answer)?.name, "AbortError");
  ok("abort: and so does its work", await server.idle());
}

export async function run(server, crowded) {
  const wire = recorder(), base = `${server.base}/v1`;
  const provider = createOpenAICompatible({ name: "verbatim", baseURL: base, apiKey: server.key, includeUsage: true, fetch: wire.fetch });
  const model = provider("tales");
  let whole;
  await group("ai, text", async () => { whole = await texts(model, server, wire); });
  if (whole) await group("ai, stream", () => streams(model, server, wire, whole));
  if (whole) await group("ai, conversation", () => conversations(provider, model, server, wire, whole));
  await group("ai, stop", () => stops(provider, model, server, wire));
  await group("ai, errors", () => errors(provider, model, server, base));
  await group("ai, queue", () => crowd(crowded));
}
