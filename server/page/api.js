// api.js - what the page says to the server and hears from it: JSON, server-sent events, errors as sentences. Knows no document.
"use strict";

// An answer that is an error; `status` 0: there was no answer.
class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function refusal(response) {
  let message = "";
  try {
    message = (await response.json()).error.message;
  } catch {
    message = response.statusText || "no reason given";
  }
  const wait = response.headers.get("Retry-After");
  if (response.status === 429) message = `The server is busy: ${message}.` + (wait ? ` Try again in ${wait} s.` : "");
  return new ServerError(response.status, `${message} (${response.status})`);
}

async function ask(path, key, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = "Bearer " + key;
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server does not answer. Is it still running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

// Text to events. push() takes any pieces of the stream; each "data" goes to onData, each comment to onComment.
function eventReader(onData, onComment) {
  let held = "";
  let data = [];
  const line = text => {
    if (text === "") {
      if (data.length) onData(data.join("\n"));
      data = [];
    } else if (text.startsWith(":")) {
      onComment(text.slice(1).trim());
    } else if (text.startsWith("data:")) {
      data.push(text.slice(text[5] === " " ? 6 : 5));
    }
  };
  return {
    push(text) {
      const lines = (held + text).split("\n");
      held = lines.pop();
      for (const l of lines) line(l.endsWith("\r") ? l.slice(0, -1) : l);
    },
  };
}

// The body of a request. Seeds have up to 63 bits, more than a number here holds, so the digits are put in as they are.
function bodyWithSeed(request, seed) {
  return `${JSON.stringify({ ...request, seed: undefined }).slice(0, -1)},"seed":${seed}}`;
}

// A random seed that a number holds.
function randomSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return String((high & 0xffff) * 2 ** 32 + low);
}

// Sends a request and hands over what comes: on.piece(text, tokens), on.reasoning(text, tokens), on.call(delta),
// on.progress(sentence), on.end(reason), on.report(json).
async function generate(path, body, key, signal, on) {
  const response = await ask(path, key, {
    method: "POST", signal, body, headers: { "Content-Type": "application/json" },
  });
  let complete = false;
  const reader = eventReader(data => {
    if (data === "[DONE]") {
      complete = true;
      return;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(500, chunk.error.message);
    for (const choice of chunk.choices) {
      const delta = choice.delta || { content: choice.text };
      const tokens = choice.verbatim ? choice.verbatim.tokens : [];
      if (delta.reasoning_content) on.reasoning(delta.reasoning_content, tokens);
      else if (delta.content || tokens.length) on.piece(delta.content || "", tokens);
      for (const call of delta.tool_calls || []) on.call(call);
      if (choice.finish_reason) on.end(choice.finish_reason);
    }
    if (chunk.stats) on.report(chunk);
  }, on.progress);
  const stream = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    let part;
    try {
      part = await stream.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "The connection ended before the text did.");
    }
    if (part.done) break;
    try {
      reader.push(decoder.decode(part.value, { stream: true }));
    } catch (error) {
      stream.cancel().catch(() => {});
      throw error;
    }
  }
  if (!complete) throw new ServerError(0, "The connection ended before the text did.");
}
