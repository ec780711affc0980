// opencode.mjs - OpenCode in its default configuration on real weights: small tasks, each with several seeds. A try counts if a tool was
// called, ran, and what the model said or did behind it uses the result. Prints a line for each and the rate; what the others said is in
// REPORT, an object a line, with all requests and answers in REPORT.asked. tests/real/opencode starts the server.
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../clients/check.mjs";
import { environment, relay } from "../clients/opencode.mjs";

const { SERVER, PROGRAM, EXAMPLE, WORK, REPORT, SEEDS = "10", FIRST = "1", LIMIT = "300", TASKS = "read,write,list" } = process.env;
const home = join(WORK, "home"), project = join(WORK, "project");

const text = file => (existsSync(join(project, file)) ? readFileSync(join(project, file), "utf8") : "");
const tasks = {
  read: {
    ask: "Read the file notes.txt and tell me the code word that is written in it.",
    files: { "notes.txt": "Meeting on Tuesday.\nThe code word is pelican.\nBring water.\n" },
    used: said => /pelican/i.test(said),
  },
  write: {
    ask: "Create a file hello.txt that contains the word hello, then say that it is done.",
    files: {},
    used: said => said.trim() !== "" && /hello/i.test(text("hello.txt")),
  },
  list: {
    ask: "Use the bash tool to run ls in this folder and tell me the names of the files.",
    files: { "walrus.txt": "a\n", "heron.txt": "b\n" },
    used: said => /walrus/i.test(said) && /heron/i.test(said),
  },
};

// The project has the same path in every try: then the prompt begins with the same thousands of tokens, which are read once.
function prepare(task, base, seed) {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project);
  const config = JSON.parse(readFileSync(EXAMPLE, "utf8"));
  config.provider.verbatim.options.baseURL = `${base}/v1`;
  for (const model of Object.values(config.provider.verbatim.models)) model.options = { seed };
  writeFileSync(join(project, "opencode.json"), JSON.stringify(config));
  for (const [file, content] of Object.entries(task.files)) writeFileSync(join(project, file), content);
}

async function attempt(name, seed, base) {
  const task = tasks[name], began = Date.now();
  prepare(task, base, seed);
  const r = await command(PROGRAM, ["run", "--format", "json", task.ask], { cwd: project, env: environment(home), timeout: 1000 * LIMIT, killSignal: "SIGKILL" });
  const events = r.out.split("\n").filter(l => l.startsWith("{") && l.endsWith("}")).map(l => JSON.parse(l));
  const ran = events.findIndex(e => e.type === "tool_use" && e.part.state.status === "completed");
  const texts = list => list.filter(e => e.type === "text").map(e => e.part.text);
  return {
    task: name, seed, used: ran >= 0 && task.used(texts(events.slice(ran + 1)).join("\n")), seconds: (Date.now() - began) / 1000, status: r.status,
    tools: events.filter(e => e.type === "tool_use").map(e => ({ tool: e.part.tool, status: e.part.state.status, input: e.part.state.input,
      output: String(e.part.state.output ?? e.part.state.error).slice(0, 500) })),
    texts: texts(events), errors: events.filter(e => e.type === "error"), err: r.err.slice(-500), folder: readdirSync(project),
  };
}

mkdirSync(home, { recursive: true });
const asked = [], way = await relay(SERVER, asked);
let tried = 0, called = 0, used = 0;
for (const name of TASKS.split(","))
  for (let seed = +FIRST; seed < +FIRST + +SEEDS; seed++) {
    asked.length = 0;
    const r = await attempt(name, seed, `http://127.0.0.1:${way.port}`);
    tried++;
    called += r.tools.some(t => t.status === "completed");
    used += r.used;
    appendFileSync(REPORT, JSON.stringify(r) + "\n");
    appendFileSync(`${REPORT}.asked`, JSON.stringify(asked) + "\n");
    console.log(`# ${name}, seed ${seed}: ${r.used ? "used" : "not used"}; ${r.tools.map(t => `${t.tool} ${t.status}`).join(", ") || "no tool"}; ${r.seconds.toFixed(0)} s`);
  }
way.close();
console.log(`# ${tried} tries: a tool ran in ${called}, its result was used in ${used}`);
console.log(`${used ? "ok" : "not ok"} 1 - OpenCode on real weights calls a tool and uses its result`);
process.exit(used ? 0 : 1);
