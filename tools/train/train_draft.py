#!/usr/bin/env python3
"""Trains the draft model to say what the target says (distillation).

  train_draft.py --target TARGET/best.pt --sampled SAMPLED.npy --corpus TALES.txt --valid TALES-VALID.txt
                 --tokenizer TOKENIZER.json --out FOLDER --minutes 30

Speculation accepts a drafted token with probability sum over i of min(p_i, q_i) (target p, draft q), so that
is what the draft is trained for: first KL(p || q) over the whole vocabulary, which learns fast, later mostly
the total variation 1 - sum min(p, q) itself. The text is the corpus and, where the draft will be used, text
sampled from the target.

The target's last hidden states are computed when a window is first met and kept (512 bytes a token), so that
later epochs cost only the target's output head.
"""
import argparse

import numpy as np
import torch

import loop
from losses import cross_entropy, distil
from model import Config, Llama
from sample import load_model
from train_target import common_options, load_ids


class Taught:
    """Windows of text (count, context) with the target's last hidden states, filled in at first use."""

    def __init__(self, ids, target):
        self.ids, self.target = ids, target
        self.hidden = torch.zeros(*ids.shape, target.c.dim, dtype=torch.bfloat16)
        self.known = np.zeros(len(ids), dtype=bool)

    @torch.no_grad()
    def get(self, rows):
        """(ids (n, context), hidden states (n*context, dim)) of the windows in rows."""
        ids = torch.from_numpy(self.ids[rows].astype(np.int64))
        new = ~self.known[rows]
        if new.any():
            self.hidden[rows[new]] = self.target(ids[torch.from_numpy(new)]).view(-1, *self.hidden.shape[1:])
            self.known[rows[new]] = True
        return ids, self.hidden[rows].view(-1, self.hidden.shape[-1])


class DraftTask:
    """Every worker has its own share of the windows, so that none computes hidden states that another has."""

    def __init__(self, a, model, target, train, sampled, valid, rank, workers):
        self.a, self.model, self.tokens_per_step, self.key = a, model, a.batch, None
        self.rank, self.workers = rank, workers
        count = len(train) // a.context
        ids = train[: count * a.context].reshape(count, a.context)
        if sampled is not None:
            ids = np.concatenate([ids, sampled.reshape(-1, a.context)])
        self.data = Taught(ids[rank::workers], target)
        self.head = target.token_embd.detach().bfloat16()
        self.valid = loop.validation_windows(valid, 32, a.context)[rank::workers].numpy()
        self.held_out = Taught(self.valid[:, :-1], target)

    def rows(self, step):
        """The windows of a step: every epoch visits all of them once, in a new order."""
        n = self.a.batch // self.a.context // self.workers
        steps = len(self.data.ids) // n
        if step // steps != self.key:
            self.key = step // steps
            self.order = np.random.default_rng([self.a.seed, self.key, self.rank]).permutation(
                len(self.data.ids)
            )
        return np.sort(self.order[step % steps * n : (step % steps + 1) * n])

    def tv(self, progress):
        """Weight of the total variation: 0 up to --tv-from, then rising to --tv within a tenth of the run."""
        return self.a.tv * min(1.0, max(0.0, (progress - self.a.tv_from) / 0.1))

    def loss(self, step, progress):
        ids, hidden = self.data.get(self.rows(step))
        return distil(self.model(ids), self.model.token_embd, hidden, self.head, self.tv(progress))

    @torch.no_grad()
    def validate(self):
        counts, ce, n = [], 0.0, len(self.valid)
        for i in range(0, n, 8):
            rows = np.arange(i, min(i + 8, n))
            ids, hidden = self.held_out.get(rows)
            h = self.model(ids)
            distil(h, self.model.token_embd, hidden, self.head, 1.0, counts)
            ce += cross_entropy(
                h, self.model.token_embd, torch.from_numpy(self.valid[rows, 1:]).reshape(-1)
            ).item() * len(rows)
        overlap = sum(counts) / self.valid[:, 1:].size
        return {"loss": 1 - overlap, "accept": overlap, "ce": ce / n}


@torch.no_grad()
def borrow_embedding(model, target):
    """Starts the draft's embedding as the target's, projected on its leading principal directions."""
    e = target.token_embd.double()
    _, _, directions = torch.linalg.svd(e - e.mean(0), full_matrices=False)
    x = e @ directions[: model.c.dim].T
    model.token_embd.copy_((x * (0.03 / x.std())).float())


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common_options(ap)
    ap.set_defaults(context=512, batch=2048, every=200)
    ap.add_argument("--target", required=True)
    ap.add_argument(
        "--sampled", help="ids written by sample.py; their length must be a multiple of --context"
    )
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--tv", type=float, default=0.8)
    ap.add_argument("--tv-from", type=float, default=0.5)
    ap.add_argument("--dim", type=int, default=128)
    ap.add_argument("--layers", type=int, default=3)
    ap.add_argument("--heads", type=int, default=4)
    ap.add_argument("--kv-heads", type=int, default=2)
    ap.add_argument("--ffn", type=int, default=416)
    a = ap.parse_args()
    if not a.steps and not a.minutes:
        ap.error("give --steps or --minutes")
    loop.setup(a.seed)
    tok, train, valid, record = load_ids(a)
    target, state = load_model(a.target)
    for p in target.parameters():
        p.requires_grad_(False)
    c = Config(a.dim, a.layers, a.heads, a.kv_heads, a.ffn, len(tok.tokens), target.c.context)
    model = Llama(c)
    borrow_embedding(model, target)
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {c.multiply_adds()} multiply-adds a token, target "
        f"{target.c.multiply_adds()} ({target.c.multiply_adds() / c.multiply_adds():.3f} times as many), target at step "
        f"{state['step']}",
        flush=True,
    )
    sampled = np.load(a.sampled) if a.sampled else None
    loop.start(
        lambda rank, workers: DraftTask(a, model, target, train, sampled, valid, rank, workers),
        model,
        a,
        record,
    )


if __name__ == "__main__":
    main()
