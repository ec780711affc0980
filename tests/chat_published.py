#!/usr/bin/env python3
"""chat_published.py RENDER_LINES FOLDER: renders every published template of FOLDER/templates with every conversation and
compares with Jinja2's renderings there. Prints what differs and a closing line; exit status 1 if anything does."""
import gzip, json, subprocess, sys


def lines(path):
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


def main():
    tool, folder = sys.argv[1], sys.argv[2] + "/templates/"
    templates = {t["id"]: t for t in lines(folder + "templates.jsonl.gz")}
    cases = json.load(open(folder + "cases.json", encoding="utf-8"))
    expected = lines(folder + "expected.jsonl.gz")
    given = []
    for e in expected:
        t = templates[e["id"]]
        request = dict(cases[e["case"]], add_generation_prompt=e["add_generation_prompt"])
        request.update(bos_token=t["bos"], eos_token=t["eos"])
        given.append(json.dumps(t["template"]) + "\n" + json.dumps(request) + "\n")
    out = subprocess.run([tool], input="".join(given), capture_output=True, encoding="utf-8").stdout.split("\n")
    texts = errors = 0
    wrong = []
    for e, line in zip(expected, out):
        got = json.loads(line)
        if "error" in e and "error" in got and got["code"] == -1:
            errors += 1
        elif "text" in e and got.get("text") == e["text"]:
            texts += 1
        else:
            wrong.append((e, got))
    for e, got in wrong[:20]:
        print("# %s %s %s\n#   Jinja2: %r\n#   here: %r" % (e["id"], e["case"], e["add_generation_prompt"],
                                                        e.get("text", e.get("error")), got.get("text", got.get("error"))))
    done = texts + errors == len(expected)
    print("# %d texts and %d errors as Jinja2 gives them, of %d" % (texts, errors, len(expected)))
    sys.exit(0 if done else 1)


main()
