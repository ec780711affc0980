#!/usr/bin/env python3
"""chat_differential.py RENDER_LINES [N] [SEED]: N random templates, each with random values, through Jinja2 set up as
transformers does it and through this project's interpreter: the same text, or both raise. What the interpreter names as
left out or limited (docs/chat.md) is counted apart. Prints what differs and a closing line; exit status 1 if anything does,
77 if there is no Jinja2."""
import json, random, subprocess, sys

try:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("# no Jinja2 for Python")
    sys.exit(77)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_caller"), [], [], body).set_lineno(line)

    def _caller(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    e = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    e.filters["tojson"] = tojson
    e.globals["raise_exception"] = raise_exception
    return e


R = random.Random()
WORDS = ["", "a", "ab", "Hello World", " x ", "\n", "é", "ß", "İ", "日本", "<|im_end|>", "a b  c", "1", "-7", "3.5", "1e3", "user", "AbC",
         "foo-bar baz", "\t tab", "it's", 'q"q', "a.b", "%s", "{}", "x\r\ny", "ǆ", "ﬁ", "Σας", "\u2028", "\x00", "\x7f", "😀"]
NAMES = ["s", "t", "n", "f", "l", "d", "m", "u", "b", "z", "x", "y"]
KEYS = ["a", "b", "role", "content", "items", "get", "0"]
FILTERS0 = ("abs capitalize count first float int items join last length list lower max min reverse round string sum title trim unique upper "
            "wordcount tojson sort dictsort urlencode indent default string filesizeformat").split()
TESTS0 = ("boolean callable defined escaped even false float integer iterable lower mapping none number odd sequence string true undefined "
          "upper").split()
METHODS0 = ("upper lower strip lstrip rstrip title capitalize split splitlines swapcase casefold isalpha isdigit isalnum isspace islower isupper "
            "istitle isdecimal items keys values copy isprintable isascii expandtabs").split()


def quote(s):
    out = s.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t").replace("\x00", "\\x00")
    return "'" + out + "'"


def value(depth=0):
    k = R.randrange(12 if depth < 3 else 8)
    if k < 3: return R.choice(WORDS)
    if k == 3: return R.choice([0, 1, 2, 3, -1, -5, 7, 10, 100, 12345, 2**53, 2**63, -2**70])
    if k == 4: return R.choice([0.0, -0.0, 1.0, 0.5, -2.5, 1e16, 1e-7, 3.14159, 1e22, 123456789.125, float("inf"), float("nan")])
    if k == 5: return R.random() < 0.5
    if k == 6: return None
    if k == 7: return R.randrange(-20, 20)
    if k < 10: return [value(depth + 1) for _ in range(R.randrange(4))]
    return {R.choice(KEYS + WORDS[:8]): value(depth + 1) for _ in range(R.randrange(4))}


def variables():
    v = {"s": R.choice(WORDS), "t": R.choice(WORDS), "n": R.randrange(-5, 12), "f": R.choice([0.5, 2.5, -1.25, 1e20, 0.0]), "b": R.random() < 0.5, "z": None,
         "l": [value(1) for _ in range(R.randrange(5))], "d": {k: value(1) for k in R.sample(KEYS, R.randrange(5))},
         "m": [{"role": R.choice(["user", "assistant", "system"]), "content": R.choice(WORDS)} for _ in range(R.randrange(4))]}
    if R.random() < 0.5: v["x"] = value()
    return v


def small(): return str(R.choice([0, 1, 2, 3, -1, -2, 5, 10]))


def literal(depth):
    k = R.randrange(11)
    if k < 4: return quote(R.choice(WORDS))
    if k < 6: return small()
    if k == 6: return R.choice(["1.5", "0.1", "2.0", "1e3", "1_000", "0x1f", "1e-5", "100.0"])
    if k == 7: return R.choice(["true", "false", "none", "True"])
    if k == 8: return "[" + ", ".join(expr(depth + 1) for _ in range(R.randrange(4))) + "]"
    if k == 9: return "{" + ", ".join(quote(R.choice(KEYS)) + ": " + expr(depth + 1) for _ in range(R.randrange(3))) + "}"
    return "(" + "".join(expr(depth + 1) + ", " for _ in range(R.randrange(1, 3))) + ")"


def args(depth):
    return ", ".join(expr(depth + 1) for _ in range(R.choice([0, 1, 1, 1, 2, 3])))


def fitting(depth):
    return R.choice(["s", "l", "d", "m", "n", "f", quote(R.choice(WORDS)), "[%s]" % ", ".join(quote(R.choice(WORDS)) for _ in range(3)),
                     "[3, 1, 2]", operand(depth + 1)])


def filtered(depth):
    e = fitting(depth)
    k = R.randrange(26)
    tail = {0: "|replace(%s, %s)" % (quote(R.choice(WORDS[:8])), quote(R.choice(WORDS[:8]))), 1: "|default(%s)" % expr(depth + 1),
            2: "|default(%s, true)" % expr(depth + 1), 3: "|join(%s)" % quote(R.choice([",", "-", ""])), 4: "|map(attribute=%s)|list" % quote(R.choice(KEYS)),
            5: "|map(%s)|list" % quote(R.choice(FILTERS0)), 6: "|selectattr(%s)|list" % quote(R.choice(KEYS)),
            7: "|selectattr(%s, %s, %s)|list" % (quote(R.choice(KEYS)), quote(R.choice(["equalto", "ne", "in", "lt"])), expr(depth + 1)),
            8: "|select(%s)|list" % quote(R.choice(TESTS0)), 9: "|reject|list", 10: "|batch(%s)|list" % small(), 11: "|slice(%s)|list" % small(),
            12: "|round(%s)" % R.choice(["0", "1", "2", "1, 'floor'", "2, 'ceil'"]), 13: "|tojson(indent=%s)" % R.choice(["0", "2", "none", "'-'"]),
            14: "|indent(%s)" % R.choice(["2", "2, true", "'>', true, true", "first=true"]), 15: "|sort(reverse=%s)" % R.choice(["true", "false"]),
            16: "|truncate(%s)" % R.choice(["5", "10, true", "8, false, '!'", "3, true, '', 0"]), 17: "|groupby(%s)" % quote(R.choice(KEYS)),
            18: "|int(%s)" % R.choice(["7", "0, 16", "default=3", "0, 0"]), 19: "|center(%s)" % small(), 20: "|trim(%s)" % quote(R.choice(["a", "xb", " "])),
            21: "|dictsort(%s)" % R.choice(["true", "false, 'value'", "reverse=true"]), 22: "|sum(start=%s)" % small(),
            23: "|tojson(ensure_ascii=true, sort_keys=true)", 24: "|format(%s)" % args(depth), 25: "|unique|list"}.get(k)
    return e + (tail if R.random() < 0.6 else "|" + R.choice(FILTERS0) + R.choice(["", "", "|list"]))


def method(depth):
    e = R.choice(["s", "t", quote(R.choice(WORDS)), quote(R.choice(WORDS)), operand(depth + 1), "d"])
    k = R.randrange(12)
    w = lambda: quote(R.choice(WORDS[:20]))
    tail = [".split(%s)" % w(), ".split(%s, %s)" % (w(), small()), ".rsplit(none, %s)" % small(), ".startswith(%s)" % w(), ".endswith((%s, %s))" % (w(), w()),
            ".find(%s, %s)" % (w(), small()), ".replace(%s, %s, %s)" % (w(), w(), small()), ".get(%s)" % quote(R.choice(KEYS)),
            ".count(%s)" % w(), ".join(%s)" % expr(depth + 1), ".partition(%s)" % w(), ".%s(%s)" % (R.choice(["ljust", "rjust", "center", "zfill", "strip", "removeprefix", "rfind", "index",
                                                                                                            "append", "pop", "format", "splitlines"]), args(depth))][k]
    return e + (tail if R.random() < 0.6 else "." + R.choice(METHODS0) + "()")


def operand(depth):
    k = R.randrange(10)
    if depth > 4 or k < 3: return R.choice(NAMES)
    if k < 6: return literal(depth)
    if k == 6: return R.choice(NAMES) + R.choice(["." + R.choice(["a", "role", "content", "items", "upper"]), "[%s]" % quote(R.choice(KEYS)), "[%s]" % small(),
                                                  "[%s:%s]" % (R.choice(["", small()]), R.choice(["", small()])), "[::%s]" % R.choice(["-1", "2", "-2"])])
    return "(" + expr(depth + 1) + ")"


def expr(depth=0):
    if depth > 4: return R.choice(NAMES)
    k = R.randrange(18)
    if k < 4: return operand(depth)
    if k < 7: return filtered(depth)
    if k < 9: return method(depth)
    if k == 9: return "%s %s %s" % (operand(depth), R.choice(["+", "-", "*", "/", "//", "%", "~", "~"]), operand(depth))
    if k == 10: return "%s %s %s" % (operand(depth), R.choice(["==", "!=", "<", ">", "<=", ">=", "in", "not in"]), operand(depth))
    if k == 11: return "%s %s %s" % (expr(depth + 1), R.choice(["and", "or"]), expr(depth + 1))
    if k == 12: return "not " + expr(depth + 1)
    if k == 13: return "%s if %s%s" % (operand(depth), expr(depth + 1), R.choice(["", " else " + operand(depth)]))
    if k == 14: return "%s is %s%s" % (operand(depth), R.choice(["", "not "]), R.choice(TESTS0 + ["eq 1", "divisibleby 3", "in [1, 2]", "sameas none", "ge(2)"]))
    if k == 15: return R.choice(["range(%s)" % small(), "range(%s, %s)|list" % (small(), small()), "dict(a=%s)" % expr(depth + 1), "loop.index", "loop.last", "loop.first",
                                 "loop.previtem", "loop.length", "loop.revindex", "loop.cycle('a', 'b')", "loop.changed(%s)" % R.choice(NAMES), "ns.x", "mac(%s)" % args(depth)])
    if k == 16: return "%s < %s <= %s" % (operand(depth), operand(depth), operand(depth))
    return R.choice(["-", "+"]) + operand(depth) + R.choice(["", " ** 2"])


def tag(s): return "{%" + R.choice(["", "", "-", "+"]) + " " + s + " " + R.choice(["", "", "-", "+"]) + "%}"
def text(): return R.choice(["", " ", "\n", "text", "  \n  ", "\n\n", "a\n", "<|x|>", "{", "}", "  "])


def block(depth=0):
    return "".join(text() + statement(depth) for _ in range(R.choice([0, 1, 1, 2]))) + text()


def statement(depth):
    k = R.randrange(16)
    if depth > 2 or k < 6: return "{{" + R.choice(["", "-"]) + " " + expr() + " " + R.choice(["", "-"]) + "}}"
    if k == 6: return tag("if " + expr(2)) + block(depth + 1) + R.choice(["", tag("elif " + expr(2)) + block(depth + 1)]) + R.choice(["", tag("else") + block(depth + 1)]) + tag("endif")
    if k < 9:
        target = R.choice(["x", "y", "x, y", "m"])
        return (tag("for %s in %s%s" % (target, R.choice(["l", "m", "d", "d.items()", "s", "range(3)", "[1, 2, 3]", operand(2), "d|dictsort", "m if m.role"]), R.choice(["", "", " if " + expr(3)])))
                + block(depth + 1) + R.choice(["", "", tag("if " + expr(3)) + tag(R.choice(["break", "continue"])) + tag("endif")])
                + R.choice(["", tag("else") + block(depth + 1)]) + tag("endfor"))
    if k == 9: return tag("set %s = %s" % (R.choice(["x", "y", "x, y", "ns", "s"]), R.choice([expr(1), expr(1), "namespace(x=%s)" % expr(2)])))
    if k == 10: return tag("set ns = namespace(x=%s)" % expr(2)) + tag("for q in l") + tag("set ns.x = " + expr(2)) + tag("endfor") + "{{ ns.x }}"
    if k == 11: return tag("set %s%s" % (R.choice(["x", "y"]), R.choice(["", " | upper", " | trim"]))) + block(depth + 1) + tag("endset")
    if k == 12: return tag("macro mac(x%s)" % R.choice(["", ", y=1", ", y='a', z=x"])) + block(depth + 1) + R.choice(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}"]) + tag("endmacro")
    if k == 13: return tag("call mac(%s)" % args(2)) + block(depth + 1) + tag("endcall")
    if k == 14:
        name = R.choice(["with", "filter", "generation"])
        head = {"with": "with x = %s, y = x" % expr(2), "filter": "filter " + R.choice(["upper", "trim", "indent(2)"]), "generation": "generation"}[name]
        return tag(head) + block(depth + 1) + tag("end" + name)
    return R.choice(["{# c #}", "{#- c -#}\n", "{% raw %} {{ x }} {% endraw %}", "{%- raw -%} a {%- endraw -%}\n"])


def template():
    """Mostly one thing at a time: most random expressions raise, and one that does hides the others."""
    k = R.random()
    if k < 0.5: return "{{ " + expr(R.choice([0, 1, 2])) + " }}"
    if k < 0.8: return text() + statement(R.choice([1, 2])) + text()
    return block()


def main():
    tool, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    R.seed(seed)
    env, given, want = environment(), [], []
    while len(given) < n:
        t, v = template(), variables()
        if R.random() < 0.7:
            t = "{% macro mac(x=1, y=2) %}[{{ x }}{{ y }}{{ caller() if caller else '' }}]{% endmacro %}" + t
        request = json.dumps(v)
        v = json.loads(request)
        v.update(tools=None, documents=None, add_generation_prompt=False)
        try:
            want.append(("text", env.from_string(t).render(**v)))
        except RecursionError:
            continue
        except Exception as e:
            want.append(("error", "%s: %s" % (type(e).__name__, e)))
        given.append((t, request))
    data = "".join(json.dumps(t) + "\n" + r + "\n" for t, r in given)
    out = subprocess.run([tool], input=data.encode(), capture_output=True).stdout.decode().split("\n")
    same = errors = apart = 0
    wrong = []
    for (t, r), (kind, text), line in zip(given, want, out):
        got = json.loads(line) if line else {"error": "(nothing)", "code": 0}
        if "error" in got and got["code"] == -4: apart += 1
        elif kind == "text" and got.get("text") == text: same += 1
        elif kind == "text" and (" object at 0x" in text or "<function" in text or "<bound method" in text): apart += 1
        elif kind == "error" and "error" in got and got["code"] in (-1, -3): errors += 1
        else: wrong.append((t, r, text, got))
    if len(out) < len(given): print("# the tool stopped after %d" % (len(out) - 1))
    wrong.sort(key=lambda w: len(w[0]))
    for t, r, text, got in wrong[:12]:
        print("# template %r\n#   values %s\n#   Jinja2: %r\n#   here:   %r" % (t, r, text, got.get("text", got.get("error"))))
    print("# seed %d: %d texts and %d errors as Jinja2 gives them, %d left out or limited, %d wrong" % (seed, same, errors, apart, len(wrong)))
    sys.exit(1 if wrong or len(out) < len(given) else 0)


main()
