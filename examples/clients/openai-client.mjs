// openai-client.mjs - the package `openai` for JavaScript: npm install openai; node openai-client.mjs
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.VERBATIM_URL ?? "http://127.0.0.1:8000/v1",
  apiKey: process.env.VERBATIM_API_KEY ?? "none",
});
const models = await client.models.list();
const model = models.data[0].id;
console.log("models:", models.data.map(m => m.id).join(" "));

const messages = [{ role: "user", content: "Tell me a tale." }];
const whole = await client.chat.completions.create({ model, messages, max_tokens: 40, seed: 7, logprobs: true });
console.log("text:", JSON.stringify(whole.choices[0].message.content));
console.log("accepted drafts:", whole.usage.completion_tokens_details.accepted_prediction_tokens,
  "rejected:", whole.usage.completion_tokens_details.rejected_prediction_tokens);

let text = "", usage = null, reason = null;
const stream = await client.chat.completions.create({
  model, messages, max_tokens: 40, seed: 7, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  reason = chunk.choices[0]?.finish_reason ?? reason;
  usage = chunk.usage ?? usage;
}
console.log("stream:", text === whole.choices[0].message.content ? "the same text" : "ANOTHER TEXT",
  `(${usage.completion_tokens} tokens, ${reason})`);

try {
  await client.chat.completions.create({ model: "no-such-model", messages });
} catch (e) {
  console.log("an unknown model:", e.status, e.code);
}
if (text !== whole.choices[0].message.content) process.exit(1);
