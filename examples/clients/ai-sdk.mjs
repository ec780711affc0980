// ai-sdk.mjs - @ai-sdk/openai-compatible: npm install ai @ai-sdk/openai-compatible; node ai-sdk.mjs
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const baseURL = process.env.VERBATIM_URL ?? "http://127.0.0.1:8000/v1";
const apiKey = process.env.VERBATIM_API_KEY ?? "none";
const verbatim = createOpenAICompatible({ name: "verbatim", baseURL, apiKey, includeUsage: true });
const list = await (await fetch(`${baseURL}/models`, { headers: { Authorization: `Bearer ${apiKey}` } })).json();
const model = verbatim(list.data[0].id);
const question = { model, prompt: "Tell me a tale.", maxOutputTokens: 40, maxTokens: 40, seed: 7, temperature: 0.8 };

const whole = await generateText(question);
console.log("text:", JSON.stringify(whole.text));
console.log("usage:", JSON.stringify(whole.usage), "drafts:", JSON.stringify(whole.providerMetadata));

const stream = streamText(question);
let text = "";
for await (const piece of stream.textStream) text += piece;
console.log("stream:", text === whole.text ? "the same text" : "ANOTHER TEXT", await stream.finishReason,
  JSON.stringify(await stream.usage));

try {
  await generateText({ ...question, model: verbatim("no-such-model"), maxRetries: 0 });
} catch (e) {
  console.log("an unknown model:", e.statusCode, e.message.slice(0, 40));
}
if (text !== whole.text) process.exit(1);
