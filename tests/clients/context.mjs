// context.mjs IN.gguf OUT.gguf N - a copy whose declared context is N positions. The pair in vectors/models was trained for 512, too few
// for a client that sends thousands of tokens of its own. What a model writes beyond its training is no tale, but every step on the
// way is the same: reading the prompt, drafting, accepting, streaming.
import { readFileSync, writeFileSync } from "node:fs";

const [from, to, n] = process.argv.slice(2);
const bytes = readFileSync(from), key = Buffer.from(".context_length");
const at = bytes.indexOf(key) + key.length;
// After the key: the type (4: 32 bits, unsigned), then the number.
if (at < key.length || bytes.readUInt32LE(at) !== 4) throw new Error(`${from}: no context length of 32 bits`);
bytes.writeUInt32LE(Number(n), at + 4);
writeFileSync(to, bytes);
