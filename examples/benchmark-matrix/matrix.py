#!/usr/bin/env python3
"""How long drafts should be, asked of one running `verbatim serve`: every prompt with every length, and what each costs and gains.

    matrix.py [URL] [--prompts FILE] [--gammas 0,2,3,5,7,auto] [--rounds 3] [-n 64] [--temperature 0] [--seed 1] [--out DIR]

URL ends in /v1 (default http://127.0.0.1:8000/v1). Lengths go round and round, so that a slow moment of the machine falls on all of
them. Writes matrix.md and matrix.svg into DIR (default .), prints the table, and ends with status 1 if a text is not the one without a
draft, which `coupled` promises. Only the standard library is needed.
"""
import argparse
import http.client
import json
import pathlib
import re
import statistics
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent


def connect(url):
    where = urllib.parse.urlparse(url)
    return http.client.HTTPConnection(where.hostname, where.port, timeout=600), where.path.rstrip("/")


def get(url, path):
    connection, base = connect(url)
    connection.request("GET", (base.removesuffix("/v1") if path.startswith("/") else base + "/") + path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{url}: {path} answers {answer.status}: {body[:200]}")
    return body


def ask(url, prompt, gamma, a):
    """One streamed completion: its text, the seconds to its first token and to its end, and what the server counted."""
    connection, base = connect(url)
    body = {"prompt": prompt, "max_tokens": a.n, "temperature": a.temperature, "seed": a.seed, "stream": True, "ignore_eos": True,
            "accept": "coupled", "gamma": gamma}
    start = time.monotonic()
    connection.request("POST", base + "/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{url}: {answer.status}: {answer.read().decode()[:300]}")
    text, first, last = "", None, {}
    for line in answer:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            raise SystemExit(f"{url}: {chunk['error']['message']}")
        for choice in chunk["choices"]:
            if choice["text"] and first is None:
                first = time.monotonic() - start
            text += choice["text"]
        if "timings" in chunk:
            last = chunk
    whole = time.monotonic() - start
    connection.close()
    return {"text": text, "first": first if first is not None else whole, "whole": whole, "timings": last["timings"], "stats": last["stats"]}


def measure(a, prompts):
    """gamma -> round -> one answer per prompt."""
    seen = {g: [] for g in a.gammas}
    for prompt in prompts:  # the prompts' caches are warm for all lengths alike
        ask(a.url, prompt, 0, a)
    for _ in range(a.rounds):
        for g in a.gammas:
            seen[g].append([ask(a.url, prompt, g, a) for prompt in prompts])
    return seen


def summary(a, seen):
    """One row per length. Speed-ups are medians of ratios within a round, against gamma 0."""
    rows = []
    right = [answer["text"] for answer in seen[0][0]]
    seconds = {g: [sum(x["timings"]["predicted_ms"] for x in r) / 1e3 for r in seen[g]] for g in a.gammas}
    for g in a.gammas:
        flat = [x for r in seen[g] for x in r]
        drafted = sum(x["stats"]["total_draft_tokens"] for x in flat)
        tokens = sum(x["timings"]["predicted_n"] for x in seen[g][0])
        rows.append({
            "gamma": "none" if g == 0 else str(g),
            "rate": tokens / statistics.median(seconds[g]),
            "speed_up": statistics.median(seconds[0][i] / seconds[g][i] for i in range(a.rounds)),
            "first_ms": 1e3 * statistics.median(x["first"] for x in flat),
            "latency_ms": 1e3 * statistics.median(x["whole"] for x in flat),
            "acceptance": sum(x["stats"]["accepted_draft_tokens"] for x in flat) / drafted if drafted else None,
            "identical": all(x["text"] == right[i] for r in seen[g] for i, x in enumerate(r)),
        })
    return rows


def memory(url):
    found = dict(re.findall(r"^verbatim_(weight_bytes|context_bytes) (\S+)$", get(url, "/metrics"), re.M))
    return sum(float(v) for v in found.values())


def markdown(a, rows, props, bytes_, n_prompts):
    lines = ["# Draft lengths", "",
             f"`{props['model']}`, drafts by {props['drafter']}, {n_prompts} prompts of {a.n} tokens, temperature {a.temperature:g}, seed {a.seed}, "
             f"{a.rounds} rounds. Weights and contexts: {bytes_ / 1e6:.1f} MB.", "",
             "| gamma | tokens/s | speed-up | first token (ms) | latency (ms) | acceptance | same text |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        acceptance = "" if r["acceptance"] is None else f"{100 * r['acceptance']:.1f} %"
        lines.append(f"| {r['gamma']} | {r['rate']:.1f} | {r['speed_up']:.2f} | {r['first_ms']:.1f} | {r['latency_ms']:.1f} | {acceptance} | "
                     f"{'yes' if r['identical'] else 'NO'} |")
    best = max(rows, key=lambda r: r["speed_up"])
    lines += ["", f"Best: {best['gamma']}, {best['speed_up']:.2f} times the target alone.", ""]
    return "\n".join(lines)


def svg(rows):
    """Speed-up over length, as bars, with a line at 1."""
    width, height, left, bottom = 90 * len(rows) + 80, 300, 50, 40
    top = max(max(r["speed_up"] for r in rows) * 1.15, 1.2)
    y = lambda value: height - bottom - (height - bottom - 20) * value / top  # noqa: E731
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for i, r in enumerate(rows):
        x = left + 15 + 90 * i
        out += [f'<rect x="{x}" y="{y(r["speed_up"]):.1f}" width="60" height="{height - bottom - y(r["speed_up"]):.1f}" fill="#4a7ab5"/>',
                f'<text x="{x + 30}" y="{y(r["speed_up"]) - 5:.1f}" text-anchor="middle">{r["speed_up"]:.2f}</text>',
                f'<text x="{x + 30}" y="{height - bottom + 18}" text-anchor="middle">{r["gamma"]}</text>']
    out += [f'<line x1="{left}" x2="{width - 10}" y1="{y(1):.1f}" y2="{y(1):.1f}" stroke="#b33" stroke-dasharray="5 4"/>',
            f'<text x="{left - 8}" y="{y(1) + 4:.1f}" text-anchor="end">1.0</text>',
            f'<text x="{width / 2:.0f}" y="{height - 6}" text-anchor="middle">tokens drafted per step; times the target alone</text>', "</svg>", ""]
    return "\n".join(out)


def length(text):
    return text if text == "auto" else int(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("url", nargs="?", default="http://127.0.0.1:8000/v1")
    p.add_argument("--prompts", default=HERE / "prompts.txt", help="one a line, \\n for a line break")
    p.add_argument("--gammas", default="0,2,3,5,7,auto")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("-n", type=int, default=64)
    p.add_argument("--temperature", type=float, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", default=".")
    a = p.parse_args()
    a.gammas = [length(g) for g in a.gammas.split(",")]
    if 0 not in a.gammas:
        a.gammas.insert(0, 0)
    lines = pathlib.Path(a.prompts).read_text(encoding="utf-8").splitlines()
    prompts = [line.replace("\\n", "\n") for line in lines if line.strip()]
    props = json.loads(get(a.url, "/props"))
    rows = summary(a, measure(a, prompts))
    text = markdown(a, rows, props, memory(a.url), len(prompts))
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "matrix.md").write_text(text, encoding="utf-8")
    (out / "matrix.svg").write_text(svg(rows), encoding="utf-8")
    print(text)
    sys.exit(not all(r["identical"] for r in rows))


if __name__ == "__main__":
    main()
