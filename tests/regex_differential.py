#!/usr/bin/env python3
"""Regular expressions at random, through the automaton (build/tests/tools/schema_pipe) and through Python's re.

    tests/regex_differential.py [--pipe PROGRAM] [--patterns N] [--seed S]

What both take and mean alike is made: literals, escapes, classes, groups, alternatives, repetitions greedy and lazy, \\d \\w with
re.ASCII. Texts come from the pattern itself (a way through it at random), from changes to these, and from nowhere. A pattern is
asked as the schema's "^(?:P)$", and Python by fullmatch.
"""
import argparse
import json
import random
import re
import subprocess
import sys

LETTERS = "abcxyz019 -_.é猫😀"
SPECIAL = "\\^$.|?*+()[]{}/"


def atom(r, depth):
    """A pattern and a function that draws a text of it."""
    k = r.randrange(10 if depth else 7)
    if k < 3:
        c = r.choice(LETTERS)
        return (re.escape(c) if c in SPECIAL + "-" and c != "-" else c), lambda: c
    if k == 3:
        c = r.choice(SPECIAL)
        return "\\" + c, lambda: c
    if k == 4:
        what, some = r.choice([("\\d", "0379"), ("\\w", "aZ_5"), ("\\D", "aé-"), ("\\W", " é-"), ("\\t", "\t"), (".", "aé猫 "), ("\\u00e9", "é"), ("\\x41", "A")])
        return what, lambda: r.choice(some)
    if k < 7:
        parts, some = [], ""
        for _ in range(r.randint(1, 3)):
            lo = r.choice("adx05é")
            hi = r.choice([lo, chr(ord(lo) + r.randint(1, 3))])
            parts.append(lo if lo == hi else lo + "-" + hi)
            some += lo + hi
        if r.random() < 0.2:
            parts.append(r.choice(["\\d", "\\w", "\\]", "\\\\", "\\-"]))
        if r.random() < 0.25:
            return "[^" + "".join(parts) + "]", lambda: r.choice("q~ß") if not re.search(r"\\w", "".join(parts)) else "~"
        return "[" + "".join(parts) + "]", lambda: r.choice(some)
    inner, draw = alternatives(r, depth - 1)
    return r.choice(["(", "(?:"]) + inner + ")", draw


def repeated(r, depth):
    p, draw = atom(r, depth)
    if r.random() < 0.6:
        return p, draw
    lo = r.randint(0, 3)
    hi = lo + r.randint(0, 3)
    mark, low, high = r.choice([("*", 0, 4), ("+", 1, 4), ("?", 0, 1), ("{%d}" % lo, lo, lo), ("{%d,}" % lo, lo, lo + 3), ("{%d,%d}" % (lo, hi), lo, hi)])
    if r.random() < 0.2:
        mark += "?"
    return p + mark, lambda: "".join(draw() for _ in range(r.randint(low, high)))


def alternatives(r, depth):
    ways = []
    for _ in range(r.choice([1, 1, 2, 3])):
        ways.append([repeated(r, depth) for _ in range(r.randint(0 if depth < 2 else 1, 4))])
    return "|".join("".join(p for p, _ in w) for w in ways), lambda: "".join(d() for _, d in r.choice(ways))


def changed(r, text):
    at = r.randint(0, len(text))
    return r.choice([text[:at] + text[at + 1:], text[:at] + r.choice(LETTERS) + text[at:], text + r.choice(LETTERS), text[at:]])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--pipe", default="build/tests/tools/schema_pipe")
    a.add_argument("--patterns", type=int, default=100)
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    r = random.Random(o.seed)
    pipe = subprocess.Popen([o.pipe], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(**what):
        pipe.stdin.write((json.dumps(what) + "\n").encode())
        pipe.stdin.flush()
        return json.loads(pipe.stdout.readline())

    compared = matched = refused = wrong = 0
    for _ in range(o.patterns):
        p, draw = alternatives(r, 2)
        try:
            theirs = re.compile(p, re.ASCII)
        except (re.error, OverflowError):
            continue
        error = ask(schema=json.dumps({"type": "string", "pattern": "^(?:" + p + ")$"}))["error"]
        if error:
            refused += 1
            if "too much memory or time" not in error and "states" not in error:
                wrong += 1
                print("refused:", p, error)
            continue
        texts = [draw() for _ in range(4)]
        texts += [changed(r, t) for t in texts] + ["".join(r.choice(LETTERS) for _ in range(r.randint(0, 4)))]
        for t in texts:
            if len(t) > 30:  # Python goes back and forth
                continue
            want = theirs.fullmatch(t) is not None
            got = ask(at=0, text=json.dumps(t, ensure_ascii=False))["accepts"]
            compared += 1
            matched += want
            if want != got:
                wrong += 1
                print("differ: /%s/ on %r: re %s, automaton %s" % (p, t, want, got))
    print("%d patterns, %d texts compared, %d of them match; %d refused for their size; %d wrong" % (o.patterns, compared, matched, refused, wrong))
    return 1 if wrong or compared < o.patterns or not matched else 0


if __name__ == "__main__":
    sys.exit(main())
