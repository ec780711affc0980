// report.js - the numbers under a text, the chart of its steps, and the verdict of the target alone.
"use strict";

function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// Acceptance over the steps: a bar per step (guessed, and of these accepted), a line for accepted/guessed so far.
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
    const about = svg("title", {});
    about.textContent = `step ${i + 1}: ${s.accepted} of ${s.drafted} guesses right; ${percent(drafted ? accepted / drafted : null)} so far`;
    root.append(svg("g", {}, about, box(most, "all"), box(s.drafted, "drafted"), box(s.accepted, "accepted")));
    if (drafted) line.push(`${(i + 0.5) * dx},${y(accepted, drafted)}`);
  });
  root.append(svg("polyline", { points: line.join(" "), class: "so-far", "vector-effect": "non-scaling-stroke" }));
  root.setAttribute("aria-label", `Acceptance over ${n} steps: ${accepted} of ${drafted} guesses right, ${percent(drafted ? accepted / drafted : null)}`);
  return make("div", { className: "scaled" }, make("span", { className: "scale", textContent: `${most}` }), root, make("span", { className: "scale right", textContent: "100 %" }));
}

const caption = () => make("p", { className: "caption" }, "Step by step: ", make("span", { className: "drafted", textContent: "guessed" }), " and ",
  make("span", { className: "accepted", textContent: "accepted" }), " tokens (scale on the left); the line is accepted of guessed so far (on the right).");

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

// Three digits say all that a clock knows.
const digits = x => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));

function numbers(turn) {
  const stats = turn.report && !turn.continued && turn.report.stats;
  const [accepted, drafted] = stats ? [stats.accepted_draft_tokens, stats.total_draft_tokens] : counts(turn);
  const drafts = drafted ? `, ${accepted} of ${drafted} guesses right (${percent(accepted / drafted)})` : "";
  const speed = rate(turn);
  return `${turn.ids.length} tokens${speed === null ? "" : `, ${digits(speed)} tokens/s`}${drafts}`;
}

// The speed of both, and what it means where drafting does not pay.
function speeds(turn, alone) {
  if (!alone.report) return "";
  const a = alone.report.timings.predicted_per_second;
  if (!turn.report) return ` Alone: ${digits(a)} tokens/s.`;
  const b = turn.report.timings.predicted_per_second, ratio = b / a;
  const why = ratio < 0.95 ? " Here guessing and checking cost more than they save: so it is with models that fit the CPU's cache, and where few guesses are right." : "";
  return ` Alone ${digits(a)} tokens/s, with guesses ${digits(b)}: ${digits(ratio)} times as fast.${why}`;
}

// The first token in which the target alone differs, or that it does not.
function compare(turn, alone) {
  const at = turn.ids.findIndex((id, i) => id !== alone.ids[i]);
  const same = at < 0 && turn.ids.length === alone.ids.length && (turn.text === alone.text || turn.reason === "stopped");
  const speed = speeds(turn, alone);
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
