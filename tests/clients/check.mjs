// check.mjs - what the tests of clients share: checks that print TAP, curl as the client to compare with, the server's counters.
import { execFile } from "node:child_process";

let count = 0, bad = 0;

export function ok(name, condition, seen) {
  count++;
  if (!condition) bad++;
  console.log(`${condition ? "" : "not "}ok ${count} - ${name}`);
  if (!condition && seen !== undefined) console.log("#   seen: " + (JSON.stringify(seen) ?? String(seen)).slice(0, 2000));
}

export const same = (name, seen, wanted) =>
  ok(name, typeof wanted !== "undefined" && JSON.stringify(seen) === JSON.stringify(wanted), { seen, wanted });

export function skip(name, why) {
  count++;
  console.log(`ok ${count} - ${name} # SKIP ${why}`);
}

export function finish() {
  console.log(`1..${count}`);
  return bad ? 1 : 0;
}

// What is thrown in the middle of a group is one failed check, and the groups after it still run.
export async function group(name, run) {
  try {
    await run();
  } catch (error) {
    ok(`${name}: runs to its end`, false, `${error?.stack ?? error}`);
  }
}

// The error of something that must fail; undefined if it did not.
export async function thrown(what) {
  try {
    await (typeof what === "function" ? what() : what);
  } catch (error) {
    return error;
  }
}

export const sleep = ms => new Promise(done => setTimeout(done, ms));

// True as soon as the condition is; false after so many seconds.
export async function soon(condition, seconds = 20) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; await sleep(50)) if (await condition()) return true;
  return false;
}

// A program's standard output and exit status; input goes to its standard input.
export function command(file, args, { input = "", ...options } = {}) {
  return new Promise(done => {
    const child = execFile(file, args, { maxBuffer: 1 << 26, ...options }, (error, out, err) =>
      done({ status: error ? error.code ?? `signal ${error.signal}` : 0, out, err }));
    child.stdin.on("error", () => {}); // a program that does not read
    child.stdin.end(input);
  });
}

// A server as curl sees it. Bodies are sent as the client under test wrote them, but in one piece instead of a stream.
export class Server {
  constructor(base, key) {
    this.base = base;
    this.key = key;
  }
  async curl(path, body) {
    const args = ["-sS", "-m", "120", "-H", `Authorization: Bearer ${this.key}`, "-H", "Content-Type: application/json"];
    const r = await command("curl", body ? [...args, "--data-binary", "@-", this.base + path] : [...args, this.base + path],
      { input: body ? JSON.stringify(body) : "" });
    if (r.status !== 0) throw new Error(`curl ${path}: ${r.err}`);
    return r.out;
  }
  // The choices' texts for a request with a seed, in order.
  async texts(path, body) {
    const { stream, stream_options, ...whole } = body;
    if (whole.seed === undefined) throw new Error("a request without a seed cannot be compared");
    const answer = JSON.parse(await this.curl(path, whole));
    if (!answer.choices) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer.choices.map(c => c.message?.content ?? c.text);
  }
  async chat(body) {
    return (await this.texts("/v1/chat/completions", body))[0];
  }
  async completion(body) {
    return (await this.texts("/v1/completions", body))[0];
  }
  // The counters of /metrics that have no labels.
  async counters() {
    const lines = (await this.curl("/metrics")).matchAll(/^verbatim_(\w+) ([\d.e+-]+)$/gm);
    return Object.fromEntries([...lines].map(m => [m[1], Number(m[2])]));
  }
  idle(seconds) {
    return soon(async () => {
      const c = await this.counters();
      return c.requests_running === 0 && c.requests_waiting === 0;
    }, seconds);
  }
}

// Remembers the bodies that a client sends through it.
export function recorder() {
  const bodies = [];
  return {
    bodies,
    fetch: (url, init) => {
      if (init?.body) bodies.push(JSON.parse(init.body));
      return fetch(url, init);
    },
  };
}
