#!/usr/bin/env python3
"""Samples of a model under JSON schemas, judged by python-jsonschema.

    tests/schema_samples.py --url http://127.0.0.1:8000/v1 --schemas DIR [--samples 10000] [--n-schemas 200] [--max-tokens 64] [--largest 1500]

DIR is guidance-ai/jsonschemabench's maskbench/data, or any folder of files that are schemas or have one as "schema". Small ones are
taken, evenly from all. Temperature 1, no truncation. Every text that the model ended is parsed and validated; what the length ended
has to say so, and is counted. Exit status 1 if one text is wrong.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import sys
import urllib.error
import urllib.request

import jsonschema


def small_schemas(folder, wanted, largest):
    """A tenth more than wanted, because some are refused."""
    out = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as f:
            document = json.load(f)
        schema = document.get("schema", document)
        if len(json.dumps(schema)) > largest or not isinstance(schema, dict):
            continue
        try:
            jsonschema.validators.validator_for(schema).check_schema(schema)
        except jsonschema.exceptions.SchemaError:
            continue
        out.append((name, schema))
    return out[:: max(1, 10 * len(out) // (11 * wanted))]


def ask(url, schema, n, seed, max_tokens):
    body = {"messages": [{"role": "user", "content": "Tell me about it."}], "n": n, "seed": seed, "max_tokens": max_tokens,
            "temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        return {"refused": json.load(e)["error"]["message"]} if e.code == 400 else {"failed": str(e)}
    except OSError as e:
        return {"failed": str(e)}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--url", required=True)
    a.add_argument("--schemas", required=True)
    a.add_argument("--samples", type=int, default=10000)
    a.add_argument("--n-schemas", type=int, default=200)
    a.add_argument("--max-tokens", type=int, default=64)
    a.add_argument("--largest", type=int, default=1500, help="bytes of a schema: under large ones most texts are ended by the length")
    a.add_argument("--at-once", type=int, default=4)
    o = a.parse_args()
    counts = collections.Counter()
    used = {}
    schemas = small_schemas(o.schemas, o.n_schemas, o.largest)
    most, rounds = 10, 0

    def one(job):
        name, schema, seed = job
        return name, schema, ask(o.url, schema, most, seed, o.max_tokens)

    with concurrent.futures.ThreadPoolExecutor(o.at_once) as pool:
        while counts["texts"] < o.samples and schemas:
            rounds += 1
            again = []
            for name, schema, answer in pool.map(one, [(n, s, 1000 * rounds) for n, s in schemas]):
                if "choices" not in answer:
                    counts["schemas refused" if "refused" in answer else "requests failed"] += 1
                    continue
                if name not in used and len(used) == o.n_schemas:
                    continue
                used[name] = used.get(name, 0) + 1
                again.append((name, schema))
                validator = jsonschema.validators.validator_for(schema)(schema)
                for choice in answer["choices"]:
                    counts["texts"] += 1
                    if choice["finish_reason"] == "length":
                        counts["ended by length"] += 1
                        continue
                    counts["ended by the model"] += 1
                    text = choice["message"]["content"]
                    try:
                        validator.validate(json.loads(text))
                        counts["valid"] += 1
                    except (ValueError, jsonschema.exceptions.ValidationError) as e:
                        counts["wrong"] += 1
                        print("wrong:", name, text[:300], str(e).split("\n")[0][:200])
                print(dict(counts), len(used), "schemas", file=sys.stderr, end="\r")
                if counts["texts"] >= o.samples:
                    break
            schemas = again
    print("%d schemas:" % len(used), dict(counts))
    return 1 if counts["wrong"] or counts["requests failed"] or not counts["valid"] else 0


if __name__ == "__main__":
    sys.exit(main())
