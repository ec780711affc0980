// reader.js API.JS - the page's reader of event streams gives the same events wherever the stream is cut, and large seeds keep
// their digits. Run by tests/cli/page.sh.
"use strict";
const assert = require("assert");
const fs = require("fs");
const vm = require("vm");

const api = vm.createContext({ fetch: undefined, crypto: require("crypto").webcrypto });
vm.runInContext(fs.readFileSync(process.argv[2], "utf8"), api);

const stream = ': prompt 64 of 200 tokens\n\ndata: {"a":1}\n\ndata:{"b":": x"}\r\n\r\ndata: one\ndata: two\n\nevent: x\nid: 7\n\ndata: [DONE]\n\n';
const expected = ["# prompt 64 of 200 tokens", '{"a":1}', '{"b":": x"}', "one\ntwo", "[DONE]"];

function read(pieces) {
  const seen = [];
  const reader = api.eventReader(data => seen.push(data), comment => seen.push("# " + comment));
  for (const p of pieces) reader.push(p);
  return seen;
}
assert.deepStrictEqual(read([stream]), expected);
assert.deepStrictEqual(read([...stream]), expected);
for (let i = 0; i <= stream.length; i++)
  for (let j = i; j <= stream.length; j += 3)
    assert.deepStrictEqual(read([stream.slice(0, i), stream.slice(i, j), stream.slice(j)]), expected);
assert.deepStrictEqual(read(["data: unfinished"]), []);

assert.strictEqual(api.bodyWithSeed({ model: "m", seed: 1 }, "9223372036854775807"), '{"model":"m","seed":9223372036854775807}');
const seeds = new Set();
for (let i = 0; i < 100; i++) {
  const seed = api.randomSeed();
  assert.match(seed, /^\d+$/);
  assert.ok(Number.isSafeInteger(Number(seed)));
  seeds.add(seed);
}
assert.ok(seeds.size > 90);
