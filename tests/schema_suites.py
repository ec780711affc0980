#!/usr/bin/env python3
"""Runs public collections of JSON schemas through the automaton (build/tests/tools/schema_pipe).

    tests/schema_suites.py --suite DIR       json-schema-org/JSON-Schema-Test-Suite (draft 2020-12)
    tests/schema_suites.py --maskbench DIR   guidance-ai/jsonschemabench: the folder maskbench/data
    further: --pipe PROGRAM, --every N (a part of it), --list FILE (what is refused or judged otherwise, one a line),
    --orders N (steps for the orders of keys of one invalid instance), --only valid|invalid

An instance is written as json.dumps writes it, integral floats as integers. Where it is refused, other orders of its keys
are tried, led by the automaton: a schema fixes the order of keys, and the data do not know it. An invalid instance has to
be refused in every order, or in those that the steps suffice for, which is counted apart.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys


# Steps of the automaton for the orders of keys of an instance that has to be taken.
VALID_ORDERS = 500000


class Pipe:
    def __init__(self, program):
        self.program = program
        self.start()

    def start(self):
        self.p = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **what):
        self.p.stdin.write((json.dumps(what) + "\n").encode())
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            self.start()
            raise RuntimeError("the program died")
        return json.loads(line)

    def compile(self, schema):
        self.asked = 0
        self.ranked = self.straight = False
        self.text = json.dumps(schema)
        return self.ask(schema=self.text)

    def rank(self, key):
        """Where the schema first names a key: the order to try first."""
        at = self.text.find('"properties": {' + json.dumps(key) + ": ")
        at = at if at >= 0 else self.text.find(", " + json.dumps(key) + ": {")
        return at if at >= 0 else len(self.text)

    def step(self, state, text):
        self.asked += 1
        r = self.ask(at=state, text=text)
        if "error" in r:
            raise RuntimeError(r["error"])
        return r["state"], r["accepts"]

    def steps(self, state, texts):
        """The state behind each of several texts; none at all of a schema that takes nothing."""
        self.asked += len(texts)
        r = self.ask(at=state, texts=texts)
        if "error" in r:
            raise RuntimeError(r["error"])
        return r["states"]


def scalar(v):
    if isinstance(v, float) and v == int(v) and abs(v) <= 2**53:
        v = int(v)
    return json.dumps(v, ensure_ascii=False)


def write(v):
    if isinstance(v, dict):
        return "{" + ", ".join(json.dumps(k, ensure_ascii=False) + ": " + write(x) for k, x in v.items()) + "}"
    if isinstance(v, list):
        return "[" + ", ".join(write(x) for x in v) + "]"
    return scalar(v)


def orders(pipe, state, v, limit, around=()):
    """Every state behind v, over the orders of keys that the automaton lets pass. `around`: what is left to write of the
    objects and arrays that hold v. Where a state is met again with the same left, all that follows was tried: states
    with one number are one."""
    if pipe.asked > limit:
        return
    if isinstance(v, dict):
        after, _ = pipe.step(state, "{")
        if after > 0:
            yield from members(pipe, after, dict(v), True, limit, around)
    elif isinstance(v, list):
        after, _ = pipe.step(state, "[")
        if after > 0:
            yield from elements(pipe, after, v, 0, limit, around)
    else:
        after, _ = pipe.step(state, scalar(v))
        if after > 0:
            yield after


def met(pipe, *what):
    known = what in pipe.met
    pipe.met.add(what)
    return known


def candidates(pipe, rest):
    """Keys that the schema names nowhere follow all others in any order: one of them at a time is enough."""
    named = [k for k in rest if json.dumps(k) in pipe.text]
    other = [k for k in rest if json.dumps(k) not in pipe.text]
    return (sorted(named, key=pipe.rank) if pipe.ranked else named) + other[:1]


def writes(first, k):
    return ("" if first else ", ") + json.dumps(k, ensure_ascii=False) + ": "


def members(pipe, state, rest, first, limit, around):
    left = around + (frozenset(rest),)
    if met(pipe, state, first, left):
        return
    if not rest:
        after, _ = pipe.step(state, "}")
        if after > 0:
            yield after
        return
    keys = candidates(pipe, rest)
    taken = [(k, at) for k, at in zip(keys, pipe.steps(state, [writes(first, k) for k in keys])) if at > 0]
    for k, at in taken:
        others = {x: y for x, y in rest.items() if x != k}
        shut = True
        for behind in orders(pipe, at, rest[k], limit, left + (k,)):
            if pipe.straight and min(pipe.steps(behind, [writes(False, x) for x, _ in taken if x != k]), default=1) <= 0:
                continue
            shut = False
            yield from members(pipe, behind, others, False, limit, around)
        if pipe.straight and not shut:
            return


def elements(pipe, state, v, i, limit, around):
    if met(pipe, state, i, around):
        return
    if i == len(v):
        after, _ = pipe.step(state, "]")
        if after > 0:
            yield after
        return
    at = state
    if i:
        at, _ = pipe.step(state, ", ")
    if at > 0:
        for behind in orders(pipe, at, v[i], limit, around + (i,)):
            yield from elements(pipe, behind, v, i + 1, limit, around)


def judge(pipe, v, limit):
    """'as given', 'reordered' or None; pipe.cut: not every order was tried. First straight on: a key that shuts none of
    those out that could come in its place is the next, as one that the schema names first is. Then every order: under
    anyOf a key can be shut out in one branch and come later in another."""
    pipe.cut = False
    state, accepts = pipe.step(0, write(v))
    if state > 0 and accepts:
        return "as given"
    if not isinstance(v, (dict, list)):
        return None
    for pipe.straight, pipe.ranked in ((True, False), (False, False), (False, True)):
        pipe.asked = 0
        pipe.met = set()
        for behind in orders(pipe, 0, v, limit):
            if pipe.step(behind, "")[1]:
                return "reordered"
        if pipe.asked <= limit and not pipe.straight:
            return None
    pipe.cut = True
    return None


def reason(message):
    message = re.sub(r"^JSON schema, ", "", message)
    message = re.sub(r" at #[^:]*:", ":", message)
    return re.sub(r"\d+ and \d+", "i and j", message)[:150]


class Tally:
    def __init__(self, listing):
        self.schemas = collections.Counter()
        self.reasons = collections.Counter()
        self.instances = collections.Counter()
        self.times = []
        self.listing = open(listing, "w") if listing else None

    def note(self, *words):
        if self.listing:
            print(*words, sep="\t", file=self.listing)

    def run(self, pipe, name, schema, tests, expect):
        """tests: (name, value, valid). Returns right, wrong, refused."""
        try:
            r = pipe.compile(schema)
            self.times.append(r["ms"])
            if r["error"]:
                self.schemas["refused"] += 1
                self.reasons[reason(r["error"])] += 1
                self.note("refused", name, r["error"])
                return 0, 0, len(tests)
            self.schemas["compiled"] += 1
            right = wrong = 0
            for what, value, valid in tests:
                if pipe.only not in (None, valid):
                    continue
                got = judge(pipe, value, VALID_ORDERS if valid else pipe.limit)
                if (got is not None) == valid:
                    right += 1
                    self.instances[got or "refused, and invalid" + (", in the orders tried" if pipe.cut else "")] += 1
                    if got == "reordered":
                        self.note("reordered", name, what)
                elif expect(name, what):
                    self.instances["otherwise, as documented"] += 1
                else:
                    wrong += 1
                    self.instances["invalid, and taken" if got else "valid, and refused"] += 1
                    self.note("wrong", name, what, "valid" if valid else "invalid", write(value)[:300])
            return right, wrong, 0
        except RuntimeError as e:
            self.schemas["failed"] += 1
            self.note("failed", name, str(e))
            return 0, len(tests), 0

    def close(self):
        n = sum(self.schemas.values())
        print("schemas:", n, dict(self.schemas), "%.2f %% compile" % (100 * self.schemas["compiled"] / max(n, 1)))
        print("instances:", dict(self.instances))
        t = sorted(self.times)
        if t:
            print("compiling, ms of CPU: median %.2f, 99th of 100 %.1f, most %.0f" % (t[len(t) // 2], t[len(t) * 99 // 100], t[-1]))
        for why, k in self.reasons.most_common(40):
            print("%6d  %s" % (k, why))
        return sum(self.instances[x] for x in ("invalid, and taken", "valid, and refused")) + self.schemas["failed"]


def suite(pipe, folder, tally, every):
    folder = os.path.join(folder, "tests", "draft2020-12")
    # Formats are enforced here, and custom vocabularies are annotations.
    expect = lambda name, what: name.startswith("format.json") or name.startswith("vocabulary.json")
    for f in sorted(os.listdir(folder))[::every]:
        if not f.endswith(".json"):
            continue
        sums = [0, 0, 0]
        for group in json.load(open(os.path.join(folder, f))):
            tests = [(t["description"], t["data"], t["valid"]) for t in group["tests"]]
            got = tally.run(pipe, f + ": " + group["description"], group["schema"], tests, expect)
            sums = [a + b for a, b in zip(sums, got)]
        print("%-32s right %4d  wrong %3d  refused by name %3d" % (f, *sums))


# Judged otherwise than MaskBench does, for a reason: format "regex" is an annotation here; 12345.0 is no integer to draft 4,
# and the same number as 12345 since draft 6; draft 4 does not know "if", which holds here whatever $schema names.
OTHERWISE = {
    ("Github_hard---o16749", "3"), ("Github_easy---o66309", "2"), ("Github_easy---o66309", "3"),
    ("Github_easy---o24544", "3"), ("Github_trivial---o14485", "1"),
    ("Github_medium---o3385", "0"), ("Github_medium---o3385", "3"), ("Github_medium---o39097", "0"),
}


def maskbench(pipe, folder, tally, every):
    expect = lambda name, what: (name[:-5], what) in OTHERWISE
    for f in sorted(os.listdir(folder))[::every]:
        d = json.load(open(os.path.join(folder, f)))
        tests = [(str(i), t["data"], t["valid"]) for i, t in enumerate(d.get("tests", []))]
        tally.run(pipe, f, d["schema"], tests, expect)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--suite")
    a.add_argument("--maskbench")
    a.add_argument("--pipe", default="build/tests/tools/schema_pipe")
    a.add_argument("--every", type=int, default=1)
    a.add_argument("--list")
    a.add_argument("--orders", type=int, default=20000, help="steps of the automaton for one invalid instance's orders of keys")
    a.add_argument("--only", choices=("valid", "invalid"))
    o = a.parse_args()
    pipe = Pipe(o.pipe)
    pipe.limit = o.orders
    pipe.only = {"valid": True, "invalid": False}.get(o.only)
    wrong = 0
    for run, folder in ((suite, o.suite), (maskbench, o.maskbench)):
        if folder:
            tally = Tally(o.list)
            run(pipe, folder, tally, o.every)
            wrong += tally.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
