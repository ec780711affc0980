// tokens.js - pieces of text coloured by where each came from, the panel about one of them, and the keys that move between them.
// Text of models and people only ever becomes text nodes.
"use strict";

const $ = id => document.getElementById(id);
const ORIGINS = {
  draft: "guessed, and the target agreed",
  residual: "the target's own, in place of a wrong guess",
  bonus: "the target's own, behind guesses of a step that were all right",
  target: "the target's own, nothing was guessed",
};

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

// ---------------------------------------------------------------------------------------------------- the panel

// What the panel says about a piece of text: one token, or several that share a character.
function describe(tokens) {
  const parts = [];
  for (const t of tokens) {
    parts.push(make("p", { className: "which" }, make("span", { className: "token " + t.origin, textContent: visible(t.text) || "(no text)" }),
      ` ${ORIGINS[t.origin]}; token ${t.id}`));
    parts.push(chances([["p, target", t.p], ["q, draft", t.q]]));
    if (t.rejected) {
      parts.push(make("p", { className: "which" }, "in place of ", make("del", { textContent: visible(t.rejected.text) }), ` token ${t.rejected.id}`));
      parts.push(chances([["p, target", t.rejected.p], ["q, draft", t.rejected.q]]));
    }
    if (t.step && t.step.drafted) parts.push(make("p", { className: "quiet", textContent: `End of a step: ${t.step.drafted} guessed, ${t.step.tested} tested, ${t.step.accepted} accepted.` }));
  }
  $("token").replaceChildren(...parts);
  $("token").classList.add("shown");
}

function chances(rows) {
  return make("dl", {}, ...rows.flatMap(([name, value]) => [
    make("dt", { textContent: name }),
    value === null ? make("dd", { textContent: "none: it was not guessed" }) :
      make("dd", {}, make("meter", { min: 0, max: 1, value, ariaLabel: name }), " " + probability(value)),
  ]));
}

function inspect(event) {
  const piece = event.target.closest(".text .token");
  if (piece && piece.about) describe(piece.about);
}

// ---------------------------------------------------------------------------------------------------- pieces

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

// Spaces and line ends at the edges of a token carry no colour: a sliver of one at a line's end means nothing.
function edges(text) {
  const [, before, middle, after] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text);
  return middle ? [before, middle, after] : ["", text, ""];
}

// Appends a piece of text and the tokens that it is to a turn's view of tokens, and remembers both.
function addPiece(turn, text, tokens) {
  turn.pieces.push({ text, tokens });
  turn.ids.push(...tokens.map(t => t.id));
  for (const t of tokens) {
    if (t.rejected) turn.view.append(make("del", { textContent: t.rejected.text, ariaLabel: `wrong guess: ${t.rejected.text}` }));
    if (t.step) turn.steps.push(t.step);
  }
  if (!tokens.length) { // the rest of a text that was held back
    turn.view.append(text);
    return;
  }
  const [before, middle, after] = edges(text);
  const span = make("span", { className: "token " + tokens[tokens.length - 1].origin, textContent: middle || "\u220e", tabIndex: turn.shown++ ? -1 : 0 });
  if (!text) span.classList.add("end");
  span.about = tokens;
  turn.view.append(before, span, after);
}
