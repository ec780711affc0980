#!/usr/bin/env python3
"""What badly behaved clients send `verbatim serve`, and how they leave: nothing may bring it down or go wrong for others.

    kill.py URL     (ends in /v1)

A request cut after every few bytes and hung up on, politely and by reset; streams left after 0, 1, 2, ... events; malformed HTTP;
JSON cut anywhere, damaged, of wrong types. Whatever is answered must be a whole HTTP response with the right status. After each
part the server must still give the text that it gave at first, with no request left running. Closing line: N passed, N failed.
"""
import json
import random
import re
import socket
import struct
import sys
import time
import urllib.parse

where = urllib.parse.urlparse(sys.argv[1])
count = bad = 0


def ok(name, good, seen=""):
    global count, bad
    count += 1
    bad += not good
    print(f"{'' if good else 'not '}ok {count} - {name}" + ("" if good else f"\n#   {seen!r}"[:500]), flush=True)


def dial():
    s = socket.create_connection((where.hostname, where.port), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def reset(s):
    """Closes so that the other side sees a reset, not an end."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def http(body, path="/completions", method="POST", more=""):
    head = f"{method} {where.path}{path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n{more}"
    return head.encode() + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def answer(raw, half_close=False):
    """(status, body) of raw bytes sent; status 0 if the connection just ended."""
    with dial() as s:
        try:
            s.sendall(raw)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent: the answer says why
        data = b""
        try:
            while chunk := s.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
    m = re.match(rb"HTTP/1\.[01] (\d{3}) ", data)
    return (int(m[1]) if m else 0), data.partition(b"\r\n\r\n")[2]


GOOD = {"prompt": "Once upon a time", "max_tokens": 24, "seed": 7, "temperature": 0.8}
STREAM = {**GOOD, "stream": True, "max_tokens": 200}
right = json.loads(answer(http(json.dumps(GOOD).encode()))[1])["choices"][0]["text"]


def alive(part):
    """The same text as at first, and nobody left in a slot."""
    status, body = answer(http(json.dumps(GOOD).encode()))
    ok(f"after {part}: the same text", status == 200 and json.loads(body)["choices"][0]["text"] == right, body)
    for _ in range(100):
        metrics = answer(http(b"", "/../metrics", "GET").replace(where.path.encode() + b"/../metrics", b"/metrics"))[1].decode()
        left = [float(x) for x in re.findall(r"^verbatim_requests_(?:running|queued|waiting)\S* (\S+)$", metrics, re.M)]
        if left and not any(left):
            break
        time.sleep(0.1)
    ok(f"after {part}: nobody is left running", left and not any(left), metrics[:2000])


def cut_requests():
    for body in GOOD, STREAM:
        raw = http(json.dumps(body).encode())
        for n in list(range(0, len(raw), 7)) + [len(raw) - 1, len(raw)]:
            for leave in socket.socket.close, reset:
                s = dial()
                s.sendall(raw[:n])
                leave(s)
    alive("requests cut anywhere and hung up on")
    raw = http(json.dumps(GOOD).encode())
    statuses = {answer(raw[:n], half_close=True)[0] for n in range(1, len(raw), 11)}
    ok("cut requests whose sender listens on get 4xx or nothing", all(s == 0 or 400 <= s < 500 for s in statuses), statuses)


def left_streams():
    for n in range(12):
        for leave in socket.socket.close, reset:
            s = dial()
            s.sendall(http(json.dumps(STREAM).encode()))
            data = b""
            while data.count(b"data: ") < n:
                chunk = s.recv(200)
                if not chunk:
                    break
                data += chunk
            leave(s)
    alive("streams left after 0 to 11 events")
    quiet = dial()  # reads nothing for a while
    quiet.sendall(http(json.dumps(STREAM).encode()))
    alive("a reader that does not read")
    reset(quiet)


def malformed_http():
    good = json.dumps(GOOD).encode()
    host = f"Host: {where.netloc}\r\n"
    post = f"POST {where.path}/completions HTTP/1.1\r\n{host}Content-Type: application/json\r\nConnection: close\r\n"
    cases = [
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", {0, 400, 405, 505}),
        ("words", b"hello there\r\n\r\n", {0, 400, 405, 505}),
        ("a version from the future", f"GET /health HTTP/9.9\r\n{host}\r\n".encode(), {0, 400, 505}),
        ("no Host", b"GET /health HTTP/1.1\r\n\r\n", {400, 403}),
        ("a header without a colon", f"GET /health HTTP/1.1\r\n{host}nonsense\r\nConnection: close\r\n\r\n".encode(), {0, 200, 400}),
        ("a NUL in a header", f"GET /health HTTP/1.1\r\n{host}X: a\0b\r\nConnection: close\r\n\r\n".encode(), {0, 200, 400}),
        ("a negative length", (post + "Content-Length: -5\r\n\r\n").encode() + good, {0, 400, 413}),
        ("a length of letters", (post + "Content-Length: many\r\n\r\n").encode() + good, {0, 400, 413}),
        ("a length beyond 64 bits", (post + "Content-Length: 99999999999999999999999\r\n\r\n").encode() + good, {0, 400, 413}),
        ("a huge length", (post + "Content-Length: 9000000000000000000\r\n\r\n").encode() + good, {0, 413}),
        ("chunks that are none", (post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n").encode(), {0, 400}),
        ("a chunk that ends the stream", (post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n").encode(), {0, 400, 413}),
        ("another method", f"BREW {where.path}/completions HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode(), {405}),
        ("GET where POST belongs", http(b"", method="GET"), {405}),
        ("an unknown path", http(good, "/nothing"), {404}),
        ("a path out of the tree", f"GET /../../../../etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode(), {400, 404}),
        ("the same, escaped", f"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode(), {400, 404}),
        ("a header of a megabyte", f"GET /health HTTP/1.1\r\n{host}X: {'a' * 1000000}\r\n\r\n".encode(), {0, 413, 431}),
        ("a path of a megabyte", f"GET /{'a' * 1000000} HTTP/1.1\r\n{host}\r\n".encode(), {0, 413, 414, 431}),
        ("two lengths", (post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n").encode() + good, {0, 400}),
    ]
    for name, raw, statuses in cases:
        status, body = answer(raw, half_close=True)
        ok(f"malformed HTTP, {name}: {status or 'closed'}", status in statuses and b"root:" not in body, (status, body))
    alive("malformed HTTP")


def malformed_json():
    whole = json.dumps({**GOOD, "stop": ["x"], "logit_bias": {"5": 1}, "stream_options": {"include_usage": True}, "stream": False})
    seen = {}
    for n in range(len(whole)):  # cut
        seen.setdefault(answer(http(whole[:n].encode()))[0], whole[:n])
    ok("JSON cut anywhere: 400", set(seen) == {400}, seen)
    rng = random.Random(1)
    seen = {}
    for _ in range(300):  # damaged: may stay a request
        text = bytearray(whole.encode())
        for _ in range(rng.randint(1, 4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        seen.setdefault(answer(http(bytes(text)))[0], bytes(text))
    ok("JSON with damaged bytes: 200 or 4xx", set(seen) <= {200, 400, 404, 422}, seen)
    wrong = {"prompt": [5, {}, None], "max_tokens": [-2, "x", 1.5, 1e99, []], "temperature": ["hot", -1, 1e300, {}],
             "seed": ["x", [], 1.5], "stop": [5, [5], {}], "n": [0, -1, 10**9, "x"], "logit_bias": [5, {"x": 1}, {"5": "y"}, {"999999999": 1}],
             "stream": ["yes", 1], "top_p": [0, 2, "x"], "logprobs": ["x", -1, 10**9], "stream_options": [5, []], "model": [5, {}]}
    for field, values in wrong.items():
        seen = {}
        for v in values:
            seen.setdefault(answer(http(json.dumps({**GOOD, field: v}).encode())), v)
        ok(f"a wrong {field}: 400 or 404 and an error", all(s in (400, 404) and b'"error"' in body for s, body in seen), seen)
    for name, body in ("nothing", b""), ("a list", b"[]"), ("a number", b"5"), ("deep nesting", b"[" * 100000), ("not UTF-8", b'{"prompt": "\xff"}'), (
            "two objects", whole.encode() * 2), ("a doubled key", b'{"prompt": "a", "prompt": "b"}'):
        status, text = answer(http(body))
        ok(f"{name} as the body: 400", status == 400 and b'"error"' in text, (status, text))
    alive("malformed JSON")


for part in cut_requests, left_streams, malformed_http, malformed_json:
    part()
print(f"1..{count}\n{count - bad} passed, {bad} failed")
sys.exit(bad > 0)
