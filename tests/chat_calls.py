#!/usr/bin/env python3
"""chat_calls.py CALL_LINES FOLDER [N] [SEED] [NAME]: for every template of FOLDER (files, or the fixtures' published ones) that
shows calls of tools, N random calls (200): rendered by the template, cut out of the rendering, read back: the same calls. Each text is read
whole, cut in two at every byte (CUTS: at so many), byte by byte and with early events (call_lines does that). Then near misses: texts that are
almost a call stay content, byte for byte. Prints what differs and a line for each format; exit status 1 if anything does."""
import gzip, json, os, random, re, subprocess, sys

WORDS = ["", "x", "Zürich", "a b", "42", "-1.5", "true", "null", "None", "[1, 2]", "{\"a\": 1}", "it's", "say \"hi\"", "C:\\new\\t",
         "line1\nline2\n", "\n\nx", "tab\there", "\r\n", "日本語", "👩‍👩‍👧‍👦", "\u0001", "\u2028", "</tool_call>", "</parameter>", "</arg_value>",
         "</function>", "<tool_call>", "<|im_end|>", "]", "}}", "\"}}", "```", "<|tool_call_end|>", "[TOOL_CALLS]", "<|\"|>", "</think>",
         "<parameter=x>", "</｜DSML｜parameter>", "<|END_ACTION|>", " lead", "trail ", "a=1, b=2", "f(x)", "&lt;&amp;", "\\u00e9", "%", "a" * 300]
TYPES = {"s": "string", "n": "number", "i": "integer", "b": "boolean", "o": "object", "a": "array", "z": ["string", "null"]}
CUTS = int(os.environ.get("CUTS", "0"))  # places where a text is cut, 0: at every byte
NAMES = ["get_weather", "add", "a", "read-file", "ns.tool_2"]
# What some templates can describe is less: no lists of types, no objects without properties.
SIMPLE = {key: kind for key, kind in TYPES.items() if key in "snib"}


def tools_of(types):
    return [{"type": "function", "function": {"name": name, "description": "Does it.", "parameters": {
    "type": "object", "properties": {key: {"type": kind, "description": "d"} for key, kind in types.items()}, "required": []}}} for name in NAMES]


def text(r):
    return "".join(r.choice(WORDS) for _ in range(r.choice([1, 1, 1, 2, 3])))


def value(r, depth=0):
    kind = r.choice("snibao" if depth < 3 else "snib")
    if kind == "s":
        return text(r)
    if kind == "n":
        return r.choice([0.5, -2.25, 1e300, 3.0, 1e-7])
    if kind == "i":
        return r.choice([0, 1, -7, 2**63 - 1, 12345678901234567890])
    if kind == "b":
        return r.choice([True, False, None])
    if kind == "a":
        return [value(r, depth + 1) for _ in range(r.choice([0, 1, 2, 3]))]
    return {r.choice(["k", "key", "Ключ", "n", "x1"]) + str(i): value(r, depth + 1) for i in range(r.choice([0, 1, 2]))}


def arguments(r, types):
    args = {}
    for key in r.sample(sorted(types), min(len(types), r.choice([0, 1, 1, 2, 3, 7]))):
        if key == "s":
            args[key] = text(r)
        elif key == "n":
            args[key] = r.choice([0.5, -2.25, 7, 1e300, 3.0])
        elif key == "i":
            args[key] = r.choice([0, 1, -7, 12345678901234567890])
        elif key == "b":
            args[key] = r.choice([True, False])
        elif key == "z":
            args[key] = r.choice([None, "word", "two words"])
        else:
            args[key] = {"o": lambda: {"k" + str(i): value(r, 1) for i in range(r.choice([0, 1, 2]))},
                         "a": lambda: [value(r, 1) for _ in range(r.choice([0, 1, 3]))]}[key]()
    return args


def all_texts(v):
    if isinstance(v, str):
        yield v
    elif isinstance(v, dict):
        for k, x in v.items():
            yield k
            yield from all_texts(x)
    elif isinstance(v, list):
        for x in v:
            yield from all_texts(x)


def readable(f, args):
    """What a format without escaping cannot write: see docs/chat.md."""
    texts = list(all_texts(args))
    if "\n    " in f["between"] + f["begin"] and any(len((t + "x").splitlines()) > 1 for t in texts):
        return False  # this template indents the JSON by lines, those inside strings, too
    if f["style"] == "python" and f["probed"]:  # LFM2.5-VL puts strings between quotes as they are, null as Python prints it
        return not any("\\" in t or re.search(r"\"\s*[,)\]}:]", t) for t in texts)
    if f["style"] == "gemma":
        return not any("<|\"|>" in t or re.search(r"[,:{}\[\]<]", t) and t in args for t in texts)
    if f["style"] == "tags":
        end = re.escape(f["item_end"].strip()) + r"\s*(" + re.escape(f["item"].strip()) + "|" + re.escape(f["end"].split(">")[0].strip()) + ")"
        return not any(re.search(end, t) for t in texts)
    return True


def exact(s):
    return json.loads(s, parse_float=str, parse_int=str)


def normal(v, f):
    """As it can come back: Gemma's template sorts keys."""
    if f["style"] == "gemma":
        return json.loads(json.dumps(v, sort_keys=True))
    return v


class Lines:
    def __init__(self, tool, template):
        self.tool, self.template = tool, json.dumps(template)

    def run(self, whats):
        given = "".join(self.template + "\n" + json.dumps(w) + "\n" for w in whats)
        out = subprocess.run([self.tool], input=given, capture_output=True, encoding="utf-8")
        if out.returncode != 0:
            raise SystemExit("call_lines: exit status %d: %s" % (out.returncode, out.stderr[-2000:]))
        return [json.loads(line) for line in out.stdout.split("\n")[:-1]]


def conversation(t, tools, calls, content):
    tool_calls = [{"id": "call0000" + str(i), "type": "function", "function": {"name": n, "arguments": json.dumps(a, ensure_ascii=False)}}
                  for i, (n, a) in enumerate(calls)]
    return request(t, tools, [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": content, "tool_calls": tool_calls}], False)


def request(t, tools, messages, open_turn):
    return {"do": "render", "request": {"messages": messages, "tools": tools, "add_generation_prompt": open_turn, "bos_token": t["bos"], "eos_token": t["eos"]}}


def common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def check(tool, t, n, seed):
    r = random.Random("%s %s" % (seed, t["id"]))
    lines = Lines(tool, t["template"])
    f = lines.run([{"do": "format"}])[0]
    if f.get("style", "none") == "none" or not (f["tools"] or f["probed"]):
        return None
    for types in TYPES, SIMPLE:
        tools = tools_of(types)
        head, plain = lines.run([request(t, tools, [{"role": "user", "content": "Go on."}], True),
                                 request(t, tools, [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "vbsaid"}], False)])
        if "text" in head and "text" in plain:
            break
    else:
        return "%s: no plain answer: %s" % (t["name"], head.get("error", plain.get("error"))), 0, 0, 0
    cases = []
    while len(cases) < n:
        calls = [(r.choice(NAMES), arguments(r, types)) for _ in range(r.choice([1, 1, 2, 3]) if f["parallel"] else 1)]
        if all(readable(f, a) for _, a in calls):
            cases.append((calls, r.choice(["", "", "I look it up."])))
    rendered = lines.run([conversation(t, tools, *c) for c in cases])
    wrong, reads, wanted, singles = [], [], [], []
    for (calls, content), out in zip(cases, rendered):
        if "text" not in out:
            wrong.append("%r: %s" % (calls, out["error"]))
            continue
        s = out["text"]
        # The turn's beginning, which the prompt holds; a tag that only begins like the prompt's is the answer's.
        at = common(s, head["text"])
        if at < len(head["text"]) and "<" in s[:at] and s.rfind("<", 0, at) > s.rfind(">", 0, at):
            at = s.rfind("<", 0, at)
        s = s[at:]
        thinking_open = head["thinking"]
        # The turn's end, as far as it is an answer of plain text's, too.
        end = common(s[::-1], plain["text"][::-1])
        while end < len(plain["text"]) and end and s[len(s) - end] not in "<[\n":
            end -= 1
        s = s[:len(s) - end]
        # What an answer of plain text has around it as well, or the prompt in another form, is no part of a call.
        if not thinking_open and f["think_end"] and s.startswith(f["think_end"].strip()):
            s = s[len(f["think_end"].strip()):]
        if s.startswith("<|CHATBOT_TOKEN|>"):
            s = s[len("<|CHATBOT_TOKEN|>"):]
        if f["style"] == "gemma":
            s = s.replace("<|tool_response>", "")  # ends the model's turn
        thinking = head["thinking"] and bool(f["think_end"]) and s.lstrip().startswith(f["think_end"].strip())
        reads.append({"do": "read", "text": s, "tools": tools, "thinking": thinking, "cuts": CUTS})
        wanted.append((calls, content if content in s and content else ""))
        if len(calls) == 1:
            singles.append((s, calls[0], thinking))
    for w, (calls, content), got in zip(reads, wanted, lines.run(reads)):
        said = [[name, normal(exact(a), f)] for name, a, _ in got["calls"]]
        want = [[name, normal(exact(json.dumps(a)), f)] for name, a in calls]
        if [json.dumps(x) for x in said] != [json.dumps(x) for x in want] or "differs" in got or "differs early" in got:
            wrong.append("%r\n#    said %r\n#    want %r" % (w["text"], got, want))
        elif (got["content"].strip() or got["reasoning"]) != content:
            wrong.append("%r: content %r" % (w["text"], got["content"]))
    # Near misses.
    misses = []
    for s, (name, args), thinking in singles:
        for kind in ("unknown", "short"):
            m = s
            if kind == "unknown":
                if len(name) < 3:
                    continue
                m = s.replace(name, "no_such_tool", 1)
            else:
                m = s[:r.randrange(1, max(2, int(len(s) * 0.6)))]
                if any(x in m for x in ("}", ")", "</function", "</tool_call", "</｜DSML｜invoke")):
                    continue
            misses.append({"do": "read", "text": m, "tools": tools, "thinking": thinking, "cuts": CUTS})
    for w, got in zip(misses, lines.run(misses)):
        # call_lines looks itself whether every byte came out in its place ("differs"); marks are those of reasoning and of recipients.
        if got["calls"] or sorted(got["content"] + got["marks"] + got["reasoning"]) != sorted(w["text"]) or "differs" in got or \
                got["marks"] and not f["think_end"] and not f["everyone"]:
            wrong.append("near miss %r: %r" % (w["text"], got))
    return wrong, len(reads), len(misses), f["style"]


# A published template that shows three calls as no model writes them: it ends the list, and the turn, behind the second.
BROKEN = {"56a1447ad319"}


def templates(folder):
    """The published templates of the fixtures, or a folder of files."""
    published = os.path.join(folder, "templates", "templates.jsonl.gz")
    if os.path.exists(published):
        return [t for t in map(json.loads, gzip.open(published, "rt", encoding="utf-8")) if t["id"] not in BROKEN]
    names = sorted(n for n in os.listdir(folder) if n.endswith(".jinja"))
    return [{"id": n, "name": n[:-6], "bos": "<s>", "eos": "</s>", "template": open(os.path.join(folder, n), encoding="utf-8").read()} for n in names]


def main():
    tool, folder = sys.argv[1], sys.argv[2]
    n, seed = int(sys.argv[3]) if len(sys.argv) > 3 else 200, sys.argv[4] if len(sys.argv) > 4 else "1"
    name = sys.argv[5] if len(sys.argv) > 5 else ""
    failed = read = calls = near = 0
    for t in templates(folder):
        if name not in t["name"] + t["id"]:
            continue
        out = check(tool, t, n, seed)
        if out is None:
            continue
        wrong, texts, misses, style = out
        if isinstance(wrong, str):
            print("# left out: " + wrong)
            continue
        read, calls, near = read + 1, calls + texts, near + misses
        failed += len(wrong)
        print("# %-60s %-8s %d texts, %d near misses, %d wrong" % (t["name"][:60], style, texts, misses, len(wrong)))
        for w in wrong[:3]:
            print("#   " + w[:1500])
    print("# seed %s: %d templates, %d texts with calls read back, %d near misses, %d wrong" % (seed, read, calls, near, failed))
    sys.exit(1 if failed or not read else 0)


main()
