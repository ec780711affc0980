// app.js - the page: turns of text coloured by where each token came from, settings, and the comparison with the target alone.
// Text of models and people only ever becomes text nodes.
"use strict";

const $ = id => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens"];
const ORIGINS = {
  draft: "drafted and accepted",
  residual: "the target's own, in place of a rejected draft",
  bonus: "the target's own, after all drafts of the step were accepted",
  target: "the target's own, no draft involved",
};
const server = { name: "", chat: false, preset: "" };
const turns = [];
let control = null;

function make(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  Object.assign(e, props);
  e.append(...children);
  return e;
}

const percent = x => (x === null || x === undefined || Number.isNaN(x) ? "none" : (100 * x).toFixed(1) + " %");
const probability = x => (x === 0 ? "0" : x >= 0.001 ? x.toFixed(4) : x.toExponential(2));
// A token's text so that spaces and line ends are seen.
const visible = text => text.replace(/ /g, "\u2423").replace(/\n/g, "\u21b5").replace(/\t/g, "\u21e5");

// ---------------------------------------------------------------------------------------------------- state and errors

const say = text => { $("state").textContent = text; };

function showError(error) {
  $("error").textContent = error.message;
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

// ---------------------------------------------------------------------------------------------------- the server

async function connect() {
  const key = $("key").value;
  const props = await (await ask("props", key)).json();
  const models = (await (await ask("v1/models", key)).json()).data;
  server.name = props.model;
  server.chat = props.chat_template !== null;
  const draft = props.draft ? ` with ${props.draft.file}` : props.drafter === "ngram" ? " with prompt lookup" : ", no draft";
  $("about").textContent = `${props.target.file}${draft}. ${props.n_ctx} tokens of context, rule ${props.accept}.`;
  presets(models, props.draft_tokens);
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
}

// One choice per model id; NAME itself is one of them under another name, unless its draft length is nobody else's.
function presets(models, usual) {
  const list = models.filter(m => m.id.startsWith(server.name + ":"));
  if (!list.some(m => m.draft_tokens === usual)) list.unshift(models.find(m => m.id === server.name));
  const chosen = list.find(m => m.id === server.preset) || list.find(m => m.draft_tokens === usual);
  server.preset = chosen.id;
  const labels = list.map(m => {
    const input = make("input", { type: "radio", name: "preset", value: m.id, checked: m === chosen });
    input.addEventListener("change", () => { server.preset = m.id; });
    return make("label", {}, input, ` ${m.id.slice(server.name.length + 1) || "default"} ${m.draft_tokens}`);
  });
  $("presets").replaceChildren($("presets").querySelector("legend"), ...labels);
}

const chatMode = () => $("mode-chat").checked;

function switchMode() {
  const chat = chatMode();
  $("prompt-label").textContent = chat ? "Message" : "Text to continue";
  $("go").textContent = chat ? "Send" : "Continue";
  $("hint").textContent = chat ? "Enter sends, Shift+Enter is a new line." : "Ctrl+Enter continues the text.";
  $("system-label").hidden = !chat;
  const start = "Once upon a time, in a village by the sea, there lived";
  if (!chat && !$("prompt").value) $("prompt").value = start;
  if (chat && $("prompt").value === start) $("prompt").value = "";
}

// ---------------------------------------------------------------------------------------------------- tokens

// What the panel says about a piece of text: one token, or several that share a character.
function describe(tokens) {
  const parts = [];
  for (const t of tokens) {
    parts.push(make("p", { className: "which" }, make("span", { className: "token " + t.origin, textContent: visible(t.text) || "(no text)" }),
      ` ${ORIGINS[t.origin]}; token ${t.id}`));
    parts.push(table([["p, target", t.p], ["q, draft", t.q]]));
    if (t.rejected) {
      parts.push(make("p", { className: "which" }, "in place of ", make("del", { textContent: visible(t.rejected.text) }), ` token ${t.rejected.id}`));
      parts.push(table([["p, target", t.rejected.p], ["q, draft", t.rejected.q]]));
    }
    if (t.step && t.step.drafted) parts.push(make("p", { className: "quiet", textContent: `End of a step: ${t.step.drafted} drafted, ${t.step.tested} tested, ${t.step.accepted} accepted.` }));
  }
  $("token").replaceChildren(...parts);
  $("token").classList.add("shown");
}

function table(rows) {
  return make("dl", {}, ...rows.flatMap(([name, value]) => [
    make("dt", { textContent: name }),
    value === null ? make("dd", { textContent: "none: it was not drafted" }) :
      make("dd", {}, make("meter", { min: 0, max: 1, value, ariaLabel: name }), " " + probability(value)),
  ]));
}

// One tab stop per text; arrow keys go from token to token.
function moveTo(piece) {
  for (const e of piece.parentElement.querySelectorAll('[tabindex="0"]')) e.tabIndex = -1;
  piece.tabIndex = 0;
  piece.focus();
}

function onTokenKey(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const all = [...event.currentTarget.querySelectorAll(".token")];
  const at = all.indexOf(event.target);
  if (at < 0) return;
  const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : at + (steps[event.key] || 0);
  if (to === at || !all[to]) return;
  event.preventDefault();
  moveTo(all[to]);
}

function addPiece(turn, text, tokens) {
  turn.text += text;
  turn.ids.push(...tokens.map(t => t.id));
  if (!tokens.length) { // the rest of a text that was held back
    turn.view.append(text);
    return;
  }
  for (const t of tokens) {
    if (t.rejected) turn.view.append(make("del", { textContent: t.rejected.text, ariaLabel: `rejected draft: ${t.rejected.text}` }));
    if (t.step) turn.steps.push(t.step);
  }
  const last = tokens[tokens.length - 1];
  const span = make("span", { className: "token " + last.origin, textContent: text || "\u220e", tabIndex: turn.pieces ? -1 : 0 });
  if (!text) span.classList.add("end");
  span.about = tokens;
  turn.view.append(span);
  turn.pieces++;
}

function inspect(event) {
  const piece = event.target.closest(".text .token");
  if (piece && piece.about) describe(piece.about);
}

// ---------------------------------------------------------------------------------------------------- reports

function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// Acceptance over the steps: a bar per step (drafted, and of these accepted), a line for accepted/drafted so far.
function chart(steps) {
  const w = 600, h = 64, n = steps.length, most = Math.max(1, ...steps.map(s => s.drafted));
  const dx = w / Math.max(n, 12), bar = Math.max(1, dx - 1.5), y = (value, of) => h - (value / of) * (h - 4);
  const root = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "chart", role: "img", preserveAspectRatio: "none" });
  let drafted = 0, accepted = 0;
  const line = [];
  steps.forEach((s, i) => {
    drafted += s.drafted;
    accepted += s.accepted;
    const box = (value, kind) => svg("rect", { x: i * dx, y: y(value, most), width: bar, height: h - y(value, most), class: kind });
    root.append(box(s.drafted, "drafted"), box(s.accepted, "accepted"));
    if (drafted) line.push(`${(i + 0.5) * dx},${y(accepted, drafted)}`);
  });
  root.append(svg("polyline", { points: line.join(" "), class: "so-far", "vector-effect": "non-scaling-stroke" }));
  root.setAttribute("aria-label", `Acceptance over ${n} steps: ${accepted} of ${drafted} drafts accepted, ${percent(drafted ? accepted / drafted : null)}`);
  return root;
}

const caption = () => make("p", { className: "caption" }, "Step by step: ", make("span", { className: "drafted", textContent: "drafted" }), " and ",
  make("span", { className: "accepted", textContent: "accepted" }), " tokens; the line is accepted/drafted so far.");

function counts(turn) {
  let drafted = 0, accepted = 0;
  for (const s of turn.steps) drafted += s.drafted, accepted += s.accepted;
  return [accepted, drafted];
}

function rate(turn) {
  if (turn.report) return turn.report.timings.predicted_per_second;
  const seconds = (performance.now() - turn.first) / 1000;
  return turn.ids.length > 1 && seconds > 0 ? (turn.ids.length - 1) / seconds : null;
}

const perSecond = x => (x === null ? "" : `, ${x.toFixed(1)} tokens/s`);

function numbers(turn) {
  const stats = turn.report && turn.report.stats;
  const [accepted, drafted] = stats ? [stats.accepted_draft_tokens, stats.total_draft_tokens] : counts(turn);
  const drafts = drafted ? `, ${accepted} of ${drafted} drafts accepted (${percent(accepted / drafted)})` : "";
  return `${turn.ids.length} tokens${perSecond(rate(turn))}${drafts}`;
}

function drawSoon(turn) {
  if (turn.drawing) return;
  turn.drawing = true;
  requestAnimationFrame(() => {
    turn.drawing = false;
    turn.numbers.textContent = numbers(turn);
    if (turn.steps.some(s => s.drafted)) turn.chart.replaceChildren(chart(turn.steps), caption());
  });
}

// ---------------------------------------------------------------------------------------------------- turns

function readSettings() {
  const o = {};
  for (const id of NUMBERS) {
    const text = $(id).value.trim();
    if (text === "") continue;
    if (!Number.isFinite(Number(text))) throw new ServerError(400, `${id}: "${text}" is no number.`);
    o[id] = Number(text);
  }
  if ($("accept").value) o.accept = $("accept").value;
  return o;
}

function readSeed() {
  const text = $("seed").value.trim();
  if (text === "") return randomSeed();
  if (!/^\d{1,19}$/.test(text)) throw new ServerError(400, "seed: digits only, up to 9223372036854775807.");
  return text.replace(/^0+(?=\d)/, "");
}

function request(prompt) {
  const o = { model: server.preset, stream: true, verbatim: true, ...readSettings() };
  if (!chatMode()) return { ...o, prompt };
  const messages = [];
  if ($("system").value.trim()) messages.push({ role: "system", content: $("system").value });
  for (const t of turns) if (t.chat) messages.push({ role: "user", content: t.prompt }, { role: "assistant", content: t.text });
  messages.push({ role: "user", content: prompt });
  return { ...o, messages };
}

function openTurn(prompt) {
  const chat = chatMode();
  const turn = { chat, prompt, asked: request(prompt), seed: readSeed(), text: "", ids: [], steps: [], pieces: 0, first: 0, report: null };
  const preset = turn.asked.model.slice(server.name.length + 1) || "default";
  turn.view = make("div", { className: "text", role: "group", ariaLabel: "Generated text, a token at a time with the arrow keys" });
  turn.view.addEventListener("keydown", onTokenKey);
  turn.live = make("div", { className: "live", ariaLive: "polite" });
  turn.numbers = make("p", { className: "numbers" });
  turn.chart = make("div");
  turn.foot = make("p", { className: "row" });
  turn.verdict = make("div", { className: "verdict", role: "status" });
  turn.card = make("article", { ariaLabel: `Text ${turns.length + 1}` },
    make("h2", { textContent: chat ? "You" : "Prompt" }), make("p", { className: "prompt", textContent: prompt }),
    make("h2", { textContent: `${server.name}, ${preset}` }), turn.view, turn.live, turn.numbers, turn.chart, turn.foot, turn.verdict);
  $("turns").append(turn.card);
  turns.push(turn);
  return turn;
}

// What can be done with a text that is there.
function closeTurn(turn, reason) {
  turn.reason = reason;
  turn.live.textContent = ""; // screen readers get the text once, whole
  if (turn.text) turn.live.textContent = turn.text;
  drawSoon(turn);
  const again = make("button", { type: "button", className: "again", textContent: "Run the target alone" });
  again.addEventListener("click", () => runAlone(turn));
  const seed = make("button", { type: "button", className: "plain", textContent: `seed ${turn.seed}`, title: "Use this seed again" });
  seed.addEventListener("click", () => { $("seed").value = turn.seed; $("settings").open = true; });
  if (turn.ids.length) turn.foot.append(again, " ");
  turn.foot.append(seed);
  const warnings = (turn.report && turn.report.warnings) || [];
  if (warnings.length) turn.foot.append(make("span", { className: "quiet", textContent: " " + warnings.join("; ") }));
}

const path = turn => (turn.chat ? "v1/chat/completions" : "v1/completions");

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

async function start(prompt) {
  let turn = null, reason = "";
  const how = await stoppable(async signal => {
    if (!server.name) await connect();
    turn = openTurn(prompt);
    turn.view.setAttribute("aria-busy", "true");
    say("Waiting for the first token.");
    await generate(path(turn), bodyWithSeed(turn.asked, turn.seed), $("key").value, signal, {
      piece(text, tokens) {
        if (!turn.first) turn.first = performance.now(), say("Generating.");
        addPiece(turn, text, tokens);
        drawSoon(turn);
      },
      progress: say,
      end(why) { reason = why; },
      report(chunk) { turn.report = chunk; },
    });
  });
  if (!turn) return say("");
  turn.view.removeAttribute("aria-busy");
  if (how !== "" && !turn.ids.length) { // nothing came: the prompt goes back to its field
    turns.pop();
    turn.card.remove();
    return say(how === "stopped" ? "Stopped." : "");
  }
  if (turn.chat) $("prompt").value = "";
  closeTurn(turn, how === "" ? reason : "stopped");
  say(`${how === "" ? (reason === "length" ? "Done, cut at the most tokens or the context's end" : "Done") : "Stopped"}: ${numbers(turn)}.`);
}

// ---------------------------------------------------------------------------------------------------- target alone

// The same request to NAME:off with the same seed. A text that was stopped is compared as far as it goes.
async function runAlone(turn) {
  const alone = { text: "", ids: [], tokens: [], report: null };
  const asked = { ...turn.asked, model: server.name + ":off" };
  if (turn.reason === "stopped") asked.max_tokens = turn.ids.length;
  turn.verdict.className = "verdict";
  turn.verdict.textContent = "The target is running alone.";
  const how = await stoppable(signal => generate(path(turn), bodyWithSeed(asked, turn.seed), $("key").value, signal, {
    piece(text, tokens) {
      alone.text += text;
      alone.ids.push(...tokens.map(t => t.id));
      alone.tokens.push(...tokens);
    },
    progress: say,
    end() {},
    report(chunk) { alone.report = chunk; },
  }));
  if (how === "") compare(turn, alone);
  else turn.verdict.textContent = how === "stopped" ? "Stopped before the comparison." : "Not compared.";
}

function compare(turn, alone) {
  const at = turn.ids.findIndex((id, i) => id !== alone.ids[i]);
  const same = at < 0 && turn.ids.length === alone.ids.length && (turn.text === alone.text || turn.reason === "stopped");
  const speed = alone.report ? ` Alone: ${alone.report.timings.predicted_per_second.toFixed(1)} tokens/s` +
    (turn.report ? `, with drafts: ${turn.report.timings.predicted_per_second.toFixed(1)}.` : ".") : "";
  turn.verdict.classList.add(same ? "same" : "different");
  if (same) {
    turn.verdict.textContent = `Identical: the target alone writes the same ${alone.ids.length} tokens with seed ${turn.seed}.${speed}`;
    return;
  }
  const first = at < 0 ? Math.min(turn.ids.length, alone.ids.length) : at;
  const rule = (turn.report && turn.report.stats.accept) || turn.asked.accept || "";
  const promised = rule === "rejection" || rule === "block"
    ? ` Rule ${rule} keeps the distribution, not the text of a seed: this is to be expected.` : "";
  const text = make("p", { className: "text" }, alone.tokens.slice(0, first).map(t => t.text).join(""),
    make("mark", { textContent: alone.tokens.slice(first).map(t => t.text).join("") || "\u220e" }));
  turn.verdict.replaceChildren(`Differs from token ${first + 1} on (${turn.ids.length} tokens, alone ${alone.ids.length}).${promised}${speed}`, text);
}

// ---------------------------------------------------------------------------------------------------- the page

$("form").addEventListener("submit", event => {
  event.preventDefault();
  if (!control && $("prompt").value) start($("prompt").value);
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
  $("prompt").focus();
});
$("show-rejected").addEventListener("change", event => document.body.classList.toggle("rejected", event.target.checked));
for (const id of ["mode-chat", "mode-text"]) $(id).addEventListener("change", switchMode);
$("key").addEventListener("change", () => control || stoppable(connect));
$("turns").addEventListener("pointerover", inspect);
$("turns").addEventListener("focusin", inspect);
$("turns").addEventListener("click", event => {
  const piece = event.target.closest(".text .token");
  if (piece && piece.about) moveTo(piece);
});
$("settings").open = matchMedia("(min-width: 60rem)").matches;
switchMode();
stoppable(connect);
