// app.js - the page: a conversation or texts, settings, and what can be done with an answer. Text of models and people only ever
// becomes text nodes (markdown.js, tokens.js).
"use strict";

const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens"];
const EXAMPLES = {
  chat: ["Explain speculative decoding in two sentences.", "Write four lines about the sea in winter.", "Name three uses of a paper clip, as a list."],
  text: ["Once upon a time, in a village by the sea, there lived", "The old king had three daughters, and", "In the middle of the forest stood a house, and in it"],
};
const MOST = { chat: "1024", text: "160" };
const KEPT = "verbatim.turns"; // in the tab's own storage: a reload finds the conversation again, a new tab does not
const server = { name: "", chat: false, preset: "", room: 0, prompts: {} };
const turns = [];
let control = null, following = true;

// ---------------------------------------------------------------------------------------------------- state and errors

const say = text => { $("state").textContent = text; };

function showError(error) {
  $("error").textContent = error.status === 401 && !$("key").value
    ? "This server asks for an API key: type it into the field under Settings. (401)" : error.message;
  $("error").hidden = false;
  if (error.status === 401) {
    $("settings").open = true;
    $("key").setAttribute("aria-invalid", "true");
    $("key").focus();
  }
}

function hideError() {
  $("error").hidden = true;
  $("key").removeAttribute("aria-invalid");
}

function busy(on) {
  $("go").disabled = on;
  $("stop").disabled = !on;
  for (const b of document.querySelectorAll("button.again")) b.disabled = on;
}

// Runs work(signal) with the Stop button on; how it ended: "", "stopped", or the error.
async function stoppable(work) {
  control = new AbortController();
  hideError();
  busy(true);
  try {
    await work(control.signal);
    return "";
  } catch (error) {
    if (error.name === "AbortError") return "stopped";
    showError(error);
    return error;
  } finally {
    busy(false);
    control = null;
  }
}

// ---------------------------------------------------------------------------------------------------- the server

// While models load the page says how far that is, and goes on by itself.
async function untilReady(signal) {
  for (;;) {
    try {
      await ask("health", "");
      return;
    } catch (error) {
      if (error.status !== 503) throw error;
      say(error.message.replace(/ \(503\)$/, ""));
    }
    await new Promise((done, cut) => {
      const wait = setTimeout(done, 700);
      signal.addEventListener("abort", () => (clearTimeout(wait), cut(new DOMException("stopped", "AbortError"))), { once: true });
    });
  }
}

async function connect(signal) {
  const key = $("key").value;
  await untilReady(signal);
  const props = await (await ask("props", key)).json();
  const models = (await (await ask("v1/models", key)).json()).data;
  say("");
  server.name = props.model;
  server.chat = props.chat_template !== null;
  server.room = props.n_ctx;
  const draft = props.draft ? `, guesses by ${props.draft.file}` : props.drafter === "ngram" ? ", guesses by prompt lookup" : ", without guesses";
  $("about").textContent = `${props.target.file}${draft}; ${props.n_ctx} tokens of context.`;
  presets(models, props.draft_tokens);
  systemPrompts(props.system_prompts || {});
  for (const id of NUMBERS) {
    const value = props.default_generation_settings[id];
    if (value !== undefined && $(id).value === "") $(id).value = value;
  }
  $("mode-chat").disabled = !server.chat;
  $("mode-chat").checked = server.chat;
  $("mode-text").checked = !server.chat;
  $("no-chat").hidden = server.chat;
  $("no-chat").textContent = "This model has no chat template, so it continues texts.";
  switchMode();
  if (!turns.length) restore();
}

function radio(name, value, words, checked, choose) {
  const input = make("input", { type: "radio", name, value, checked });
  input.addEventListener("change", choose);
  return make("label", {}, input, make("span", { textContent: words }));
}

// One choice per model id; NAME itself is one of them under another name, unless its draft length is nobody else's.
function presets(models, usual) {
  const list = models.filter(m => m.id.startsWith(server.name + ":"));
  if (!list.some(m => m.draft_tokens === usual)) list.unshift(models.find(m => m.id === server.name));
  const chosen = list.find(m => m.id === server.preset) || list.find(m => m.draft_tokens === usual);
  server.preset = chosen.id;
  const labels = list.map(m => {
    const name = m.id.slice(server.name.length + 1) || "usual";
    return radio("preset", m.id, name === "off" || name === "auto" ? name : `${name} ${m.draft_tokens}`, m === chosen, () => { server.preset = m.id; });
  });
  $("presets").replaceChildren($("presets").querySelector("legend"), ...labels);
}

function systemPrompts(prompts) {
  server.prompts = prompts;
  const names = Object.keys(prompts).filter(name => prompts[name]);
  $("system-name").replaceChildren(make("option", { value: "", textContent: "your own" }), ...names.map(name => make("option", { value: name, textContent: name })));
}

const chatMode = () => $("mode-chat").checked;

function switchMode() {
  const chat = chatMode();
  $("prompt-label").textContent = chat ? "Message" : "Text to continue";
  $("prompt").placeholder = chat ? "Ask something" : "The beginning of a text";
  $("go").textContent = chat ? "Send" : "Continue";
  $("hint").textContent = chat ? "Enter sends, Shift+Enter is a new line." : "Ctrl+Enter continues the text.";
  $("chat-settings").hidden = !chat;
  if (Object.values(MOST).concat("").includes($("max_tokens").value)) $("max_tokens").value = chat ? MOST.chat : MOST.text;
  $(chat ? "view-text" : "view-tokens").checked = true;
  switchView();
  examples();
}

// Text is formatted for reading; tokens show where each came from. Both are there, one is seen.
function switchView() {
  document.body.classList.toggle("as-text", $("view-text").checked);
  $("bar").hidden = !turns.length || $("view-text").checked;
  for (const t of turns) drawSoon(t);
}

function examples() {
  const list = EXAMPLES[chatMode() ? "chat" : "text"].map(text => {
    const b = make("button", { type: "button", className: "example", textContent: text });
    b.addEventListener("click", () => control || start(text));
    return b;
  });
  $("examples").replaceChildren(make("p", { className: "quiet", textContent: "Try one of these, or write your own below." }), ...list);
  $("examples").hidden = turns.length > 0;
}

// ---------------------------------------------------------------------------------------------------- requests

function readSettings() {
  const o = {};
  for (const id of NUMBERS) {
    const text = $(id).value.trim().replace(/^(-?\d*),(\d+)$/, "$1.$2"); // as many countries write 0.5
    if (text === "") continue;
    if (!Number.isFinite(Number(text))) throw new ServerError(400, `${$(id).labels[0].firstChild.textContent.trim()}: "${text}" is no number.`);
    o[id] = Number(text);
  }
  if ($("accept").value) o.accept = $("accept").value;
  return o;
}

function readSeed() {
  const text = $("seed").value.trim();
  if (text === "") return randomSeed();
  if (!/^\d{1,19}$/.test(text)) throw new ServerError(400, "Seed: digits only, up to 9223372036854775807.");
  return text.replace(/^0+(?=\d)/, "");
}

function readTools() {
  const text = $("tools").value.trim();
  if (text === "") return {};
  let tools;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new ServerError(400, `Tools: this is no JSON: ${error.message}`);
  }
  return { tools };
}

// What a turn adds to the conversation before its answer: a message, or the results of calls.
const question = t => (t.results ? t.results.map(r => ({ role: "tool", tool_call_id: r.id, content: r.content })) : [{ role: "user", content: t.prompt }]);

function reply(t) {
  const m = { role: "assistant", content: t.text };
  if (t.calls.length) {
    m.tool_calls = t.calls.map(c => ({ id: c.id, type: "function", function: { name: c.name, arguments: c.arguments } }));
    if (t.reasoning) m.reasoning_content = t.reasoning;
  }
  return m;
}

// The whole request of a turn; what came before it is read off the turns before it.
function request(turn) {
  const o = { ...turn.asked, stream: true, verbatim: true };
  if (!turn.chat) return { ...o, prompt: turn.prompt };
  const messages = turn.system ? [{ role: "system", content: turn.system }] : [];
  for (const t of turns) {
    if (t === turn) break;
    if (t.chat) messages.push(...question(t), reply(t));
  }
  return { ...o, messages: messages.concat(question(turn)) };
}

// ---------------------------------------------------------------------------------------------------- turns

function newTurn(prompt, results) {
  return {
    chat: chatMode(), prompt, results, system: chatMode() ? $("system").value.trim() : "", seed: readSeed(),
    asked: { model: server.preset, ...readSettings(), ...(chatMode() ? readTools() : {}) },
    text: "", reasoning: "", calls: [], ids: [], steps: [], pieces: [], shown: 0, first: 0, report: null, reason: "", continued: false,
  };
}

function openTurn(turn) {
  const preset = turn.asked.model.slice(server.name.length + 1) || "usual";
  turn.thoughts = make("details", { className: "reasoning", hidden: true }, make("summary", { textContent: "Reasoning" }), make("div", { className: "thoughts" }));
  turn.formatted = make("div", { className: "formatted" });
  turn.view = make("div", { className: "text", role: "group", ariaLabel: "Generated text, a token at a time with the arrow keys" });
  turn.view.addEventListener("keydown", onTokenKey);
  turn.called = make("div", { className: "calls" });
  turn.live = make("div", { className: "live", ariaLive: "polite" });
  turn.numbers = make("p", { className: "numbers" });
  turn.chart = make("div", { className: "steps" });
  turn.foot = make("p", { className: "row" });
  turn.verdict = make("div", { className: "verdict", role: "status" });
  const asked = turn.results ? [make("h2", { textContent: "Results" }), ...turn.results.map(r => make("p", { className: "prompt", textContent: r.content }))]
    : [make("h2", { textContent: turn.chat ? "You" : "Prompt" }), make("p", { className: "prompt", textContent: turn.prompt })];
  turn.card = make("article", { ariaLabel: `Text ${turns.length + 1}` }, ...asked,
    make("h2", { textContent: `${server.name}, ${preset}` }), turn.thoughts, turn.formatted, turn.view, turn.called, turn.live,
    turn.numbers, turn.chart, turn.foot, turn.verdict);
  $("turns").append(turn.card);
  turns.push(turn);
  $("examples").hidden = true;
  switchView();
}

function follow() {
  if (following) scrollTo(0, document.documentElement.scrollHeight);
}

function drawSoon(turn) {
  if (turn.drawing) return;
  turn.drawing = true;
  requestAnimationFrame(() => {
    turn.drawing = false;
    turn.numbers.textContent = turn.ids.length ? numbers(turn) : "";
    if (turn.steps.some(s => s.drafted)) turn.chart.replaceChildren(chart(turn.steps), caption());
    if (turn.chat) showMarkdown(turn.formatted, turn.text);
    else turn.formatted.textContent = turn.text;
    turn.thoughts.hidden = !turn.reasoning;
    turn.thoughts.lastChild.textContent = turn.reasoning;
    turn.called.replaceChildren(...turn.calls.map(showCall));
    follow();
  });
}

function showCall(call) {
  let words = call.arguments;
  try {
    words = JSON.stringify(JSON.parse(words), null, 1);
  } catch { /* not whole yet */ }
  return make("p", { className: "call" }, make("b", { textContent: `calls ${call.name}` }), make("code", { textContent: words }));
}

function button(words, className, act) {
  const b = make("button", { type: "button", className, textContent: words });
  b.addEventListener("click", act);
  return b;
}

async function copy(turn, b) {
  try {
    await navigator.clipboard.writeText(turn.text);
  } catch { // without a secure origin there is no clipboard: the text is selected instead
    getSelection().selectAllChildren(document.body.classList.contains("as-text") ? turn.formatted : turn.view);
    document.execCommand("copy");
  }
  b.textContent = "Copied";
  setTimeout(() => { b.textContent = "Copy"; }, 1500);
}

// Why a text ends where it does, if not by itself.
function ending(turn) {
  if (turn.reason === "stopped") return "Stopped.";
  if (turn.reason !== "length") return "";
  const used = turn.report && turn.report.usage ? turn.report.usage.total_tokens : 0;
  if (server.room && used >= server.room) return `The context of ${server.room} tokens is full: start over.`;
  return `Stopped at ${turn.ids.length} tokens (Settings, Most tokens).`;
}

// What can be done with a text that is there.
function closeTurn(turn) {
  turn.live.textContent = ""; // screen readers get the text once, whole
  if (turn.text) turn.live.textContent = turn.text;
  drawSoon(turn);
  const why = ending(turn), foot = [];
  if (why) foot.push(make("span", { className: "quiet", textContent: why }));
  if ((turn.reason === "length" && !why.includes("full")) || (turn.reason === "stopped" && turn.text))
    foot.push(button("Go on", "again", () => goOn(turn)));
  if (turn.text) foot.push(button("Copy", "", event => copy(turn, event.target)));
  if (turn.ids.length && !turn.continued) foot.push(button("Run the target alone", "again", () => runAlone(turn)));
  const seed = button(`seed ${turn.seed}`, "plain", () => { $("seed").value = turn.seed; $("settings").open = true; });
  seed.title = "Use this seed again";
  foot.push(seed);
  const warnings = (turn.report && turn.report.warnings) || [];
  if (warnings.length) foot.push(make("span", { className: "quiet", textContent: warnings.join("; ") }));
  turn.foot.replaceChildren(...foot);
  if (turn.reason === "tool_calls" && turn.calls.length && turns.at(-1) === turn) askResults(turn);
  keep();
}

// A field for the result of every call; sent, they are the next turn.
function askResults(turn) {
  const fields = turn.calls.map(c => make("textarea", { rows: 1, placeholder: `result of ${c.name}`, ariaLabel: `Result of ${c.name}` }));
  const send = button("Send results", "again", () => {
    form.remove();
    start("", turn.calls.map((c, i) => ({ id: c.id, content: fields[i].value })));
  });
  const form = make("div", { className: "results" }, ...fields, send);
  turn.called.after(form);
}

// ---------------------------------------------------------------------------------------------------- writing

const path = turn => (turn.chat ? "v1/chat/completions" : "v1/completions");

// Lets a turn's text come; `asked` is the request. Returns how it ended, as stoppable does.
async function write(turn, asked) {
  turn.view.setAttribute("aria-busy", "true");
  say("Waiting for the first token.");
  turn.reason = "stopped";
  const how = await stoppable(signal => generate(path(turn), bodyWithSeed(asked, turn.seed), $("key").value, signal, {
    piece(text, tokens) {
      if (!turn.first) turn.first = performance.now();
      if (text || tokens.length) say("Generating.");
      turn.text += text;
      addPiece(turn, text, tokens);
      drawSoon(turn);
    },
    reasoning(text, tokens) {
      if (!turn.first) turn.first = performance.now();
      say("Reasoning.");
      turn.reasoning += text;
      turn.ids.push(...tokens.map(t => t.id));
      for (const t of tokens) if (t.step) turn.steps.push(t.step);
      drawSoon(turn);
    },
    call(delta) {
      const call = turn.calls[delta.index] || (turn.calls[delta.index] = { id: "", name: "", arguments: "" });
      if (delta.id) call.id = delta.id;
      if (delta.function && delta.function.name) call.name += delta.function.name;
      if (delta.function && delta.function.arguments) call.arguments += delta.function.arguments;
      drawSoon(turn);
    },
    progress: say,
    end(why) { turn.reason = why; },
    report(chunk) { turn.report = chunk; },
  }));
  turn.view.removeAttribute("aria-busy");
  if (how !== "") turn.reason = "stopped";
  say(how === "" ? "" : how === "stopped" ? "Stopped." : "");
  return how;
}

async function start(prompt, results) {
  let turn = null;
  following = true;
  const ready = await stoppable(async signal => {
    if (!server.name) await connect(signal);
    turn = newTurn(prompt, results);
    openTurn(turn);
  });
  if (ready !== "") return;
  if (turn.chat) $("prompt").value = "";
  const how = await write(turn, request(turn));
  if (how !== "" && !turn.ids.length && !turn.text) { // nothing came: the prompt goes back to its field
    turns.pop();
    turn.card.remove();
    if (!results) $("prompt").value = prompt;
    examples();
    switchView();
    return;
  }
  closeTurn(turn);
  if (turn.chat) $("prompt").focus({ preventScroll: true });
}

// The same turn, from where its text ends.
async function goOn(turn) {
  turn.continued = true;
  turn.foot.replaceChildren();
  const asked = request(turn);
  if (turn.chat) Object.assign(asked, { messages: asked.messages.concat({ role: "assistant", content: turn.text }), add_generation_prompt: false, continue_final_message: true });
  else asked.prompt += turn.text;
  await write(turn, asked);
  closeTurn(turn);
}

// The same request to NAME:off with the same seed. A text that was stopped is compared as far as it goes.
async function runAlone(turn) {
  const alone = { text: "", ids: [], tokens: [], report: null };
  const asked = { ...request(turn), model: server.name + ":off" };
  if (turn.reason === "stopped") asked.max_tokens = turn.ids.length;
  turn.verdict.className = "verdict";
  turn.verdict.textContent = "The target is running alone.";
  const take = (text, tokens) => {
    alone.text += text;
    alone.ids.push(...tokens.map(t => t.id));
    alone.tokens.push(...tokens);
  };
  const how = await stoppable(signal => generate(path(turn), bodyWithSeed(asked, turn.seed), $("key").value, signal, {
    piece: take, reasoning: (text, tokens) => take("", tokens), call() {}, progress: say, end() {}, report(chunk) { alone.report = chunk; },
  }));
  if (how === "") compare(turn, alone);
  else turn.verdict.textContent = how === "stopped" ? "Stopped before the comparison." : "Not compared.";
}

// ---------------------------------------------------------------------------------------------------- reload

function keep() {
  const plain = turns.map(({ chat, prompt, results, system, seed, asked, text, reasoning, calls, pieces, report, reason, continued }) =>
    ({ chat, prompt, results, system, seed, asked, text, reasoning, calls, pieces, report, reason, continued }));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ model: server.name, turns: plain }));
  } catch { /* full, or not allowed: then a reload starts over */ }
}

function restore() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT) || "null");
  } catch { /* nothing that could be read */ }
  if (!kept || kept.model !== server.name) return;
  for (const old of kept.turns) {
    const turn = { ...old, ids: [], steps: [], pieces: [], shown: 0, first: 0 };
    openTurn(turn);
    for (const p of old.pieces) addPiece(turn, p.text, p.tokens);
    closeTurn(turn);
  }
}

// ---------------------------------------------------------------------------------------------------- the page

$("form").addEventListener("submit", event => {
  event.preventDefault();
  if (!control && $("prompt").value.trim()) start($("prompt").value);
});
$("prompt").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.isComposing) return;
  if (!(event.ctrlKey || event.metaKey) && (!chatMode() || event.shiftKey)) return;
  event.preventDefault();
  $("form").requestSubmit();
});
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  if (control) control.abort();
  $("token").classList.remove("shown");
});
// Whoever scrolls up reads there; at the bottom the page follows the text again.
// (What only changes the page's height scrolls too, so hands and keys are looked at, not the position.)
for (const kind of ["wheel", "touchmove"]) document.addEventListener(kind, () => { following = false; }, { passive: true });
document.addEventListener("keydown", event => {
  if (["PageUp", "Home", "ArrowUp"].includes(event.key) && event.target.tagName !== "TEXTAREA") following = false;
});
document.addEventListener("scroll", () => {
  following ||= innerHeight + scrollY > document.documentElement.scrollHeight - 20;
}, { passive: true });
// On narrow screens the token's panel lies over the page's foot while it is wanted.
document.addEventListener("pointerdown", event => {
  if (!event.target.closest(".text .token, #token")) $("token").classList.remove("shown");
});
$("stop").addEventListener("click", () => control && control.abort());
$("clear").addEventListener("click", () => {
  if (control) control.abort();
  turns.length = 0;
  $("turns").replaceChildren();
  hideError();
  say("");
  keep();
  examples();
  switchView();
  $("prompt").focus();
});
$("show-rejected").addEventListener("change", event => document.body.classList.toggle("rejected", event.target.checked));
$("system-name").addEventListener("change", event => { $("system").value = server.prompts[event.target.value] || ""; });
for (const id of ["mode-chat", "mode-text"]) $(id).addEventListener("change", switchMode);
for (const id of ["view-text", "view-tokens"]) $(id).addEventListener("change", switchView);
$("key").addEventListener("change", () => control || stoppable(connect));
$("turns").addEventListener("pointerover", inspect);
$("turns").addEventListener("focusin", inspect);
$("turns").addEventListener("click", event => {
  const piece = event.target.closest(".text .token");
  if (piece && piece.about) moveTo(piece);
});
$("settings").open = matchMedia("(min-width: 60rem)").matches;
switchMode();
stoppable(connect).then(how => how === "" && $("prompt").focus({ preventScroll: true }));
