#!/usr/bin/env python3
"""Byte-level BPE: trains a vocabulary on a corpus, encodes and decodes with it.

  tokenizer.py CORPUS.txt OUT.json [--vocab 4096]

The form is the one that GGUF calls `gpt2`: every byte is written as one printable character (the
byte-to-unicode table published with GPT-2), tokens are strings of those characters, merges are "left right"
pairs in order of rank. Text is first cut into words by the pattern published with GPT-2; no merge crosses a
cut. Ids 0..255 are the bytes, then one id for each merge in order, and last the special token <|endoftext|>,
which both opens and separates documents.

Documents of a corpus file are separated by lines that hold only <|endoftext|>. Needs the Python module
`regex`, because the pattern uses Unicode classes.
"""
import argparse
import collections
import hashlib
import heapq
import json
import time

import numpy as np
import regex

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPECIAL = "<|endoftext|>"


def byte_characters():
    """The 256 characters that stand for the bytes: printable ones stand for themselves, the others for 256,
    257, ..."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, spare = {b: chr(b) for b in plain}, 256
    for b in range(256):
        if b not in table:
            table[b], spare = chr(spare), spare + 1
    return table


def documents(path):
    """The documents of a corpus file, without white space at either end."""
    with open(path, encoding="utf-8", newline="") as f:
        parts = f.read().split(SPECIAL)
    return [p.strip() for p in parts if p.strip()]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Pairs:
    """Counts of adjacent token pairs over a table of words, kept up to date while pairs are merged.

    words[i] is a list of tokens that occurs freq[i] times; where[pair] holds the words that contain (or once
    contained) the pair. The heap holds stale entries too: one is good only if its count is still the pair's
    count.
    """

    def __init__(self, words, freq):
        self.words, self.freq = words, freq
        self.count, self.where = collections.Counter(), collections.defaultdict(set)
        for i, w in enumerate(words):
            for pair in zip(w, w[1:]):
                self.count[pair] += freq[i]
                self.where[pair].add(i)
        self.heap = [(-n, pair) for pair, n in self.count.items()]
        heapq.heapify(self.heap)

    def best(self):
        """The most frequent pair; of equals, the first in code point order. None when no pair is left."""
        while self.heap:
            n, pair = heapq.heappop(self.heap)
            if self.count[pair] == -n and n < 0:
                return pair
        return None

    def merge(self, pair):
        left, right = pair
        touched = set()
        for i in self.where.pop(pair):
            old, new, k = self.words[i], [], 0
            while k < len(old):
                if k + 1 < len(old) and old[k] == left and old[k + 1] == right:
                    new.append(left + right)
                    k += 2
                else:
                    new.append(old[k])
                    k += 1
            if len(new) == len(old):
                continue
            for p in zip(old, old[1:]):
                self.count[p] -= self.freq[i]
                touched.add(p)
            for p in zip(new, new[1:]):
                self.count[p] += self.freq[i]
                self.where[p].add(i)
                touched.add(p)
            self.words[i] = new
        for p in touched:
            if self.count[p] > 0:
                heapq.heappush(self.heap, (-self.count[p], p))


def train(path, vocab):
    """Learns vocab - 257 merges. Returns the merges in order of rank."""
    table, seen = byte_characters(), collections.Counter()
    for doc in documents(path):
        seen.update(regex.findall(PATTERN, doc))
    items = sorted(seen.items())
    words = [[table[b] for b in w.encode("utf-8")] for w, _ in items]
    pairs, merges = Pairs(words, [n for _, n in items]), []
    while len(merges) < vocab - 257:
        pair = pairs.best()
        if pair is None:
            raise ValueError(f"the corpus has only {len(merges)} pairs to merge")
        merges.append(pair)
        pairs.merge(pair)
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.table = byte_characters()
        self.merges = [tuple(m) for m in merges]
        self.tokens = [self.table[b] for b in range(256)] + [a + b for a, b in self.merges] + [SPECIAL]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            raise ValueError("two merges give the same token")
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.eot = len(self.tokens) - 1
        self.byte = {c: b for b, c in self.table.items()}
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            return cls([m.split(" ") for m in json.load(f)["merges"]])

    def word(self, text):
        """Ids of one word of the pattern: the adjacent pair of lowest rank is merged until none is known."""
        if text in self.cache:
            return self.cache[text]
        parts = [self.table[b] for b in text.encode("utf-8")]
        while len(parts) > 1:
            rank, at = min((self.rank.get(p, len(self.rank)), i) for i, p in enumerate(zip(parts, parts[1:])))
            if rank == len(self.rank):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        self.cache[text] = out = [self.ids[p] for p in parts]
        return out

    def encode(self, text):
        """Ids of plain text; <|endoftext|> inside it is not special here."""
        return [i for w in regex.findall(PATTERN, text) for i in self.word(w)]

    def decode(self, ids):
        """Text of ids. Bytes that are no UTF-8 become U+FFFD; <|endoftext|> is written out on a line of its
        own."""
        out = b"".join(
            b"\n" + SPECIAL.encode() + b"\n" if i == self.eot else bytes(self.byte[c] for c in self.tokens[i])
            for i in ids
        )
        return out.decode("utf-8", errors="replace")

    def encode_corpus(self, path):
        """(ids of the whole file as uint16, its size in bytes without separators): each document after
        <|endoftext|>."""
        out, size = [], 0
        for doc in documents(path):
            out.append(self.eot)
            out.extend(self.encode(doc))
            size += len(doc.encode("utf-8"))
        return np.array(out + [self.eot], dtype=np.uint16), size


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("corpus")
    ap.add_argument("out")
    ap.add_argument("--vocab", type=int, default=4096)
    a = ap.parse_args()
    start = time.time()
    merges = train(a.corpus, a.vocab)
    tok = Tokenizer(merges)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(
            {"pattern": PATTERN, "corpus_sha256": sha256(a.corpus), "merges": [" ".join(m) for m in merges]},
            f,
            ensure_ascii=False,
            indent=0,
        )
    ids, size = tok.encode_corpus(a.corpus)
    for doc in documents(a.corpus)[:50]:
        if tok.decode(tok.encode(doc)) != doc:
            raise SystemExit("decoding does not give the text back")
    print(
        f"{len(tok.tokens)} tokens, {len(ids)} tokens in the corpus, {size / len(ids):.3f} bytes each, "
        f"{time.time() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
