// clients.mjs - all clients, one after the other. tests/clients/run starts the servers and says where things are.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { command, finish, group, ok, same, Server, skip } from "./check.mjs";
import * as aiSdk from "./ai-sdk.mjs";
import * as openai from "./openai.mjs";
import * as opencode from "./opencode.mjs";
import * as structured from "./structured.mjs";
import * as tools from "./tools.mjs";

const { CHAT_URL, CHAT_KEY, LONG_URL, AGENT_URL, SHAPE_URL, EXAMPLES, MODULES, WORK } = process.env;
const chat = new Server(CHAT_URL, CHAT_KEY), long = new Server(LONG_URL, "none");

function version(name) {
  return JSON.parse(readFileSync(join(MODULES, name, "package.json"))).version;
}

// The shipped examples against the server, from where the packages are found.
async function examples() {
  const env = { ...process.env, VERBATIM_URL: `${CHAT_URL}/v1`, VERBATIM_API_KEY: CHAT_KEY };
  const ask = { model: "tales", messages: [{ role: "user", content: "Tell me a tale." }], max_tokens: 40, seed: 7, temperature: 0.8 };
  const text = `text: ${JSON.stringify(await chat.chat(ask))}\n`;
  for (const name of ["openai-client.mjs", "ai-sdk.mjs"]) {
    const r = await command(process.execPath, [join(EXAMPLES, name)], { env });
    same(`examples/clients/${name}: exit status 0`, r.status, 0);
    ok(`examples/clients/${name}: curl's text`, r.out.includes(text), r);
    ok(`examples/clients/${name}: the stream, and an unknown model`, /stream: the same text/.test(r.out) && /unknown model: 404/.test(r.out), r);
  }
  const curl = await command("sh", [join(EXAMPLES, "curl.sh")], { env });
  const answers = curl.out.split("\n").filter(l => l.startsWith("{")).map(l => JSON.parse(l));
  same("examples/clients/curl.sh: exit status 0", curl.status, 0);
  const content = answers.slice(1).map(a => a.choices[0].message.content);
  ok("examples/clients/curl.sh: models, and the same text from the target alone", content.length === 2 && content[0] === content[1] && text.includes(JSON.stringify(content[0])), curl);
  ok("examples/clients/curl.sh: a stream with origins", curl.out.includes('"origin"') && curl.out.includes("data: [DONE]"), curl);
  const test = await command("sh", [join(EXAMPLES, "test-server")], { env });
  ok("examples/clients/test-server: all is well", test.status === 0 && !test.out.includes("FAILED") && /target alone +the same text/.test(test.out), test);
  if ((await command("python3", ["-c", "import openai"])).status !== 0) return skip("examples/clients/openai_client.py", "there is no openai for Python");
  const python = await command("python3", [join(EXAMPLES, "openai_client.py")], { env });
  ok("examples/clients/openai_client.py", python.status === 0 && python.out.includes("stream: the same text"), python);
}

console.log(`# node ${process.version}; ${["openai", "ai", "@ai-sdk/openai-compatible", "@langchain/openai", "@llamaindex/openai", "opencode-ai"].map(n => `${n} ${version(n)}`).join(", ")}`);
await group("examples", examples);
await group("openai", () => openai.run(chat, long));
await group("ai", () => aiSdk.run(chat, long));
await group("opencode", () => opencode.run(long, join(MODULES, ".bin", "opencode"), join(EXAMPLES, "opencode.json"), WORK));
await tools.run(AGENT_URL, join(MODULES, ".bin", "opencode"), join(EXAMPLES, "opencode.json"), WORK);
await structured.run(SHAPE_URL, join(MODULES, ".bin", "opencode"), join(EXAMPLES, "opencode.json"), WORK);
process.exit(finish());
