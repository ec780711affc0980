"""The training loop shared by target and draft: AdamW, schedule, checkpoints, progress lines, resuming.

A task offers `model`, `loss(step, progress)` (a scalar to minimise), `validate()` (a dict of figures, whose "loss" decides
which checkpoint is best) and `tokens_per_step`. Progress runs from 0 to 1 and is the larger of step/steps and
elapsed/minutes, so that a run on a busy machine still ends in time with its learning rate fully lowered.
"""
import ctypes
import json
import math
import os
import random
import time

import numpy as np
import torch


def setup(seed, threads):
    """Seeds, thread count, and a C library that keeps freed memory: fresh pages for each step would cost a third of it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)              # M_MMAP_MAX: never mmap
        libc.mallopt(-1, 2**31 - 1)      # M_TRIM_THRESHOLD: never give memory back
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


class Windows:
    """Training batches: every epoch cuts the tokens into windows at a new offset and visits them in a new order."""

    def __init__(self, ids, seed):
        self.ids, self.seed, self.key = ids, seed, None

    def batch(self, step, batch, context):
        """(inputs, targets) of a step, both (batch, context); depends on the arguments and the seed only."""
        steps = (len(self.ids) - 1 - context) // context // batch
        key = (step // steps, batch, context)
        if key != self.key:
            rng = np.random.default_rng([self.seed, *key])
            self.key, self.offset = key, int(rng.integers(context))
            self.order = rng.permutation(steps * batch)
        i = step % steps * batch
        rows = [self.ids[(s := self.offset + int(k) * context):s + context + 1] for k in self.order[i:i + batch]]
        rows = torch.from_numpy(np.stack(rows).astype(np.int64))
        return rows[:, :-1], rows[:, 1:]


def validation_windows(ids, count, context):
    """count windows (count, context+1) spread evenly over the held-out tokens."""
    starts = np.linspace(0, len(ids) - context - 1, count).astype(int)
    return torch.from_numpy(np.stack([ids[s:s + context + 1] for s in starts]).astype(np.int64))


def save(path, state):
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def optimizer(model, weight_decay):
    """AdamW; norms and biases (vectors) are not decayed. The betas suit short runs with small batches."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW([{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}],
                             lr=0.0, betas=(0.9, 0.98), eps=1e-8, foreach=True)


def run(task, a, record):
    """Trains task.model under the options a (out, resume, steps, minutes, lr, warmup, weight_decay, every).

    Writes OUT/last.pt (resumable), OUT/best.pt (best held-out loss) and OUT/curve.jsonl. record goes into both files.
    """
    os.makedirs(a.out, exist_ok=True)
    last, best_path = os.path.join(a.out, "last.pt"), os.path.join(a.out, "best.pt")
    opt = optimizer(task.model, a.weight_decay)
    step, before, best, tokens = 0, 0.0, math.inf, 0
    if a.resume and os.path.exists(last):
        s = torch.load(last)
        task.model.load_state_dict(s["model"])
        opt.load_state_dict(s["opt"])
        step, before, best, tokens = s["step"], s["elapsed"], s["best"], s["tokens"]
        print(f"resumed at step {step}, {before / 60:.1f} min", flush=True)
    elif os.path.exists(os.path.join(a.out, "curve.jsonl")):
        os.remove(os.path.join(a.out, "curve.jsonl"))
    start, mean, seen, seen_at, done = time.time(), 0.0, 0, time.time(), False
    while not done:
        elapsed = before + time.time() - start
        progress = min(1.0, max(step / a.steps if a.steps else 0.0, elapsed / (60 * a.minutes) if a.minutes else 0.0))
        lr = a.lr * min(1.0, (step + 1) / a.warmup) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        for group in opt.param_groups:
            group["lr"] = lr
        loss = task.loss(step, progress)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        step, tokens, seen = step + 1, tokens + task.tokens_per_step, seen + 1
        mean += loss.item()
        done = progress >= 1.0
        if step % a.every == 0 or done:
            v = task.validate()
            now = time.time()
            elapsed = before + now - start
            left = elapsed * (1 - progress) / max(progress, 1e-9)
            line = {"step": step, "tokens": tokens, "minutes": round(elapsed / 60, 2), "lr": lr, "train": mean / seen, **v}
            print(f"step {step}  {tokens / 1e6:.2f} M tokens  train {mean / seen:.4f}  "
                  + "  ".join(f"{k} {x:.4f}" for k, x in v.items())
                  + f"  lr {lr:.2e}  {seen * task.tokens_per_step / (now - seen_at):.0f} tokens/s  "
                  f"{elapsed / 60:.1f} min gone, {left / 60:.1f} left", flush=True)
            with open(os.path.join(a.out, "curve.jsonl"), "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")
            state = {"model": task.model.state_dict(), "config": vars(task.model.c), "step": step, "record": record,
                     "validation": v, "elapsed": elapsed, "tokens": tokens}
            if v["loss"] < best:
                best = v["loss"]
                save(best_path, state)
            save(last, {**state, "opt": opt.state_dict(), "best": best})
            mean, seen, seen_at = 0.0, 0, time.time()
    print(f"done: {step} steps, {tokens} tokens, best held-out loss {best:.4f}", flush=True)
