"""The training loop shared by target and draft: AdamW, schedule, checkpoints, progress lines, resuming.

A task offers `model`, `loss(step, progress)` (a scalar to minimise), `validate()` (a dict of figures, whose
"loss" decides which checkpoint is best) and `tokens_per_step`. Progress runs from 0 to 1 and is the larger of
step/steps and elapsed/minutes, so that a run on a busy machine still ends in time with its learning rate
fully lowered.

The work of a step is split between processes of one thread each, which meet twice a step. Threads inside each
operation would meet some hundred times, and on a machine that others use too most of the time would go into
waiting.
"""
import ctypes
import json
import math
import multiprocessing
import os
import random
import time

import numpy as np
import torch


WAIT = 1800  # seconds after which a worker that does not come is taken for dead


class Workers:
    """Processes that train copies of one model on shares of each batch. Made before them, used by all of
    them.

    mean(rank, tensors) replaces the tensors by their averages over the workers; the same bits in every
    worker.
    """

    def __init__(self, count, size):
        self.count, self.barrier = count, multiprocessing.Barrier(count)
        self.shared = torch.zeros(count, size).share_memory_()
        self.control = torch.zeros(4, dtype=torch.float64).share_memory_()

    def meet(self):
        if self.count > 1:
            self.barrier.wait(WAIT)

    def mean(self, rank, tensors):
        if self.count == 1:
            return
        sizes = [t.numel() for t in tensors]
        torch.cat([t.flatten() for t in tensors], out=self.shared[rank, : sum(sizes)])
        self.meet()
        parts = self.shared[:, : sum(sizes)].mean(0).split(sizes)
        self.meet()
        for t, p in zip(tensors, parts):
            t.copy_(p.view_as(t))


def setup(seed, threads=1):
    """Seeds, thread count, and a C library that keeps freed memory: fresh pages for each step would cost a
    third of it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX: never mmap
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never give memory back
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def start(make_task, model, a, record):
    """Runs a.workers processes, this one included; make_task(rank, workers) makes the task of each around
    `model`."""
    w = Workers(a.workers, sum(p.numel() for p in model.parameters()))

    def work(rank):
        os.setsid()  # a scheduling group of its own, where the system groups by session
        run(make_task(rank, w.count), a, record, w, rank)

    others = [multiprocessing.Process(target=work, args=(r,), daemon=True) for r in range(1, w.count)]
    for p in others:
        p.start()
    run(make_task(0, w.count), a, record, w, 0)
    for p in others:
        p.join()


class Windows:
    """Training batches: every epoch cuts the tokens into windows at a new offset and visits them in a new
    order."""

    def __init__(self, ids, seed):
        self.ids, self.seed, self.key = ids, seed, None

    def batch(self, step, batch, context, rank, workers):
        """(inputs, targets) of a worker's share of a step, both (batch/workers, context)."""
        steps = (len(self.ids) - 1 - context) // context // batch
        key = (step // steps, batch, context)
        if key != self.key:
            rng = np.random.default_rng([self.seed, *key])
            self.key, self.offset = key, int(rng.integers(context))
            self.order = rng.permutation(steps * batch)
        i = step % steps * batch
        rows = [
            self.ids[(s := self.offset + int(k) * context) : s + context + 1]
            for k in self.order[i + rank : i + batch : workers]
        ]
        rows = torch.from_numpy(np.stack(rows).astype(np.int64))
        return rows[:, :-1], rows[:, 1:]


def validation_windows(ids, count, context):
    """count windows (count, context+1) spread evenly over the held-out tokens."""
    starts = np.linspace(0, len(ids) - context - 1, count).astype(int)
    return torch.from_numpy(np.stack([ids[s : s + context + 1] for s in starts]).astype(np.int64))


def save(path, state):
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def optimizer(model, weight_decay):
    """AdamW; norms and biases (vectors) are not decayed. The betas suit short runs with small batches."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=0.0,
        betas=(0.9, 0.98),
        eps=1e-8,
        foreach=True,
    )


def run(task, a, record, w, rank):
    """Trains task.model under the options a (out, resume, steps, minutes, lr, warmup, weight_decay, every).

    Worker 0 writes OUT/last.pt (resumable), OUT/best.pt (best held-out loss) and OUT/curve.jsonl, and prints.
    record goes into both checkpoints.
    """
    os.makedirs(a.out, exist_ok=True)
    last, curve = os.path.join(a.out, "last.pt"), os.path.join(a.out, "curve.jsonl")
    opt = optimizer(task.model, a.weight_decay)
    step, before, best, tokens = 0, 0.0, math.inf, 0
    if a.resume and os.path.exists(last):
        s = torch.load(last)
        task.model.load_state_dict(s["model"])
        opt.load_state_dict(s["opt"])
        step, before, best, tokens = s["step"], s["elapsed"], s["best"], s["tokens"]
        if rank == 0:
            print(f"resumed at step {step}, {before / 60:.1f} min", flush=True)
    elif rank == 0 and os.path.exists(curve):
        os.remove(curve)
    w.meet()
    begin, mean, seen, seen_at, done = time.time(), 0.0, 0, time.time(), False
    while not done:
        if rank == 0:
            elapsed = before + time.time() - begin
            w.control[0] = min(
                1.0, max(step / a.steps if a.steps else 0.0, elapsed / (60 * a.minutes) if a.minutes else 0.0)
            )
        w.meet()
        progress = w.control[0].item()
        lr = (
            a.lr
            * min(1.0, (step + 1) / a.warmup)
            * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        )
        for group in opt.param_groups:
            group["lr"] = lr
        loss = task.loss(step, progress)
        loss.backward()
        w.mean(rank, [p.grad for p in task.model.parameters()])
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        step, tokens, seen = step + 1, tokens + task.tokens_per_step, seen + 1
        mean += loss.item()
        done = progress >= 1.0
        if step % a.every == 0 or done:
            v = {"train": mean / seen, **task.validate()}
            figures = torch.tensor(list(v.values()))
            w.mean(rank, [figures])
            v = dict(zip(v, figures.tolist()))
            now = time.time()
            if rank == 0:
                elapsed = before + now - begin
                state = {
                    "model": task.model.state_dict(),
                    "config": vars(task.model.c),
                    "step": step,
                    "record": record,
                    "validation": v,
                    "elapsed": elapsed,
                    "tokens": tokens,
                }
                report(curve, state, lr, progress, seen * task.tokens_per_step / (now - seen_at))
                if v["loss"] < best:
                    best = v["loss"]
                    save(os.path.join(a.out, "best.pt"), state)
                save(last, {**state, "opt": opt.state_dict(), "best": best})
            mean, seen, seen_at = 0.0, 0, now
    if rank == 0:
        print(f"done: {step} steps, {tokens} tokens, best held-out loss {best:.4f}", flush=True)


def report(curve, s, lr, progress, speed):
    """One progress line to the terminal and one to the curve file."""
    minutes = s["elapsed"] / 60
    print(
        f"step {s['step']}  {s['tokens'] / 1e6:.2f} M tokens  "
        + "  ".join(f"{k} {x:.4f}" for k, x in s["validation"].items())
        + f"  lr {lr:.2e}  {speed:.0f} tokens/s  {minutes:.1f} min gone, "
        f"{minutes * (1 - progress) / max(progress, 1e-9):.1f} left",
        flush=True,
    )
    with open(curve, "a", encoding="utf-8") as f:
        f.write(
            json.dumps(
                {
                    "step": s["step"],
                    "tokens": s["tokens"],
                    "minutes": round(minutes, 2),
                    "lr": lr,
                    **s["validation"],
                }
            )
            + "\n"
        )
