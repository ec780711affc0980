// markdown.js - an answer as formatted text. marked.js (github.com/markedjs/marked, 41 KB) reads the Markdown into a tree; here
// every node of that tree becomes an element of a known kind, and every text a text node. Nothing of a model is ever parsed as
// HTML, nothing is loaded from elsewhere, and links lead only to the web.
"use strict";

const LINKS = /^(https?:|mailto:)/i;
// Kinds of the tree whose children stand in one element.
const INLINE = { strong: "strong", em: "em", del: "s", paragraph: "p", blockquote: "blockquote" };

function node(tag, ...children) {
  const e = document.createElement(tag);
  e.append(...children);
  return e;
}

function link(t) {
  if (!LINKS.test(t.href)) return [t.raw];
  const e = node("a", ...(t.type === "image" ? [t.text || t.href] : nodes(t.tokens)));
  e.href = t.href;
  e.target = "_blank";
  e.rel = "noopener noreferrer";
  return [e];
}

function list(t) {
  const e = node(t.ordered ? "ol" : "ul", ...t.items.map(item => {
    const box = item.task ? [item.checked ? "\u2611 " : "\u2610 "] : [];
    return node("li", ...box, ...nodes(item.tokens));
  }));
  if (t.ordered && t.start !== 1) e.start = t.start;
  return e;
}

function table(t) {
  const cells = (tag, row) => node("tr", ...row.map((cell, i) => {
    const e = node(tag, ...nodes(cell.tokens));
    if (t.align[i]) e.className = "to-" + t.align[i];
    return e;
  }));
  return node("div", node("table", node("thead", cells("th", t.header)), node("tbody", ...t.rows.map(r => cells("td", r)))));
}

function one(t) {
  if (INLINE[t.type]) return [node(INLINE[t.type], ...nodes(t.tokens))];
  switch (t.type) {
    case "space": case "def": return [];
    case "br": return [node("br")];
    case "hr": return [node("hr")];
    case "heading": return [node("h" + Math.min(6, t.depth + 2), ...nodes(t.tokens))];
    case "code": return [node("pre", node("code", t.text))];
    case "codespan": return [node("code", t.text)];
    case "list": return [list(t)];
    case "table": return [table(t)];
    case "link": case "image": return link(t);
    case "escape": return [t.text];
    case "text": return t.tokens ? nodes(t.tokens) : [t.text];
    default: return [t.raw]; // HTML too
  }
}

const nodes = tokens => (tokens || []).flatMap(one);

// Puts `text` into `element`, formatted.
function showMarkdown(element, text) {
  let tree;
  try {
    tree = marked.lexer(text, { gfm: true, breaks: true });
  } catch {
    element.textContent = text; // nothing that a person must read is lost to a parser
    return;
  }
  element.replaceChildren(...nodes(tree));
}
