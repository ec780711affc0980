#!/usr/bin/env python3
"""Figures, reference logits, prompts and samples of a trained pair, all from the F32 weights.

  evaluate.py --target T.pt --draft D.pt --tokenizer TOKENIZER.json --valid TALES-VALID.txt --out FOLDER

Writes into FOLDER: metrics.json; prompts.txt (50 held-out beginnings, one a line); logits.json with, for each
of 4 held-out passages of 64 tokens (the first is <|endoftext|>), target-N.f32/.f64 and draft-N.f32/.f64 (64 x
vocabulary, little endian, row i = logits after token i, computed in float64); samples.json (5 continuations
with seeds, the first ones made).
"""
import argparse
import json
import os

import numpy as np
import torch

import loop
from sample import generate, load_model
from tokenizer import Tokenizer, documents, sha256


@torch.no_grad()
def held_out(target, draft, ids, context):
    """Perplexities and overlaps over all held-out tokens, in windows that do not overlap, in float32."""
    nll, overlap, kl, top, n = [0.0, 0.0], {1.0: 0.0, 0.8: 0.0}, 0.0, 0, 0
    for s in range(0, len(ids) - 1, context):
        x = torch.from_numpy(ids[s : s + context + 1].astype(np.int64))[None]
        if x.shape[1] < 2:
            break
        both = [m.logits(x[:, :-1])[0] for m in (target, draft)]
        for i, z in enumerate(both):
            nll[i] += torch.nn.functional.cross_entropy(z, x[0, 1:], reduction="sum").item()
        for t in overlap:
            p, q = (torch.softmax(z / t, -1) for z in both)
            overlap[t] += torch.minimum(p, q).sum().item()
            if t == 1.0:
                kl += (p * (p.log() - torch.log_softmax(both[1], -1))).nan_to_num(0.0).sum().item()
        top += (both[0].argmax(-1) == both[1].argmax(-1)).sum().item()
        n += x.shape[1] - 1
    return {
        "tokens": n,
        "target_perplexity": float(np.exp(nll[0] / n)),
        "draft_perplexity": float(np.exp(nll[1] / n)),
        "target_nats_per_token": nll[0] / n,
        "draft_nats_per_token": nll[1] / n,
        "acceptance_t1": overlap[1.0] / n,
        "total_variation_t1": 1 - overlap[1.0] / n,
        "acceptance_t0.8": overlap[0.8] / n,
        "same_argmax": top / n,
        "kl_nats": kl / n,
    }


def rounds(agree, gamma):
    """(accepted, tested, drafted, rounds) when a chain of gamma drafts walks along emitted tokens.

    agree[i] says whether the draft of emitted token i would be accepted. A round tests drafts up to its first
    rejection; the rejected place gets the target's token, and after gamma acceptances one more token of the
    target follows.
    """
    at = accepted = tested = count = 0
    while at + gamma < len(agree):
        count += 1
        good = 0
        while good < gamma and agree[at + good]:
            good += 1
        tested += min(good + 1, gamma)
        accepted += good
        at += good + 1
    return accepted, tested, gamma * count, count


@torch.no_grad()
def speculation(target, draft, prompts, length, temperature, gamma, seed):
    """Rejection sampling on text that the target writes, simulated without the speculative loop, in float32.

    The law of rejection sampling says that a token x which is emitted with probability p_x came from an
    accepted draft with probability min(p_x, q_x), so given x the coin is min(1, q_x/p_x). At temperature 0 it
    is whether both argmax agree.
    """
    text = generate(target, prompts, length, temperature, seed)
    n = prompts.shape[1]
    z, y = [[m.logits(t[None, :-1])[0, n - 1 :] for t in text] for m in (target, draft)]
    rng, total = np.random.default_rng(seed), np.zeros(4, dtype=np.int64)
    for i, row in enumerate(text):
        x = row[n:]
        if temperature == 0:
            agree = (y[i].argmax(-1) == z[i].argmax(-1)).numpy()
        else:
            p, q = (
                torch.softmax(v[i] / temperature, -1).gather(1, x[:, None])[:, 0].double().numpy()
                for v in (z, y)
            )
            agree = rng.random(len(x)) < np.minimum(1.0, q / p)
        total += rounds(agree.tolist(), gamma)
    accepted, tested, drafted, count = (int(v) for v in total)
    return {
        "temperature": temperature,
        "gamma": gamma,
        "sequences": len(text),
        "new_tokens": length - n,
        "alpha": accepted / tested,
        "acceptance": accepted / drafted,
        "tokens_per_round": (accepted + count) / count,
    }


def beginnings(path, count):
    """The first 20 to 40 words of passages spread over the file; passages are runs of paragraphs of at least
    60 words."""
    passages = []
    for doc in documents(path):
        for paragraph in doc.split("\n\n"):
            words = paragraph.split()
            if len(words) >= 60 and "\n" not in paragraph:
                passages.append(words)
    picks = [passages[i] for i in np.linspace(0, len(passages) - 1, count).astype(int)]
    return [" ".join(w[: 20 + (7 * i) % 21]) for i, w in enumerate(picks)]


@torch.no_grad()
def reference_logits(models, tok, path, out):
    docs = [d for d in documents(path) if len(d) > 2000]
    entries = []
    for i, k in enumerate(np.linspace(0, len(docs) - 1, 4).astype(int)):
        ids = [tok.eot] + tok.encode(docs[k])[:63]
        entry = {"ids": ids, "text": tok.decode(ids[1:])}
        for name, m in models.items():
            z = m.double().logits(torch.tensor([ids]))[0].numpy()
            z.astype("<f8").tofile(os.path.join(out, f"{name}-{i}.f64"))
            z.astype("<f4").tofile(os.path.join(out, f"{name}-{i}.f32"))
            entry[name] = {"file": f"{name}-{i}", "shape": list(z.shape), "next": int(z[-1].argmax())}
            m.float()
        entries.append(entry)
    with open(os.path.join(out, "logits.json"), "w", encoding="utf-8") as f:
        json.dump(entries, f, indent=1)


def made_from(record):
    """What a checkpoint records of its origin, with files named without their folders."""
    options = {k: os.path.basename(v) if isinstance(v, str) else v for k, v in record["options"].items()}
    return {**record, "options": options}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("target", "draft", "tokenizer", "valid", "out"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--context", type=int, default=512)
    ap.add_argument("--quick", action="store_true", help="only the first 32 windows of held-out text")
    a = ap.parse_args()
    loop.setup(1, a.threads)
    os.makedirs(a.out, exist_ok=True)
    tok = Tokenizer.load(a.tokenizer)
    (target, ts), (draft, ds) = load_model(a.target), load_model(a.draft)
    target.fast = draft.fast = False
    ids, size = tok.encode_corpus(a.valid)
    m = {"held_out": held_out(target, draft, ids[: 32 * a.context + 1] if a.quick else ids, a.context)}
    m["held_out"]["bytes_per_token"] = size / len(ids)
    m["models"] = {
        n: {
            "parameters": sum(p.numel() for p in x.parameters()),
            "multiply_adds_per_token": x.c.multiply_adds(),
            "config": vars(x.c),
            "steps": s["step"],
            "training_tokens": s["tokens"],
            "training_minutes": s["elapsed"] / 60,
            "made_from": made_from(s["record"]),
        }
        for n, x, s in (("target", target, ts), ("draft", draft, ds))
    }
    m["cost_ratio"] = target.c.multiply_adds() / draft.c.multiply_adds()
    prompts = beginnings(a.valid, 50)
    with open(os.path.join(a.out, "prompts.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(prompts) + "\n")
    starts = torch.tensor([([tok.eot] + tok.encode(p))[:20] for p in prompts])
    m["on_generated_text"] = [speculation(target, draft, starts, 20 + 128, t, 5, 1) for t in (1.0, 0.8, 0.0)]
    reference_logits({"target": target, "draft": draft}, tok, a.valid, a.out)
    samples = []
    for seed, p in enumerate(prompts[::10], start=1):
        start = [tok.eot] + tok.encode(p)
        row = generate(target, torch.tensor([start]), len(start) + 150, 0.8, seed)[0, len(start) :].tolist()
        row = row[: row.index(tok.eot)] if tok.eot in row else row
        samples.append({"seed": seed, "temperature": 0.8, "prompt": p, "continuation": tok.decode(row)})
    with open(os.path.join(a.out, "samples.json"), "w", encoding="utf-8") as f:
        json.dump(samples, f, indent=1)
    m["tokenizer_sha256"] = sha256(a.tokenizer)
    with open(os.path.join(a.out, "metrics.json"), "w", encoding="utf-8") as f:
        json.dump(m, f, indent=1)
    print(json.dumps({k: m[k] for k in ("held_out", "cost_ratio", "on_generated_text")}, indent=1))


if __name__ == "__main__":
    main()
