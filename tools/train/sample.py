#!/usr/bin/env python3
"""Text from a model: batched sampling with a key/value cache.

  sample.py CHECKPOINT.pt OUT.npy --corpus TALES.txt --tokenizer TOKENIZER.json --sequences 2048 --length 512

Writes token ids (sequences, length) for training the draft where it will be used: on the target's own text.
Each sequence starts with --prompt tokens of the corpus (a quarter of them with the beginning of a tale);
temperatures take turns.
"""
import argparse

import numpy as np
import torch

import loop
from model import Cache, Config, Llama
from tokenizer import Tokenizer


def load_model(path):
    """(model, checkpoint) of a file that loop.py wrote."""
    s = torch.load(path)
    c = dict(s["config"])
    model = Llama(Config(**c))
    model.load_state_dict(s["model"])
    return model, s


def choose(logits, temperature, generator):
    """Next ids (batch,) from logits (batch, vocab): the softmax at a temperature, or the largest at
    temperature 0."""
    if temperature == 0:
        return logits.argmax(-1)
    p = torch.softmax(logits.float() / temperature, -1)
    return torch.multinomial(p, 1, generator=generator)[:, 0]


@torch.no_grad()
def generate(model, prompts, length, temperature, seed):
    """Continues prompts (batch, n) to (batch, length). At temperature 0 it is greedy."""
    g = torch.Generator().manual_seed(seed)
    n = prompts.shape[1]
    out = torch.zeros(len(prompts), length, dtype=torch.int64)
    out[:, :n] = prompts
    cache = Cache(model.c, len(prompts), torch.bfloat16 if model.fast else model.token_embd.dtype, length)
    logits = model.logits(prompts, cache, 0)[:, -1]
    for at in range(n, length):
        out[:, at] = choose(logits, temperature, g)
        if at + 1 < length:
            logits = model.logits(out[:, at : at + 1], cache, at)[:, -1]
    return out


def corpus_prompts(ids, eot, count, length, rng):
    """count windows of the corpus (count, length): every fourth starts at a document, the others anywhere."""
    docs = np.flatnonzero(ids == eot)
    docs = docs[docs < len(ids) - length]
    starts = rng.integers(len(ids) - length, size=count)
    starts[::4] = rng.choice(docs, size=len(starts[::4]))
    return torch.from_numpy(np.stack([ids[s : s + length] for s in starts]).astype(np.int64))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint")
    ap.add_argument("out")
    ap.add_argument("--corpus", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--sequences", type=int, default=2048)
    ap.add_argument("--length", type=int, default=512)
    ap.add_argument("--prompt", type=int, default=24)
    ap.add_argument("--batch", type=int, default=128)
    ap.add_argument("--temperatures", default="1,0.8,1,0.8,0")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    loop.setup(a.seed, a.threads)
    tok = Tokenizer.load(a.tokenizer)
    ids, _ = tok.encode_corpus(a.corpus)
    rng = np.random.default_rng(a.seed)
    model, _ = load_model(a.checkpoint)
    temperatures, parts = [float(t) for t in a.temperatures.split(",")], []
    for i in range(0, a.sequences, a.batch):
        t = temperatures[i // a.batch % len(temperatures)]
        prompts = corpus_prompts(ids, tok.eot, a.batch, a.prompt, rng)
        parts.append(
            generate(model, prompts, a.length, t, a.seed + i).to(torch.int16).numpy().astype(np.uint16)
        )
        print(
            f"{i + a.batch} sequences, temperature {t}: {tok.decode(parts[-1][0].tolist())[:300]!r}",
            flush=True,
        )
    np.save(a.out, np.concatenate(parts))


if __name__ == "__main__":
    main()
