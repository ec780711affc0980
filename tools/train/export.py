#!/usr/bin/env python3
"""Writes a checkpoint as a GGUF file, version 3, all tensors F32.

  export.py CHECKPOINT.pt OUT.gguf --tokenizer TOKENIZER.json --name NAME --description TEXT

The file holds the weights bit for bit. Queries, keys and values, and gate and up, are split into tensors of
their own. The output head is tied, so there is no output.weight. Layout of GGUF: magic, version, counts;
key/value pairs; tensor infos (name, dimensions with the row length first, type, offset); padding to 32 bytes;
tensor data, each padded to 32 bytes.
"""
import argparse
import struct

import numpy as np

from sample import load_model
from tokenizer import Tokenizer, sha256

U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALAR = {U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<?"}
NORMAL, CONTROL = 1, 3  # tokenizer.ggml.token_type
ALIGN = 32


def string(s):
    b = s.encode("utf-8")
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == STRING:
        return string(v)
    if kind == ARRAY:
        element, items = v
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, x) for x in items)
    return struct.pack(SCALAR[kind], v)


def padding(n):
    return b"\0" * (-n % ALIGN)


def write(path, pairs, tensors):
    """pairs: (key, kind, value); tensors: (name, float32 array)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(string(k) + struct.pack("<I", t) + value(t, v) for k, t, v in pairs)
    offset = 0
    for name, x in tensors:
        dims = x.shape[::-1]
        head += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, offset)
        offset += x.nbytes + len(padding(x.nbytes))
    with open(path, "wb") as f:
        f.write(head + padding(len(head)))
        for _, x in tensors:
            f.write(x.astype("<f4").tobytes() + padding(x.nbytes))


def metadata(c, tok, a, step):
    k = "llama."
    types = [NORMAL] * (len(tok.tokens) - 1) + [CONTROL]
    return [
        ("general.architecture", STRING, "llama"),
        ("general.type", STRING, "model"),
        ("general.name", STRING, a.name),
        ("general.description", STRING, a.description),
        ("general.license", STRING, "CC0-1.0"),
        ("general.languages", ARRAY, (STRING, ["en"])),
        ("general.file_type", U32, 0),
        ("general.quantization_version", U32, 2),
        ("verbatim.train.steps", U32, step),
        ("verbatim.train.corpus_sha256", STRING, a.corpus_sha256),
        (k + "vocab_size", U32, c.vocab),
        (k + "context_length", U32, c.context),
        (k + "embedding_length", U32, c.dim),
        (k + "block_count", U32, c.layers),
        (k + "feed_forward_length", U32, c.ffn),
        (k + "attention.head_count", U32, c.heads),
        (k + "attention.head_count_kv", U32, c.kv_heads),
        (k + "attention.key_length", U32, c.head_dim),
        (k + "attention.value_length", U32, c.head_dim),
        (k + "attention.layer_norm_rms_epsilon", FLOAT, c.eps),
        (k + "rope.dimension_count", U32, c.head_dim),
        (k + "rope.freq_base", FLOAT, c.rope_base),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tok.tokens)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, types)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, [" ".join(m) for m in tok.merges])),
        ("tokenizer.ggml.bos_token_id", U32, tok.eot),
        ("tokenizer.ggml.eos_token_id", U32, tok.eot),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
    ]


def weights(model):
    """(GGUF name, array) of all tensors; matrices are (outputs, inputs), so that a row is what GGUF stores
    first."""
    c, kv = model.c, model.c.kv_heads * model.c.head_dim
    out = [("token_embd.weight", model.token_embd)]
    for i, b in enumerate(model.blocks):
        q, k, v = b.attn_qkv.split([c.dim, kv, kv])
        gate, up = b.ffn_gate_up.chunk(2)
        parts = {
            "attn_norm": b.attn_norm,
            "attn_q": q,
            "attn_k": k,
            "attn_v": v,
            "attn_output": b.attn_output,
            "ffn_norm": b.ffn_norm,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": b.ffn_down,
        }
        out += [(f"blk.{i}.{n}.weight", x) for n, x in parts.items()]
    out.append(("output_norm.weight", model.output_norm))
    return [(n, x.detach().numpy().astype(np.float32)) for n, x in out]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint")
    ap.add_argument("out")
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--name", required=True)
    ap.add_argument("--description", required=True)
    a = ap.parse_args()
    model, state = load_model(a.checkpoint)
    tok = Tokenizer.load(a.tokenizer)
    if len(tok.tokens) != model.c.vocab or sha256(a.tokenizer) != state["record"]["tokenizer_sha256"]:
        raise SystemExit("the checkpoint was trained with another tokenizer")
    a.corpus_sha256 = state["record"]["corpus_sha256"]
    write(a.out, metadata(model.c, tok, a, state["step"]), weights(model))
    print(
        f"{a.out}: {sum(p.numel() for p in model.parameters())} parameters, step {state['step']}, sha256 {sha256(a.out)}"
    )


if __name__ == "__main__":
    main()
