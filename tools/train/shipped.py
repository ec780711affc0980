#!/usr/bin/env python3
"""What quantising does to a trained model: files that `verbatim quantize` made against the weights they came from.

  shipped.py logits FOLDER --target T.pt --draft D.pt --tokenizer TOKENIZER.json --valid TALES-VALID.txt --models vectors/models
  shipped.py table --of M.pt --tokenizer TOKENIZER.json --valid TALES-VALID.txt [--windows N] FILE.gguf...

logits writes reference logits for tests/test_tales.c: torch in float64 on 4 held-out passages of 64 tokens, on the F32
weights of both models and on the exactly dequantised weights of each file of the pair (FOLDER/README.md has the
format). table runs each file through `verbatim logits` (VERBATIM, default bin/verbatim; its default settings) on held-out
windows of 512 tokens and prints perplexity, KL divergence from the F32 weights, and how often the likeliest token is the
same.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import loop
from model import Config, Llama
from sample import load_model
from tokenizer import Tokenizer, documents

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
EVERY = 16  # of the positions, the last of every 16 is kept
SHIPPED = ("tales-target-q8_0", "tales-target-q4_k_m", "tales-draft-q8_0")


def load_gguf(path):
    """A float64 model with the exact values of a file's weights."""
    from oracle import Gguf

    g = Gguf(path)
    k = lambda name: g.kv["llama." + name]
    c = Config(
        dim=k("embedding_length"),
        layers=k("block_count"),
        heads=k("attention.head_count"),
        kv_heads=k("attention.head_count_kv"),
        ffn=k("feed_forward_length"),
        vocab=k("vocab_size"),
        context=k("context_length"),
        eps=k("attention.layer_norm_rms_epsilon"),
        rope_base=k("rope.freq_base"),
    )
    model = Llama(c).double()
    model.fast = False
    state = {"token_embd": g.tensor("token_embd.weight"), "output_norm": g.tensor("output_norm.weight")}
    for i in range(c.layers):
        w = lambda *names: np.concatenate([g.tensor(f"blk.{i}.{n}.weight") for n in names])
        for name, x in (
            ("attn_norm", w("attn_norm")),
            ("attn_qkv", w("attn_q", "attn_k", "attn_v")),
            ("attn_output", w("attn_output")),
            ("ffn_norm", w("ffn_norm")),
            ("ffn_gate_up", w("ffn_gate", "ffn_up")),
            ("ffn_down", w("ffn_down")),
        ):
            state[f"blocks.{i}.{name}"] = x
    model.load_state_dict({n: torch.from_numpy(np.array(x, "f8")) for n, x in state.items()})
    return model


def logits(a):
    tok = Tokenizer.load(a.tokenizer)
    docs = [d for d in documents(a.valid) if len(d) > 2000]
    passages = [[tok.eot] + tok.encode(docs[k])[:63] for k in np.linspace(0, len(docs) - 1, 4).astype(int)]
    models = {name: load_gguf(os.path.join(a.models, name + ".gguf")) for name in SHIPPED}
    for name, path in (("target", a.target), ("draft", a.draft)):
        models[f"tales-{name}-f32"] = load_model(path)[0].double()
    os.makedirs(a.folder, exist_ok=True)
    keep = list(range(EVERY - 1, 64, EVERY))
    files = {}
    for name, m in models.items():
        m.fast = False
        x = np.stack([m.logits(torch.tensor([p]))[0].numpy()[keep] for p in passages]).astype("<f4")
        with open(os.path.join(a.folder, name + ".f32"), "wb") as f:
            f.write(x.tobytes())
        files[name + ".f32"] = {"shape": list(x.shape), "sha256": hashlib.sha256(x.tobytes()).hexdigest()}
    head = {"positions": keep, "files": files, "texts": [tok.decode(p[1:]) for p in passages]}
    with open(os.path.join(a.folder, "passages.json"), "w", encoding="utf-8") as f:
        json.dump({**head, "tokens": passages}, f)
        f.write("\n")


def engine(path, ids, scratch):
    """Logits of `verbatim logits` with its default settings."""
    out = os.path.join(scratch, "logits")
    command = [os.environ.get("VERBATIM", "bin/verbatim"), "logits", "-m", path, "--out", out, "--tokens"]
    subprocess.run(command + [",".join(map(str, ids))], check=True, capture_output=True)
    return torch.from_numpy(np.fromfile(out, "<f4").reshape(len(ids), -1))


def table(a):
    model, _ = load_model(a.of)
    model.fast = False
    ids, _ = Tokenizer.load(a.tokenizer).encode_corpus(a.valid)
    total = {name: np.zeros(3) for name in ["F32 (torch)"] + a.files}
    n = 0
    with tempfile.TemporaryDirectory() as scratch:
        for s in range(0, min(len(ids) - 1, 512 * (a.windows or len(ids))), 512):
            x = torch.from_numpy(ids[s : s + 513].astype(np.int64))
            p = torch.log_softmax(model.logits(x[None, :-1])[0].double(), -1)
            n += len(x) - 1
            for name in total:
                q = p if name[:3] == "F32" else torch.log_softmax(engine(name, x[:-1].tolist(), scratch).double(), -1)
                total[name] += (
                    -q.gather(1, x[1:, None]).sum().item(),
                    (p.exp() * (p - q)).sum().item(),
                    (p.argmax(-1) == q.argmax(-1)).sum().item(),
                )
    print(f"{n} held-out tokens\n\n| file | bytes | perplexity | KL from F32 (nats a token) | same likeliest token |\n| --- | --- | --- | --- | --- |")
    for name, (nll, kl, same) in total.items():
        size = os.path.getsize(name) if name in a.files else ""
        print(f"| {os.path.basename(name)} | {size} | {np.exp(nll / n):.3f} | {kl / n:.2e} | {same / n:.4f} |")


@torch.no_grad()
def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(required=True, metavar="logits|table")
    one = sub.add_parser("logits")
    one.add_argument("folder")
    for name in ("target", "draft", "models"):
        one.add_argument("--" + name, required=True)
    two = sub.add_parser("table")
    two.add_argument("--of", required=True)
    two.add_argument("--windows", type=int, default=0, help="0: all")
    two.add_argument("files", nargs="+")
    for p, run in ((one, logits), (two, table)):
        p.add_argument("--tokenizer", required=True)
        p.add_argument("--valid", required=True)
        p.set_defaults(run=run)
    a = ap.parse_args()
    loop.setup(1, 2)
    a.run(a)


if __name__ == "__main__":
    main()
