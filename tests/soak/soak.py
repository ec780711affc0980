#!/usr/bin/env python3
"""Clients of `verbatim serve`, many at a time, for a while: every text must be what the same request gives alone.

    soak.py URL PID [--seconds 10] [--clients 8] [--requests 48] [--seed 1]

URL ends in /v1; PID is the server's, whose memory is watched (0: not watched). First every request of a random list (presets,
lengths, seeds, temperatures, accept rules, streamed or not) is sent alone. Then the clients send them at random, some hang up in the
middle, and each text, finish reason and set of token counts is compared. --keep FILE writes requests and answers, --again FILE asks a
server that was started anew for all of them, half of them twice in a row, so that the second finds its prompt in a cache.
Closing line: N passed, N failed.
"""
import argparse
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

OPENINGS = ["Once upon a time", "The king had three sons, and", "In the deep forest", "A poor miller", "There was once a princess who",
            "Far away, behind the mountains, stood"]


def some_request(rng, presets):
    """A random request that has one right answer."""
    body = {"model": rng.choice(presets), "prompt": " ".join(rng.choices(OPENINGS, k=rng.randint(1, 6))),
            "max_tokens": rng.choice([1, 5, 24, 64, 160]), "temperature": rng.choice([0, 0.5, 0.8, 1.0]),
            "seed": rng.randrange(1 << 31), "stream": rng.random() < 0.5, "accept": rng.choice(["coupled", "coupled", "rejection", "block"])}
    if rng.random() < 0.2:
        body["stop"] = [" the"]
    return body


class Gone(Exception):
    """We hung up."""


def ask(url, body, hang_up_after=None):
    """(text, finish_reason, completion_tokens) of a request; Gone if hung up after so many events of a stream."""
    where = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=120)
    try:
        more = {"stream_options": {"include_usage": True}} if body["stream"] else {}
        connection.request("POST", where.path + "/completions", json.dumps({**body, **more}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {answer.read()[:300]!r}")
        if not body["stream"]:
            whole = json.load(answer)
            return whole["choices"][0]["text"], whole["choices"][0]["finish_reason"], whole["usage"]["completion_tokens"]
        text, reason, tokens, events = "", None, None, 0
        for line in answer:
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                return text, reason, tokens
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(f"an error in the stream: {chunk['error']}")
            for choice in chunk["choices"]:
                text += choice["text"]
                reason = choice["finish_reason"] or reason
            tokens = chunk["usage"]["completion_tokens"] if chunk.get("usage") else tokens
            events += 1
            if hang_up_after is not None and events >= hang_up_after:
                raise Gone
        raise RuntimeError("the stream ended without [DONE]")
    finally:
        connection.close()


def resident(pid):
    """Kilobytes of the process in memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Clients:
    """What the clients share: the right answers, and what happened."""

    def __init__(self, url, bodies, alone, end):
        self.url, self.bodies, self.alone, self.end = url, bodies, alone, end
        self.lock = threading.Lock()
        self.whole = self.gone = 0
        self.wrong = []

    def run(self, seed):
        rng = random.Random(seed)
        while time.monotonic() < self.end:
            i = rng.randrange(len(self.bodies))
            hang_up = rng.randint(1, 8) if self.bodies[i]["stream"] and rng.random() < 0.15 else None
            try:
                seen = ask(self.url, self.bodies[i], hang_up)
            except Gone:
                with self.lock:
                    self.gone += 1
                continue
            except Exception as e:  # lost: whatever the reason, it counts
                seen = f"{type(e).__name__}: {e}"
            with self.lock:
                self.whole += 1
                if seen != self.alone[i]:
                    self.wrong.append((self.bodies[i], self.alone[i], seen))


def again(url, path):
    """After a restart: the same requests have the same answers."""
    with open(path, encoding="utf-8") as f:
        kept = json.load(f)
    wrong = 0
    for i, (body, right) in enumerate(kept):
        for _ in range(1 + i % 2):
            seen = ask(url, body)
            if list(seen) != right:
                wrong += 1
                print(f"# {json.dumps(body)}\n#   before {right}\n#   now    {list(seen)}")
    automatic = sum(body["model"].endswith(":auto") for body, _ in kept)
    good = not wrong and automatic > 0
    print(f"{'' if good else 'not '}ok 1 - {len(kept)} answers after a restart, {automatic} of them with auto; other than before: {wrong}")
    print(f"{int(good)} passed, {int(not good)} failed")
    return not good


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("url")
    p.add_argument("pid", type=int)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--requests", type=int, default=48)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--most-growth", type=float, default=0.05, help="of the memory, from a quarter of the time on")
    p.add_argument("--keep", help="write the requests and their answers to this file")
    p.add_argument("--again", help="ask for those of this file")
    a = p.parse_args()
    if a.again:
        sys.exit(again(a.url, a.again))
    where = urllib.parse.urlparse(a.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request("GET", where.path + "/models")
    presets = [m["id"] for m in json.load(connection.getresponse())["data"]]
    connection.close()
    rng = random.Random(a.seed)
    bodies = [some_request(rng, presets) for _ in range(a.requests)]
    print(f"# seed {a.seed}, {a.requests} different requests over {' '.join(presets)}, {a.clients} clients, {a.seconds:g} s", flush=True)
    alone = [ask(a.url, body) for body in bodies]
    if a.keep:
        with open(a.keep, "w", encoding="utf-8") as f:
            json.dump(list(zip(bodies, alone)), f)
    start = time.monotonic()
    clients = Clients(a.url, bodies, alone, start + a.seconds)
    threads = [threading.Thread(target=clients.run, args=(a.seed + 1 + k,)) for k in range(a.clients)]
    for t in threads:
        t.start()
    early = late = resident(a.pid) if a.pid else 0
    quarter = start + a.seconds / 4
    while any(t.is_alive() for t in threads):
        time.sleep(0.2)
        if a.pid:
            late = resident(a.pid)
            if time.monotonic() < quarter:
                early = late
    for t in threads:
        t.join()
    checks = [(f"{clients.whole} answers, {clients.gone} hung up on; wrong or lost: {len(clients.wrong)}", clients.whole > 0 and not clients.wrong),
              (f"memory {early} kB after a quarter of the time, {late} kB at the end", late <= early * (1 + a.most_growth))]
    for body, right, seen in clients.wrong[:3]:
        print(f"# {json.dumps(body)}\n#   alone {right}\n#   now   {seen}")
    for i, (name, good) in enumerate(checks):
        print(f"{'' if good else 'not '}ok {i + 1} - {name}")
    bad = sum(not good for _, good in checks)
    print(f"{len(checks) - bad} passed, {bad} failed")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
