"use strict";
const $ = id => document.getElementById(id);
let control = null;

function headers() {
  const h = { "Content-Type": "application/json" };
  if ($("key").value) h.Authorization = "Bearer " + $("key").value;
  return h;
}

async function models() {
  const r = await fetch("v1/models", { headers: headers() });
  const j = await r.json();
  if (!r.ok) throw new Error(j.error.message);
  $("model").replaceChildren(...j.data.map(m => new Option(m.id)));
}

function show(tokens) {
  for (const t of tokens) {
    const span = document.createElement("span");
    span.textContent = t.text;
    if (t.from_draft) span.className = "draft";
    $("text").append(span);
  }
}

function event(data) {
  if (data === "[DONE]") return;
  const j = JSON.parse(data);
  if (j.error) throw new Error(j.error.message);
  for (const c of j.choices) if (c.verbatim) show(c.verbatim.tokens);
  if (j.stats) {
    $("state").textContent = `${j.timings.predicted_n} tokens, ${j.timings.predicted_per_second} tokens/s, ` +
      `${j.stats.accepted_draft_tokens} of ${j.stats.total_draft_tokens} drafts accepted, seed ${j.seed}`;
  }
}

async function generate() {
  control = new AbortController();
  const r = await fetch("v1/completions", {
    method: "POST", headers: headers(), signal: control.signal,
    body: JSON.stringify({ model: $("model").value, prompt: $("prompt").value, max_tokens: 200, stream: true, verbatim: true }),
  });
  if (!r.ok) throw new Error((await r.json()).error.message);
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const p of parts) if (p.startsWith("data: ")) event(p.slice(6));
  }
}

$("form").addEventListener("submit", async e => {
  e.preventDefault();
  $("text").replaceChildren();
  $("state").textContent = "";
  $("go").disabled = true;
  $("stop").disabled = false;
  try {
    if (!$("model").value) await models();
    await generate();
  } catch (err) {
    $("state").textContent = err.message;
  }
  $("go").disabled = false;
  $("stop").disabled = true;
});
$("stop").addEventListener("click", () => control && control.abort());
models().catch(err => { $("state").textContent = err.message; });
