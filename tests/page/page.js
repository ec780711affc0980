// page.js - uses the page as people do: a wrong and a right key, a prompt, coloured tokens, rejected drafts, p and q on hover and
// on the keyboard, the target alone with the same seed; in light and dark and at a phone's width. tests/page/run starts it.
"use strict";
const { chromium } = require("playwright-core");
const { PAGE_URL, CHAT_URL, CHROMIUM, SCREENSHOT, SHOTS } = process.env;

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const PROMPT = "Once upon a time, in a village by the sea, there lived";
const SEED = "9223372036854775807"; // more than a number of JavaScript holds
let count = 0, bad = 0;

function ok(name, condition, seen) {
  count++;
  if (!condition) bad++;
  console.log(`${condition ? "" : "not "}ok ${count} - ${name}`);
  if (!condition && seen !== undefined) console.log("#   seen: " + JSON.stringify(seen));
}

async function waitDone(page) {
  await page.waitForFunction(() => !document.getElementById("go").disabled, null, { timeout: 60000 });
}

const text = (page, selector) => page.locator(selector).first().innerText();
const sums = page => page.evaluate(() => {
  const turn = document.querySelector("article");
  const pieces = [...turn.querySelectorAll(".text .token")];
  return {
    pieces: pieces.length,
    kinds: [...new Set(pieces.map(e => e.classList[1]))],
    colours: Object.fromEntries(pieces.map(e => [e.classList[1], getComputedStyle(e).backgroundColor])),
    rejected: turn.querySelectorAll(".text del").length,
  };
});

async function key(page) {
  await page.waitForSelector("#error:not([hidden])");
  ok("without a key: what to do, in words", /asks for an API key.*401/.test(await text(page, "#error")), await text(page, "#error"));
  ok("and the key's field has the focus", await page.evaluate(() => document.activeElement.id === "key"));
  await page.keyboard.type("wrong");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.getElementById("error").textContent.includes("not one of"));
  ok("a wrong key: the server's sentence", true);
  await page.fill("#key", "sesame");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.getElementById("about").textContent !== "");
  ok("with the key: the models", (await text(page, "#about")).includes(".gguf"));
  ok("and no error", await page.locator("#error").isHidden());
  ok("presets from the server", (await page.locator("#presets input").count()) >= 4);
  ok("the key is in no storage", await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length === 0));
}

async function write(page) {
  ok("a model without a template continues texts", await page.isChecked("#mode-text"));
  await page.fill("#prompt", PROMPT);
  await page.fill("#max_tokens", "96");
  await page.fill("#seed", SEED);
  await page.locator("#presets input[value$=':balanced']").check();
  await page.focus("#prompt");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".text .token.draft", { timeout: 60000 });
  ok("coloured tokens come", true);
  await waitDone(page);
  const s = await sums(page);
  ok("most of 96 tokens are pieces of their own", s.pieces > 60 && s.pieces <= 96, s);
  ok("accepted drafts and the target's own", s.kinds.includes("draft") && (s.kinds.includes("residual") || s.kinds.includes("bonus")), s.kinds);
  ok("in different colours", new Set(Object.values(s.colours)).size === s.kinds.length, s.colours);
  ok("tokens per second and acceptance", /96 tokens, [\d.]+ tokens\/s, \d+ of \d+ guesses right/.test(await text(page, ".numbers")), await text(page, ".numbers"));
  ok("acceptance over the steps", (await page.locator(".chart rect.accepted").count()) > 3);
  ok("the seed, all its digits", (await page.locator("article").innerText()).includes(SEED));
  return s;
}

async function rejected(page, s) {
  ok("some drafts were rejected", s.rejected > 0, s);
  const first = page.locator(".text del").first();
  ok("rejected drafts are hidden at first", await first.isHidden());
  const before = await page.evaluate(() => document.querySelector(".text").innerText);
  await page.focus("#show-rejected");
  await page.keyboard.press("Space");
  ok("shown on demand", await first.isVisible());
  ok("struck out", await first.evaluate(e => getComputedStyle(e).textDecorationLine.includes("line-through")));
  await page.keyboard.press("Space");
  ok("and hidden again", (await page.evaluate(() => document.querySelector(".text").innerText)) === before);
  await page.keyboard.press("Space");
}

async function inspect(page) {
  await page.locator(".text .token.draft").nth(2).hover();
  ok("hover: p and q of a draft", /p, target\s+[\d.]+[\s\S]*q, draft\s+[\d.e-]+/.test(await text(page, "#token")), await text(page, "#token"));
  await page.locator(".text .token.residual").first().hover();
  ok("hover: the draft that was replaced", (await text(page, "#token")).includes("in place of"), await text(page, "#token"));
  await page.locator('.text .token[tabindex="0"]').focus();
  const first = await text(page, "#token");
  await page.keyboard.press("ArrowRight");
  const second = await text(page, "#token");
  ok("keyboard focus shows them too, arrows move on", first !== second && second.includes("p, target"), [first, second]);
  ok("the focus is visible", await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none"));
  await page.keyboard.press("End");
  ok("one tab stop per text", (await page.locator('.text .token[tabindex="0"]').count()) === 1);
}

async function alone(page) {
  const asked = page.waitForRequest(r => r.method() === "POST");
  await page.getByRole("button", { name: "Run the target alone" }).first().focus();
  await page.keyboard.press("Enter");
  const body = (await asked).postData();
  ok("the target alone is asked, with the same seed", body.includes(':off"') && body.endsWith(`"seed":${SEED}}`), body);
  await page.waitForSelector(".verdict.same, .verdict.different", { timeout: 60000 });
  ok("identical", (await text(page, ".verdict")).startsWith("Identical: the target alone writes the same 96 tokens"), await text(page, ".verdict"));
}

// The comparison must see a difference: one token of the answer is changed on its way.
async function planted(page) {
  await page.route("**/v1/completions", async route => {
    const response = await route.fetch();
    const parts = (await response.text()).split("\n\n");
    parts[20] = parts[20].replace(/"id":\d+,"text":"[^"]*"/, '"id":0,"text":"<b>changed</b>"');
    await route.fulfill({ response, body: parts.join("\n\n") });
  });
  await page.getByRole("button", { name: "Run the target alone" }).first().click();
  await page.waitForSelector(".verdict.different", { timeout: 60000 });
  ok("a changed token is found where it is", (await text(page, ".verdict")).includes("Differs from token 21 on"), await text(page, ".verdict"));
  ok("text from a model is text, not markup", (await text(page, ".verdict mark")).startsWith("<b>changed</b>"));
  await page.unroute("**/v1/completions");
}

async function refusals(page) {
  await page.fill("#top_p", "5");
  await page.click("#go");
  await page.waitForSelector("#error:not([hidden])");
  ok("a 400 as text that names the field", /top_p[\s\S]*400/.test(await text(page, "#error")), await text(page, "#error"));
  await page.fill("#top_p", "0.95");
  await page.route("**/v1/completions", route => route.fulfill({
    status: 429, headers: { "Retry-After": "3" }, contentType: "application/json", body: '{"error":{"message":"all slots are taken"}}',
  }));
  await page.click("#go");
  await page.waitForFunction(() => document.getElementById("error").textContent.includes("429"));
  ok("a 429 says when to come back", (await text(page, "#error")).includes("Try again in 3 s"), await text(page, "#error"));
  await page.unroute("**/v1/completions");
  ok("a refused prompt leaves no empty text", (await page.locator("article").count()) === 1);
}

// The next answer comes up to its 20th event and then no further: the page gets true bytes of the server, and the time at which
// Stop is pressed decides nothing.
const holdAnswer = page => page.evaluate(() => {
  const real = window.fetch;
  window.fetch = async (path, options) => {
    window.fetch = real;
    const reader = (await real(path, options)).body.getReader();
    const decoder = new TextDecoder(), encoder = new TextEncoder();
    let held = "", passed = 0;
    const start = async controller => {
      options.signal.addEventListener("abort", () => controller.error(options.signal.reason));
      while (passed < 20) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the answer has fewer than 20 events");
        const events = (held + decoder.decode(value, { stream: true })).split("\n\n");
        held = events.pop();
        for (const event of events.slice(0, 20 - passed)) controller.enqueue(encoder.encode(event + "\n\n"));
        window.tokensPassed = (window.tokensPassed || 0) +
          events.slice(0, 20 - passed).reduce((n, e) => n + JSON.parse(e.slice(6)).choices[0].verbatim.tokens.length, 0);
        passed += Math.min(events.length, 20 - passed);
      }
    };
    return new Response(new ReadableStream({ start }), { headers: { "Content-Type": "text/event-stream" } });
  };
});

// Stopped after the first tokens: what is there stays, and is compared as far as it goes.
async function stopMidway(page) {
  await page.fill("#max_tokens", "400");
  await page.evaluate(() => { window.tokensPassed = 0; });
  await holdAnswer(page);
  await page.focus("#prompt");
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(() => window.tokensPassed > 0 &&
    document.querySelectorAll("article:nth-of-type(2) .text .token").length === window.tokensPassed);
  await page.click("#stop");
  await page.waitForSelector("article:nth-of-type(2) button.again:enabled");
  ok("stopped midway: the state says so", (await text(page, "article:nth-of-type(2) .row")).includes("Stopped."), [await text(page, "#state"), await text(page, "#error")]);
  const pieces = await page.locator("article:nth-of-type(2) .text .token").count();
  ok("stopped midway: the tokens so far stay", pieces >= 20 && pieces === await page.evaluate(() => window.tokensPassed), pieces);
  await page.getByRole("button", { name: "Run the target alone" }).nth(1).click();
  await page.waitForSelector("article:nth-of-type(2) .verdict.same, article:nth-of-type(2) .verdict.different");
  ok("and are the target's, as far as they go", await page.locator("article:nth-of-type(2) .verdict.same").isVisible(),
    await text(page, "article:nth-of-type(2) .verdict"));
}

async function stop(page) {
  await page.fill("#max_tokens", "400");
  await page.route("**/v1/completions", async route => {
    await new Promise(done => setTimeout(done, 20000));
    route.abort().catch(() => {});
  });
  await page.click("#go");
  ok("Stop is there while a text comes", await page.isEnabled("#stop"));
  await page.click("#stop");
  await waitDone(page);
  ok("stopped", (await text(page, "#state")).startsWith("Stopped"), await text(page, "#state"));
  ok("and no error is shown", await page.locator("#error").isHidden());
  await page.unroute("**/v1/completions", { behavior: "ignoreErrors" });
}

async function inScheme(browser, colorScheme) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1180, height: 760 } });
  const page = await context.newPage();
  const outside = [], problems = [];
  page.on("request", r => { if (!r.url().startsWith(PAGE_URL)) outside.push(r.url()); });
  page.on("pageerror", e => problems.push(String(e)));
  page.on("console", m => { if (m.type() === "error" && !m.text().includes("Failed to load resource")) problems.push(m.text()); });
  await page.goto(PAGE_URL);
  await key(page);
  await rejected(page, await write(page));
  await inspect(page);
  await alone(page);
  const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const bright = Math.max(...back.match(/\d+/g).map(Number)) > 128;
  ok(`${colorScheme}: the colours follow`, bright === (colorScheme === "light"), back);
  await page.evaluate(() => document.activeElement.blur());
  await page.locator(".text .token.draft").first().hover();
  await page.locator(".text .token.residual").first().hover();
  await page.evaluate(() => scrollTo(0, 0));
  if (SCREENSHOT && colorScheme === "light") {
    await page.screenshot({ path: SCREENSHOT, clip: { x: 0, y: 0, width: 1180, height: 690 } });
    ok("the screenshot has less than 200 KB", require("fs").statSync(SCREENSHOT).size < 200000);
  }
  for (const [width, height] of [[1680, 1050], [1180, 760], [820, 1180], [360, 740]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate(() => { document.getElementById("settings").open = innerWidth >= 960; scrollTo(0, 0); });
    ok(`${colorScheme}, ${width}: nothing is wider than the window`, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    ok(`${colorScheme}, ${width}: the field stays in view`, await inView(page, "#prompt"));
    ok(`${colorScheme}, ${width}: nothing scrolls inside the page`, await page.evaluate(() =>
      [...document.querySelectorAll("body *")].every(e => e.matches("textarea, pre") || e.scrollHeight <= e.clientHeight + 1 ||
        !/auto|scroll/.test(getComputedStyle(e).overflowY))));
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${colorScheme}-${width}.png` });
  }
  ok(`${colorScheme}: on a phone the colours are explained above the text`, await page.evaluate(() =>
    document.getElementById("bar").getBoundingClientRect().bottom <= document.querySelector("article").getBoundingClientRect().top));
  await page.locator(".text .token.draft").nth(4).click();
  ok(`${colorScheme}: on a phone the token's panel is in view`, await page.evaluate(() => {
    const box = document.getElementById("token").getBoundingClientRect();
    return box.height > 20 && box.top >= 0 && box.bottom <= innerHeight + 1;
  }));
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${colorScheme}-phone-token.png` });
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 1180, height: 760 });
  await page.evaluate(() => { document.getElementById("settings").open = true; });
  await planted(page);
  await refusals(page);
  await stopMidway(page);
  await stop(page);
  ok(`${colorScheme}: nothing was asked from outside`, outside.length === 0, outside);
  ok(`${colorScheme}: no errors in the console`, problems.length === 0, problems);
  await context.close();
}

const inView = (page, selector) => page.locator(selector).first().evaluate(e => {
  const box = e.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight + 1;
});

// What a chat request is answered with, as the server would stream it.
const stream = (...deltas) => deltas.map(d => `data: ${JSON.stringify({ choices: [{ index: 0, ...d }] })}\n\n`).join("") + "data: [DONE]\n\n";
const answerWith = (page, body) => page.route("**/v1/chat/completions", route => route.fulfill({ contentType: "text/event-stream", body }));

// The first minute: the page waits for the models, says what it is, has examples, and follows the text.
async function newcomer(browser) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 620 }, permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  let polls = 0;
  await page.route("**/health", route => (++polls > 2 ? route.continue() : route.fulfill({
    status: 503, contentType: "application/json", body: '{"error":{"message":"the models are being loaded: 40 %"}}',
  })));
  await page.goto(CHAT_URL);
  await page.waitForFunction(() => document.getElementById("state").textContent.includes("40 %"));
  ok("while models load, how far", true);
  await page.waitForFunction(() => document.getElementById("about").textContent !== "");
  ok("and then by itself", polls > 2, polls);
  await page.waitForFunction(() => document.activeElement.id === "prompt");
  ok("the cursor stands in the field", true);
  ok("a sentence says what this is", (await text(page, "#what")).includes("guesses ahead"));
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/first.png` });
  ok("three examples", (await page.locator(".example").count()) === 3);
  await page.fill("#max_tokens", "120");
  await page.fill("#temperature", "0,7");
  await page.fill("#seed", "7"); // the same text in every run
  const asked = page.waitForRequest(r => r.method() === "POST");
  await page.locator(".example").first().click();
  ok("a decimal comma is a number", JSON.parse((await asked).postData()).temperature === 0.7);
  await waitDone(page);
  ok("a click is an answer", (await page.locator("article .formatted").first().innerText()).length > 50);
  await page.waitForFunction(() => innerHeight + scrollY >= document.documentElement.scrollHeight - 2);
  ok("the page has followed the text", true);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/chat.png` });
  ok("and the examples are gone", await page.locator("#examples").isHidden());
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const shown = await page.evaluate(() => turns[0].text);
  ok("Copy: the text", copied === shown, [copied, shown]);
  await page.keyboard.press("Control+a");
  const selected = await page.evaluate(() => getSelection().toString());
  ok("selected, the text is there once", selected.split(shown.trim().split("\n")[0]).length === 2, selected);
  await page.locator("#view-tokens").check();
  await page.locator("article .text .token.draft").first().waitFor({ timeout: 30000 });
  ok("tokens on demand", true);
  ok("with their colours explained", await page.locator("#bar").isVisible());
  const more = page.waitForRequest(r => r.method() === "POST");
  await page.getByRole("button", { name: "Go on" }).click();
  const body = JSON.parse((await more).postData());
  await waitDone(page);
  ok("Go on: the answer itself is continued", body.messages.at(-1).role === "assistant" && body.messages.at(-1).content === shown, body.messages);
  ok("in the same turn", (await page.locator("article").count()) === 1 && (await page.evaluate(() => turns[0].text.length)) >= shown.length);
  await page.fill("#max_tokens", "12");
  await page.locator("#prompt").fill("And then?");
  await page.keyboard.press("Enter");
  await waitDone(page);
  const before = await page.evaluate(() => turns.map(t => [t.prompt, t.text, t.ids]));
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll("article").length === 2);
  ok("a reload keeps the conversation", JSON.stringify(await page.evaluate(() => turns.map(t => [t.prompt, t.text, t.ids]))) === JSON.stringify(before));
  await context.close();
}

// What models write that is no plain text: formatted safely; reasoning folded; calls and their results.
async function structures(browser) {
  const page = await browser.newPage({ viewport: { width: 1180, height: 760 } });
  await page.goto(CHAT_URL);
  await page.waitForFunction(() => document.getElementById("about").textContent !== "");
  const markdown = "# Title\n\n**bold** and `code`, <img src=x onerror=alert(1)> [bad](javascript:alert(1)) [good](https://example.org)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```c\nint x;\n```\n- one\n- two";
  await answerWith(page, stream({ delta: { role: "assistant", reasoning_content: "Let me " } }, { delta: { reasoning_content: "think." } }, { delta: { content: markdown } }, { delta: {}, finish_reason: "stop" }));
  await page.locator("#prompt").fill("Show it");
  await page.keyboard.press("Enter");
  await waitDone(page);
  await page.waitForSelector(".formatted table");
  ok("Markdown is formatted", (await page.locator(".formatted strong, .formatted li, .formatted pre, .formatted th").count()) === 6, await page.locator(".formatted").innerHTML());
  ok("HTML of a model stays text", (await page.locator(".formatted img").count()) === 0 && (await text(page, ".formatted")).includes("<img src=x"));
  ok("links lead to the web only", JSON.stringify(await page.locator(".formatted a").evaluateAll(l => l.map(a => a.getAttribute("href")))) === '["https://example.org"]');
  ok("reasoning is folded", !(await page.locator(".reasoning").evaluate(e => e.open)) && (await page.locator(".thoughts").textContent()) === "Let me think.");
  await page.unroute("**/v1/chat/completions");
  await answerWith(page, stream({ delta: { tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "weather", arguments: "" } }] } },
    { delta: { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] } }, { delta: { tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] } }, { delta: {}, finish_reason: "tool_calls" }));
  await page.fill("#tools", '[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]');
  const asked = page.waitForRequest(r => r.method() === "POST");
  await page.locator("#prompt").fill("Weather?");
  await page.keyboard.press("Enter");
  ok("tools are sent", JSON.parse((await asked).postData()).tools[0].function.name === "weather");
  await waitDone(page);
  await page.waitForFunction(() => document.querySelector(".call") && document.querySelector(".call").textContent.includes("Oslo"));
  ok("a call is shown", (await text(page, ".call")).startsWith("calls weather"));
  await page.unroute("**/v1/chat/completions");
  await answerWith(page, stream({ delta: { content: "Rain." } }, { delta: {}, finish_reason: "stop" }));
  const results = page.waitForRequest(r => r.method() === "POST");
  await page.locator(".results textarea").fill('{"rain":true}');
  await page.getByRole("button", { name: "Send results" }).click();
  const sent = JSON.parse((await results).postData()).messages.slice(-2);
  await waitDone(page);
  ok("its result goes back under its id", sent[0].tool_calls[0].id === "c1" && sent[0].tool_calls[0].function.arguments === '{"city":"Oslo"}' && sent[1].tool_call_id === "c1" && sent[1].content === '{"rain":true}', sent);
  await page.fill("#tools", "[{");
  await page.locator("#prompt").fill("x");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#error:not([hidden])");
  ok("tools that are no JSON: said so", (await text(page, "#error")).startsWith("Tools: this is no JSON"));
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/structures.png` });
  await page.close();
}

// Turns of a conversation, sent with Enter; the second one carries the first.
async function chat(browser) {
  const page = await browser.newPage({ viewport: { width: 1180, height: 760 } });
  await page.goto(CHAT_URL);
  await page.waitForFunction(() => document.getElementById("mode-chat").checked);
  ok("chat: a model with a template chats", (await text(page, "#go")) === "Send");
  await page.fill("#max_tokens", "24");
  await page.fill("#system", "Tell a tale.");
  for (const [i, message] of ["Who lived there?", "And then?"].entries()) {
    const asked = page.waitForRequest(r => r.method() === "POST");
    await page.locator("#prompt").pressSequentially(message);
    await page.keyboard.press("Enter");
    const body = JSON.parse((await asked).postData());
    await waitDone(page);
    ok(`chat: message ${i + 1}, ${2 * i + 2} of the conversation`, body.messages.length === 2 * i + 2 && body.messages[2 * i + 1].content === message, body.messages);
    ok(`chat: answer ${i + 1}`, (await page.locator("article").nth(i).locator(".text .token").count()) > 0, await text(page, "#error"));
    ok("chat: the field is free again", (await page.inputValue("#prompt")) === "");
  }
  await page.getByRole("button", { name: "Run the target alone" }).nth(1).click();
  await page.waitForSelector(".verdict.same, .verdict.different");
  ok("chat: identical", await page.locator("article").nth(1).locator(".verdict.same").isVisible());
  await page.click("#clear");
  ok("chat: start over", (await page.locator("article").count()) === 0);
  await page.close();
}

(async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
  try {
    for (const scheme of ["light", "dark"]) await inScheme(browser, scheme);
    await chat(browser);
    await newcomer(browser);
    await structures(browser);
  } catch (error) {
    ok("the page does what is waited for: " + String(error.message).split("\n")[0], false, error.stack);
  }
  await browser.close();
  console.log(`1..${count}`);
  process.exit(bad ? 1 : 0);
})();
