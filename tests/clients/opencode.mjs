// opencode.mjs - OpenCode itself, from its package: `opencode run` in an empty project with examples/clients/opencode.json. What it
// asks goes through a relay that writes down requests and answers; curl then asks the server the same, with the seed that was drawn.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { command, group, ok, same, skip } from "./check.mjs";

// Listens on the port of the shipped configuration if it is free, else on another. Passes bytes on as they come.
export async function relay(base, log) {
  const to = new URL(base);
  const server = http.createServer(async (request, reply) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const entry = { path: request.url, body: Buffer.concat(parts).toString(), answer: "", ended: false };
    log.push(entry);
    const further = http.request({ host: to.hostname, port: to.port, path: request.url, method: request.method, headers: request.headers }, answer => {
      reply.writeHead(answer.statusCode, answer.headers);
      entry.status = answer.statusCode;
      answer.on("data", part => { entry.answer += part.toString("latin1"); reply.write(part); });
      answer.on("end", () => { entry.ended = true; reply.end(); });
      answer.on("error", () => reply.destroy());
    });
    further.on("error", () => reply.destroy());
    reply.on("close", () => further.destroy());
    further.end(entry.body);
  });
  const listen = port => new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  await listen(8000).catch(() => listen(0));
  return { port: server.address().port, close: () => { server.closeAllConnections(); server.close(); } };
}

// The events of a stream as they came, whatever a client makes of them.
function events(entry) {
  const lines = Buffer.from(entry.answer, "latin1").toString().split("\n").filter(l => l.startsWith("data: {"));
  return lines.map(l => JSON.parse(l.slice(6)));
}

// OpenCode's own folders are below `home`. Nothing outside this machine is asked: proxies and a registry that nobody serves.
export function environment(home) {
  const nowhere = "http://127.0.0.1:9", local = "127.0.0.1,localhost";
  return {
    PATH: process.env.PATH, HOME: home, TMPDIR: home, XDG_CONFIG_HOME: join(home, "config"), XDG_DATA_HOME: join(home, "data"),
    XDG_STATE_HOME: join(home, "state"), XDG_CACHE_HOME: join(home, "cache"), NO_COLOR: "1", OPENCODE_DISABLE_AUTOUPDATE: "1",
    http_proxy: nowhere, https_proxy: nowhere, HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere, no_proxy: local, NO_PROXY: local,
    npm_config_registry: nowhere, npm_config_fetch_retries: "0",
  };
}

function opencode(program, home, project, args) {
  return command(program, ["run", ...args], { cwd: project, env: environment(home), timeout: 240000, killSignal: "SIGKILL" });
}

// The turn in the log: one request with tools, by the large model; its answer's text, and that of curl with the same seed.
async function turn(name, log, server) {
  const asked = log.filter(e => e.path === "/v1/chat/completions").map(e => ({ ...e, body: JSON.parse(e.body) }));
  const turns = asked.filter(e => e.body.tools?.length);
  same(`${name}: one request is the turn, with tools`, turns.length, 1);
  ok(`${name}: it was answered to its end, with 200`, turns[0].status === 200 && turns[0].ended, turns[0]);
  // The one for a title may still be on its way when the turn is over.
  ok(`${name}: no request was refused`, asked.every(e => e.status === 200 || e.status === undefined), asked.map(e => [e.status, e.answer]));
  const seen = events(turns[0]), text = seen.map(e => e.choices[0]?.delta?.content ?? "").join("");
  const seed = seen.find(e => e.seed !== undefined)?.seed;
  same(`${name}: curl's text for the same request and seed`, text, await server.chat({ ...turns[0].body, seed }));
  const reason = seen.map(e => e.choices[0]?.finish_reason).find(r => r), usage = seen.at(-1).usage;
  return { body: turns[0].body, text, reason, usage, asked };
}

async function first(program, home, project, server, log) {
  let r, t, tries = 0;
  do { // the seed is the server's, and now and then the model has nothing to say
    log.length = 0;
    r = await opencode(program, home, project, ["--format", "json", "Tell me a tale of a fox."]);
    same("opencode run: exit status 0", r.status, 0);
    if (r.status !== 0) console.log(`#   ${r.err.slice(-1500).replaceAll("\n", "\n#   ")}`);
    t = await turn("opencode run", log, server);
  } while (t.text.trim() === "" && ++tries < 3);
  const out = r.out.split("\n").filter(l => l.startsWith("{")).map(l => JSON.parse(l));
  const texts = out.filter(e => e.type === "text").map(e => e.part.text);
  ok("opencode run: there is a text", t.text.length > 0 && texts.length === 1, texts);
  same("opencode run: it has the assistant's text", texts.join("").trimEnd(), t.text.trimEnd());
  const end = out.find(e => e.type === "step_finish")?.part;
  same("opencode run: the reason", end?.reason, t.reason);
  same("opencode run: its count of tokens is the usage", [end?.tokens.input + end?.tokens.cache.read, end?.tokens.output],
    [t.usage.prompt_tokens, t.usage.completion_tokens]);
  ok("opencode run: a prompt of thousands of tokens", t.usage.prompt_tokens > 2000, t.usage);
  same("opencode run: the models of the configuration", [t.body.model, t.asked.find(e => !e.body.tools)?.body.model], ["local:balanced", "local:fast"]);
  console.log(`#   OpenCode printed: ${JSON.stringify(texts.join("")).slice(0, 300)}`);
  console.log(`#   usage: ${JSON.stringify(t.usage)}`);
}

// The next turn of that conversation, with a seed and a limit from the configuration, in the format for people.
async function second(program, home, project, config, server, log) {
  const model = config.provider.verbatim.models["local:balanced"];
  model.options = { seed: 7, temperature: 0.5, ignore_eos: true };
  model.limit.output = 48;
  writeFileSync(join(project, "opencode.json"), JSON.stringify(config));
  const r = await opencode(program, home, project, ["--continue", "And then?"]);
  same("opencode run --continue: exit status 0", r.status, 0);
  const t = await turn("opencode run --continue", log, server);
  same("opencode run --continue: seed, temperature and limit come from the configuration",
    [t.body.seed, t.body.temperature, t.body.max_tokens], [7, 0.5, 48]);
  ok("opencode run --continue: with the turn before", t.body.messages.filter(m => m.role === "assistant").length === 1, t.body.messages.map(m => m.role));
  same("opencode run --continue: 48 tokens", t.usage.completion_tokens, 48);
  same("opencode run --continue: it prints the assistant's text", r.out.trim(), t.text.trim());
  ok("opencode run --continue: most of the prompt was in the cache", t.usage.prompt_tokens_details.cached_tokens > 2000, t.usage);
  console.log(`#   OpenCode printed: ${JSON.stringify(r.out.trim()).slice(0, 300)}`);
}

export async function run(server, program, example, work) {
  const version = await command(program, ["--version"], { env: { ...process.env, HOME: work } });
  if (version.status !== 0) return skip("OpenCode", `its program does not run here: ${version.err.trim().split("\n")[0]}`);
  const home = join(work, "home"), project = join(work, "project"), log = [];
  for (const folder of [home, project]) mkdirSync(folder);
  const way = await relay(server.base, log);
  let text = readFileSync(example, "utf8");
  ok("opencode.json: the port is that of the server's default", text.includes("http://127.0.0.1:8000/v1"));
  if (way.port !== 8000) {
    text = text.replace("127.0.0.1:8000", `127.0.0.1:${way.port}`);
    console.log(`#   port 8000 is taken: a copy of opencode.json with port ${way.port}`);
  }
  writeFileSync(join(project, "opencode.json"), text);
  await group("opencode run", () => first(program, home, project, server, log));
  log.length = 0;
  await group("opencode run --continue", () => second(program, home, project, JSON.parse(text), server, log));
  way.close();
}
