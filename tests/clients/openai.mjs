// openai.mjs - the package openai: conversations, completions, streams, log-probabilities, choices, errors, retries, aborts.
import OpenAI from "openai";
import { group, ok, same, skip, soon, sleep, thrown } from "./check.mjs";

const PROMPT = "Once upon a time, in a village by the sea, there lived";
const MESSAGES = [{ role: "user", content: "Tell me a tale." }];
const details = answer => answer.usage.completion_tokens_details;

// A stream's text by choice, its usage, and the order of what came.
async function read(stream) {
  const out = { text: {}, reason: {}, usage: null, chunks: [], logprobs: [] };
  for await (const chunk of stream) {
    out.chunks.push(chunk);
    out.usage = chunk.usage ?? out.usage;
    for (const c of chunk.choices) {
      out.text[c.index] = (out.text[c.index] ?? "") + (c.delta?.content ?? c.text ?? "");
      out.reason[c.index] = c.finish_reason ?? out.reason[c.index];
      out.logprobs.push(...(c.logprobs?.content ?? []));
    }
  }
  return out;
}

async function models(client, model) {
  const ids = (await client.models.list()).data.map(m => m.id);
  same("models: the model and its presets", ids, [model, ...["fast", "balanced", "max", "auto", "off"].map(p => `${model}:${p}`)]);
  same("models: one of them", (await client.models.retrieve(`${model}:fast`)).id, `${model}:fast`);
  const error = await thrown(client.models.retrieve("nope"));
  ok("models: another is a NotFoundError", error instanceof OpenAI.NotFoundError, error);
}

async function conversations(client, server, model) {
  const ask = { model, messages: MESSAGES, max_tokens: 48, seed: 11, temperature: 1 };
  const before = await server.counters();
  const whole = await client.chat.completions.create(ask);
  const after = await server.counters();
  const text = whole.choices[0].message.content;
  same("chat: curl's text", text, await server.chat(ask));
  ok("chat: there is a text", text.length > 20, text);
  same("chat: the message's role", whole.choices[0].message.role, "assistant");
  same("chat: the model is named", whole.model, model);
  const { usage, stats } = whole;
  ok("chat: tokens add up", usage.prompt_tokens > 0 && usage.total_tokens === usage.prompt_tokens + usage.completion_tokens, usage);
  same("chat: accepted and rejected predictions are the stats' drafts",
    [details(whole).accepted_prediction_tokens, details(whole).rejected_prediction_tokens],
    [stats.accepted_draft_tokens, stats.rejected_draft_tokens]);
  same("chat: they add up", stats.accepted_draft_tokens + stats.rejected_draft_tokens, stats.total_draft_tokens);
  ok("chat: drafts were accepted", stats.accepted_draft_tokens > 0 && stats.accepted_draft_tokens < usage.completion_tokens, stats);
  same("chat: and /metrics counted the same",
    ["output_tokens_total", "draft_tokens_total", "draft_accepted_tokens_total"].map(k => after[k] - before[k]),
    [usage.completion_tokens, stats.total_draft_tokens, stats.accepted_draft_tokens]);
  for (const preset of ["fast", "max", "off"]) {
    const other = await client.chat.completions.create({ ...ask, model: `${model}:${preset}` });
    same(`chat: ${model}:${preset} writes the same`, other.choices[0].message.content, text);
    if (preset === "off") same("chat: the target alone drafts nothing", Object.values(details(other)), [0, 0, 0]);
  }
  const say = async content => (await client.chat.completions.create({ ...ask, messages: [{ role: "user", content }] })).choices[0].message.content;
  same("chat: content in a part is the same content", await say([{ type: "text", text: "Tell me a tale." }]), text);
  same("chat: parts are joined with a line break", await say([{ type: "text", text: "Tell me" }, { type: "text", text: "a tale." }]), await say("Tell me\na tale."));
  const longer = [{ role: "developer", content: "You tell tales." }, ...MESSAGES, { role: "assistant", content: text },
    { role: "user", content: "And then? \u2014 Zw\u00f6lf M\u00e4use, \u732b \ud83d\udc08" }];
  const next = await client.chat.completions.create({ ...ask, messages: longer });
  same("chat: the next turn, with characters of many bytes", next.choices[0].message.content, await server.chat({ ...ask, messages: longer }));
  return text;
}

async function seeds(client, server, model, text) {
  const ask = { model, messages: MESSAGES, max_tokens: 48, temperature: 1 };
  const texts = [];
  for (const seed of [11, 12, 11]) texts.push((await client.chat.completions.create({ ...ask, seed })).choices[0].message.content);
  ok("seed: the same one repeats the text", texts[0] === text && texts[2] === text, texts);
  ok("seed: another one does not", texts[1] !== text, texts);
  const free = await client.chat.completions.create(ask);
  same("seed: a random one is reported, and repeats the text", free.choices[0].message.content, await server.chat({ ...ask, seed: free.seed }));
  const many = await Promise.all([1, 2, 3, 4, 5, 6].map(seed => client.chat.completions.create({ ...ask, seed, model: `${model}:${seed % 2 ? "fast" : "max"}` })));
  const alone = [];
  for (const seed of [1, 2, 3, 4, 5, 6]) alone.push(await server.chat({ ...ask, seed }));
  same("seed: six at once, each the text it has alone", many.map(m => m.choices[0].message.content), alone);
}

async function streams(client, server, model, text) {
  const ask = { model, messages: MESSAGES, max_tokens: 48, seed: 11, temperature: 1 };
  const whole = await client.chat.completions.create(ask);
  const s = await read(await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }));
  same("stream: the same text", s.text[0], text);
  ok("stream: in pieces", s.chunks.length > 8, s.chunks.length);
  same("stream: the role comes first", s.chunks[0].choices[0].delta, { role: "assistant", content: "" });
  same("stream: the same reason, once", [s.reason[0], s.chunks.filter(c => c.choices[0]?.finish_reason).length], [whole.choices[0].finish_reason, 1]);
  ok("stream: the usage comes last, without choices", s.chunks.at(-1).choices.length === 0 && s.chunks.at(-1).usage, s.chunks.at(-1));
  ok("stream: and only there", s.chunks.slice(0, -1).every(c => c.usage === null));
  const count = u => [u.prompt_tokens, u.completion_tokens, u.completion_tokens_details];
  same("stream: the same usage as in one piece", count(s.usage), count(whole.usage));
  same("stream: stats come with the reason", s.chunks.at(-2).stats?.accepted_draft_tokens, details(whole).accepted_prediction_tokens);
  const plain = await read(await client.chat.completions.create({ ...ask, stream: true }));
  ok("stream: no usage unless asked", plain.text[0] === text && plain.chunks.every(c => !("usage" in c)));
  const helper = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  same("stream: the package's own helper puts it together", (await helper.finalChatCompletion()).choices[0].message.content, text);
  same("stream: with its usage", count(await helper.totalUsage()), count(whole.usage));
  // Only the three tokens of one character, in any order: whole ones come out whole, what is none as U+FFFD.
  const { tokens } = JSON.parse(await server.curl("/tokenize", { content: "\u732b" }));
  const bytes = { ...ask, max_tokens: 120, ignore_eos: true, logit_bias: Object.fromEntries(tokens.map(t => [t, 100])) };
  const piecemeal = await read(await client.chat.completions.create({ ...bytes, stream: true }));
  same("stream: characters of several tokens are never split", piecemeal.text[0], await server.chat(bytes));
  ok("stream: there were some", tokens.length > 1 && piecemeal.text[0].includes("\u732b"), [tokens, piecemeal.text[0]]);
}

async function completions(client, server, model) {
  const ask = { model, prompt: PROMPT, max_tokens: 48, seed: 5 };
  const whole = await client.completions.create(ask);
  const text = whole.choices[0].text;
  same("completion: curl's text", text, await server.completion(ask));
  same("completion: 48 tokens, for length", [whole.usage.completion_tokens, whole.choices[0].finish_reason], [48, "length"]);
  const s = await read(await client.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }));
  same("completion: streamed, the same text", s.text[0], text);
  same("completion: and usage", s.usage.completion_tokens, 48);
  const word = text.trim().split(/\s+/)[4];
  const stopped = await client.completions.create({ ...ask, stop: ["never so", word] });
  same("completion: ends before a stop string", [stopped.choices[0].text, stopped.choices[0].finish_reason], [text.slice(0, text.indexOf(word)), "stop"]);
  const stream = await read(await client.completions.create({ ...ask, stop: word, stream: true }));
  same("completion: so does the stream", [stream.text[0], stream.reason[0]], [stopped.choices[0].text, "stop"]);
  const p = (await client.completions.create({ ...ask, logprobs: 2 })).choices[0].logprobs;
  ok("completion: log-probabilities in the older form", p.tokens.join("") === text && p.token_logprobs.length === 48 && p.text_offset[1] === p.tokens[0].length, p);
  const two = await client.completions.create({ ...ask, prompt: [PROMPT, "The fox"] });
  same("completion: two prompts", two.choices.map(c => c.text), [text, await server.completion({ ...ask, prompt: "The fox" })]);
}

async function logprobs(client, server, model, text) {
  const ask = { model, messages: MESSAGES, max_tokens: 48, seed: 11, temperature: 1, logprobs: true, top_logprobs: 3 };
  const whole = await client.chat.completions.create(ask);
  const list = whole.choices[0].logprobs.content;
  const bytes = entries => Buffer.from(entries.flatMap(e => e.bytes)).toString();
  ok("logprobs: the tokens' bytes are the text", bytes(list).startsWith(text), bytes(list));
  ok("logprobs: one for each token", whole.usage.completion_tokens - list.length <= 1, [whole.usage, list.length]);
  ok("logprobs: none above 0", list.every(e => e.logprob <= 0), list);
  ok("logprobs: three alternatives each, falling", list.every(e =>
    e.top_logprobs.length === 3 && e.top_logprobs[0].logprob >= e.top_logprobs[1].logprob && e.top_logprobs[1].logprob >= e.top_logprobs[2].logprob));
  const drafted = list.filter(e => e.from_draft).length, accepted = details(whole).accepted_prediction_tokens;
  ok("logprobs: from_draft for as many as were accepted", drafted > 0 && accepted - drafted <= 1 && accepted >= drafted, [drafted, accepted]);
  const numbers = entries => entries.map(e => [e.token, e.logprob, e.top_logprobs.map(t => t.logprob)]);
  const alone = await client.chat.completions.create({ ...ask, model: `${model}:off` });
  same("logprobs: those of the target alone, bit for bit (P5)", numbers(list), numbers(alone.choices[0].logprobs.content));
  const s = await read(await client.chat.completions.create({ ...ask, stream: true }));
  same("logprobs: the same in a stream", numbers(s.logprobs), numbers(list));
}

async function choices(client, server, model, text) {
  const ask = { model, messages: MESSAGES, max_tokens: 48, seed: 11, temperature: 1, n: 2 };
  const whole = await client.chat.completions.create(ask);
  same("n 2: two choices", whole.choices.map(c => c.index), [0, 1]);
  same("n 2: the first is that of n 1", whole.choices[0].message.content, text);
  ok("n 2: the second is another", whole.choices[1].message.content !== text);
  same("n 2: curl's two", whole.choices.map(c => c.message.content), await server.texts("/v1/chat/completions", ask));
  same("n 2: a choice's own seed repeats it alone", whole.choices[1].message.content, await server.chat({ ...ask, n: 1, seed: whole.choices[1].seed }));
  const s = await read(await client.chat.completions.create({ ...ask, stream: true }));
  same("n 2: streamed, the same two", [s.text[0], s.text[1]], whole.choices.map(c => c.message.content));
}

async function errors(client, server, model) {
  const ask = { model, messages: MESSAGES, max_tokens: 4 };
  const fails = async (name, kind, status, word, request) => {
    const e = await thrown(request);
    ok(`error: ${name} is a ${kind.name}`, e instanceof kind && e.status === status && e.message.includes(word), { name: e?.constructor?.name, status: e?.status, message: e?.message });
    return e;
  };
  const chat = more => client.chat.completions.create({ ...ask, ...more });
  const missing = await fails("an unknown model", OpenAI.NotFoundError, 404, model, chat({ model: "gpt-4o" }));
  same("error: with its code and parameter", [missing.code, missing.param, missing.type], ["model_not_found", "model", "invalid_request_error"]);
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }];
  same("error: names the field", (await fails("tools", OpenAI.BadRequestError, 400, "--ignore-tools", chat({ tools }))).param, "tools");
  const untold = await chat({ tools, tool_choice: "none" });
  ok("tools that may not be called are taken, without a warning", untold.choices.length === 1 && untold.warnings === undefined, untold);
  await fails("response_format", OpenAI.BadRequestError, 400, "response_format", chat({ response_format: { type: "yaml" } }));
  await fails("a schema that is not known here", OpenAI.BadRequestError, 400, "x.json", chat({ response_format: { type: "json_schema", json_schema: { name: "x", schema: { $ref: "x.json" } } } }));
  await fails("an image", OpenAI.BadRequestError, 400, "image_url", chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }] }));
  await fails("a temperature below 0", OpenAI.BadRequestError, 400, "temperature", chat({ temperature: -1 }));
  await fails("reasoning_effort", OpenAI.BadRequestError, 400, "reasoning_effort", chat({ reasoning_effort: "high" }));
  const long = await fails("a prompt that does not fit", OpenAI.BadRequestError, 400, "512", chat({ messages: [{ role: "user", content: "a tale ".repeat(600) }] }));
  same("error: and its code", long.code, "context_length_exceeded");
  await fails("refused in a stream too:", OpenAI.NotFoundError, 404, model, chat({ model: "nope", stream: true }));
  await fails("a wrong key", OpenAI.AuthenticationError, 401, "key", client.withOptions({ apiKey: "sesam" }).chat.completions.create(ask));
  await fails("a wrong key for models", OpenAI.AuthenticationError, 401, "key", client.withOptions({ apiKey: "x" }).models.list());
  await fails("another API", OpenAI.NotFoundError, 404, "/v1/chat/completions", client.responses.create({ model, input: "x" }));
  await fails("embeddings", OpenAI.InternalServerError, 501, "embeddings", client.embeddings.create({ model, input: "x" }));
  ok("fields that are not known are ignored, with a warning", (await chat({ frobnicate: 1 })).warnings?.[0].startsWith("frobnicate"));
}

// A server with 2 slots and 1 place in its queue: two endless streams, one that waits, and no room.
async function crowd(server, model) {
  const client = new OpenAI({ baseURL: `${server.base}/v1`, apiKey: "none", maxRetries: 0 });
  const short = { model, messages: MESSAGES, max_tokens: 12, seed: 3, ignore_eos: true };
  const endless = { ...short, max_tokens: 30000, stream: true };
  const before = await server.counters();
  const streams = [], first = [];
  for (let i = 0; i < 2; i++) {
    streams.push(await client.chat.completions.create({ ...endless, seed: i }));
    first.push(streams[i][Symbol.asyncIterator]());
    for (let k = 0; k < 4; k++) await first[i].next();
  }
  streams.push(await client.chat.completions.create(endless));
  ok("queue: a third one waits", await soon(async () => (await server.counters()).requests_waiting === 1));
  const full = await thrown(client.chat.completions.create(short));
  ok("queue: the next is a RateLimitError", full instanceof OpenAI.RateLimitError && full.status === 429 && full.code === "queue_full", full);
  same("queue: it says when to come back", full.headers?.get("retry-after"), "2");
  const patient = client.chat.completions.create(short, { maxRetries: 4 }); // the package's own retries
  await sleep(200);
  streams[2].controller.abort();
  ok("abort: leaves the queue", await soon(async () => (await server.counters()).requests_waiting === 0));
  same("abort: those that run go on", (await server.counters()).requests_running, 2);
  for (const s of streams.slice(0, 2)) s.controller.abort();
  same("queue: who tries again by itself is served", (await patient).choices[0].message.content, await server.chat(short));
  ok("abort: leaves no request running", await server.idle());
  const after = await server.counters();
  same("abort: three were cancelled", after.requests_cancelled_total - before.requests_cancelled_total, 3);
  const spent = after.output_tokens_total - before.output_tokens_total - 24;
  ok("abort: their work ended", spent >= 8 && spent < 25000, spent);
  await sleep(300);
  same("abort: and stays so", (await server.counters()).output_tokens_total, after.output_tokens_total);
}

async function aborts(server, model) {
  const client = new OpenAI({ baseURL: `${server.base}/v1`, apiKey: "none", maxRetries: 0 });
  const endless = { model, messages: MESSAGES, max_tokens: 30000, seed: 3, ignore_eos: true };
  const controller = new AbortController();
  const answer = thrown(client.chat.completions.create(endless, { signal: controller.signal }));
  ok("abort: an answer in one piece runs", await soon(async () => (await server.counters()).requests_running === 1));
  controller.abort();
  ok("abort: is an APIUserAbortError", (await answer) instanceof OpenAI.APIUserAbortError, await answer);
  ok("abort: ends that work too", await server.idle());
  const late = await thrown(client.chat.completions.create(endless, { timeout: 300 }));
  ok("timeout: is an APIConnectionTimeoutError", late instanceof OpenAI.APIConnectionTimeoutError, late);
  ok("timeout: ends the work", await server.idle());
  let n = 0;
  for await (const chunk of await client.chat.completions.create({ ...endless, stream: true })) if (chunk.choices[0]?.delta.content && ++n === 5) break;
  ok("leaving a loop over a stream ends the work", await server.idle());
}

export async function run(server, crowded) {
  const model = "tales", client = new OpenAI({ baseURL: `${server.base}/v1`, apiKey: server.key, maxRetries: 0 });
  let text = "";
  await group("openai, models", () => models(client, model));
  await group("openai, chat", async () => { text = await conversations(client, server, model); });
  if (!text) return skip("openai, the rest", "there is no text to compare with");
  await group("openai, seed", () => seeds(client, server, model, text));
  await group("openai, stream", () => streams(client, server, model, text));
  await group("openai, completion", () => completions(client, server, model));
  await group("openai, logprobs", () => logprobs(client, server, model, text));
  await group("openai, n", () => choices(client, server, model, text));
  await group("openai, errors", () => errors(client, server, model));
  await group("openai, queue", () => crowd(crowded, "local"));
  await group("openai, abort", () => aborts(crowded, "local"));
}
