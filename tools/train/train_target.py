#!/usr/bin/env python3
"""Trains the target model on a corpus by next-token cross-entropy.

  train_target.py --corpus TALES.txt --valid TALES-VALID.txt --tokenizer TOKENIZER.json --out FOLDER
                  --minutes 60

Give --steps, --minutes or both; whichever runs out first ends the run. Batches have --batch tokens, in
windows of --context tokens, and of --long-context tokens in the last part of the run, so that the model has
seen all the positions it declares.
"""
import argparse

import torch

import loop
from losses import cross_entropy
from model import Config, Llama
from tokenizer import Tokenizer, sha256


def load_ids(a):
    """(tokenizer, training ids, held-out ids, what the run is made from)."""
    tok = Tokenizer.load(a.tokenizer)
    train, _ = tok.encode_corpus(a.corpus)
    valid, size = tok.encode_corpus(a.valid)
    record = {
        "corpus_sha256": sha256(a.corpus),
        "valid_sha256": sha256(a.valid),
        "tokenizer_sha256": sha256(a.tokenizer),
        "options": vars(a),
    }
    print(
        f"corpus {record['corpus_sha256']}\nvalid  {record['valid_sha256']}\n{len(train)} training tokens, "
        f"{len(valid)} held-out tokens, {size / len(valid):.3f} bytes each",
        flush=True,
    )
    return tok, train, valid, record


def common_options(ap):
    ap.add_argument("--corpus", required=True)
    ap.add_argument("--valid", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--resume", action="store_true", help="go on from OUT/last.pt if it is there")
    ap.add_argument("--steps", type=int, default=0)
    ap.add_argument("--minutes", type=float, default=0.0)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--workers", type=int, default=2, help="processes that share each batch, one thread each")
    ap.add_argument("--batch", type=int, default=4096, help="tokens a step")
    ap.add_argument("--context", type=int, default=256)
    ap.add_argument("--warmup", type=int, default=150)
    ap.add_argument("--weight-decay", type=float, default=0.1)
    ap.add_argument("--every", type=int, default=100, help="steps between validations and checkpoints")


class TargetTask:
    def __init__(self, a, model, train, valid, rank, workers):
        self.a, self.model, self.tokens_per_step, self.rank, self.workers = a, model, a.batch, rank, workers
        self.windows = loop.Windows(train, a.seed)
        self.valid = loop.validation_windows(valid, 64, a.context)[rank::workers]

    def loss(self, step, progress):
        context = self.a.long_context if progress >= self.a.long_from else self.a.context
        x, y = self.windows.batch(step, self.a.batch // context, context, self.rank, self.workers)
        return cross_entropy(self.model(x), self.model.token_embd, y.reshape(-1))

    @torch.no_grad()
    def validate(self):
        total = 0.0
        for w in self.valid.split(16):
            total += cross_entropy(
                self.model(w[:, :-1]), self.model.token_embd, w[:, 1:].reshape(-1)
            ).item() * len(w)
        return {"loss": total / len(self.valid)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common_options(ap)
    ap.add_argument("--lr", type=float, default=2.5e-3)
    ap.add_argument("--long-context", type=int, default=512)
    ap.add_argument("--long-from", type=float, default=0.8, help="progress at which --long-context begins")
    ap.add_argument("--dim", type=int, default=256)
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--heads", type=int, default=4)
    ap.add_argument("--kv-heads", type=int, default=2)
    ap.add_argument("--ffn", type=int, default=1024)
    a = ap.parse_args()
    if not a.steps and not a.minutes:
        ap.error("give --steps or --minutes")
    loop.setup(a.seed)
    tok, train, valid, record = load_ids(a)
    c = Config(a.dim, a.layers, a.heads, a.kv_heads, a.ffn, len(tok.tokens), a.long_context)
    model = Llama(c)
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {c.multiply_adds()} multiply-adds a token",
        flush=True,
    )
    loop.start(lambda rank, workers: TargetTask(a, model, train, valid, rank, workers), model, a, record)


if __name__ == "__main__":
    main()
