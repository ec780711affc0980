#!/usr/bin/env python3
"""Writes GGUF models with seeded random weights at the dimensions of known models, for measurements and for tests at
scale without downloads. What an engine does with the bytes costs the same as with trained ones; the text is gibberish.

  mkmodel.py big.gguf   --preset qwen2.5-3b                         an F16 model of these dimensions
  mkmodel.py small.gguf --preset qwen2.5-0.5b --seed 7              another
  mkmodel.py big.gguf   --preset qwen2.5-3b --embed-draft "--preset qwen2.5-0.5b --seed 7" --noise 0.1
                                                                    a target that computes small.gguf's function plus
                                                                    noise, at the full cost of its own dimensions
  verbatim quantize big.gguf big-q4_k_m.gguf Q4_K_M                 fewer bits

Presets give the dimensions; options given beside a preset win. The vocabulary is made up (--vocab-size words) unless
--vocab-from names a GGUF file or a tokenizer.json to take it from. Needs numpy. The same arguments give the same bytes
(with the same version of numpy); each tensor's numbers depend on the seed and its name alone, and one tensor is held in
memory at a time.
"""
import argparse
import hashlib
import json
import os
import struct
import sys

import numpy as np

# Dimensions as published with the models (config.json).
PRESETS = {
    "qwen2.5-0.5b": "--arch qwen2 --dim 896 --layers 24 --heads 14 --kv-heads 2 --ffn 4864 --tied "
                    "--rope-base 1000000 --ctx 32768 --vocab-size 151936",
    "qwen2.5-1.5b": "--arch qwen2 --dim 1536 --layers 28 --heads 12 --kv-heads 2 --ffn 8960 --tied "
                    "--rope-base 1000000 --ctx 32768 --vocab-size 151936",
    "qwen2.5-3b": "--arch qwen2 --dim 2048 --layers 36 --heads 16 --kv-heads 2 --ffn 11008 --tied "
                  "--rope-base 1000000 --ctx 32768 --vocab-size 151936",
    "llama-3.2-1b": "--arch llama --dim 2048 --layers 16 --heads 32 --kv-heads 8 --ffn 8192 --tied "
                    "--rope-base 500000 --rope-freqs 32,1,4,8192 --ctx 131072 --vocab-size 128256",
    "tinyllama-1.1b": "--arch llama --dim 2048 --layers 22 --heads 32 --kv-heads 4 --ffn 5632 "
                      "--rope-base 10000 --ctx 2048 --vocab-size 32000",
    # Mixtures of experts. All layers are as large as published; with fewer of them (--layers 4) they fit anywhere.
    "qwen3-30b-a3b": "--arch qwen3moe --dim 2048 --layers 48 --heads 32 --kv-heads 4 --head-dim 128 --ffn 768 --experts 128 "
                     "--experts-used 8 --rope-base 1000000 --ctx 40960 --vocab-size 151936",
    "gpt-oss-20b": "--arch gpt-oss --dim 2880 --layers 24 --heads 64 --kv-heads 8 --head-dim 64 --ffn 2880 --experts 32 "
                   "--experts-used 4 --rope-base 150000 --ctx 131072 --vocab-size 201088",
}

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMAT = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TENSOR_F32, TENSOR_F16, TENSOR_Q4_K, TENSOR_MXFP4 = 0, 1, 12, 39
BLOCKS = {TENSOR_Q4_K: (256, 144), TENSOR_MXFP4: (32, 17)}  # weights and bytes of a block
ALIGNMENT = 32


# ---------------------------------------------------------------------------------------------------- GGUF


def read_metadata(path):
    """The key-value pairs of a GGUF file: {key: (type, value)}; an array's value is (element type, list)."""
    with open(path, "rb") as f:
        def read(fmt):
            return struct.unpack("<" + fmt, f.read(struct.calcsize("<" + fmt)))[0]

        def value(kind):
            if kind == STR:
                return f.read(read("Q"))
            if kind == ARR:
                elem, n = read("I"), read("Q")
                return elem, [value(elem) for _ in range(n)]
            return read(FORMAT[kind])

        if f.read(4) != b"GGUF":
            sys.exit(f"{path}: not a GGUF file")
        read("I"), read("Q")
        out = {}
        for _ in range(read("Q")):
            key = f.read(read("Q")).decode()
            kind = read("I")
            out[key] = (kind, value(kind))
        return out


def encode_string(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def encode_value(kind, v):
    if kind == STR:
        return encode_string(v)
    if kind == ARR:
        elem, items = v
        return struct.pack("<IQ", elem, len(items)) + b"".join(encode_value(elem, x) for x in items)
    return struct.pack("<" + FORMAT[kind], v)


def tensor_bytes(shape, gtype):
    values = int(np.prod(shape))
    if gtype in BLOCKS:
        return values // BLOCKS[gtype][0] * BLOCKS[gtype][1]
    return values * (4 if gtype == TENSOR_F32 else 2)


def encode_tensor(x, gtype):
    return x if gtype in BLOCKS else np.ascontiguousarray(x, "<f4" if gtype == TENSOR_F32 else "<f2").tobytes()


def write_gguf(path, metadata, tensors, make):
    """tensors: (name, shape with the row length last, kind, type). make(name, shape, kind) gives each one's numbers."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, kind, v in metadata:
        head += encode_string(key) + struct.pack("<I", kind) + encode_value(kind, v)
    offset, offsets = 0, []
    for name, shape, _, gtype in tensors:
        head += encode_string(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", gtype, offset)
        offsets.append(offset)
        offset += tensor_bytes(shape, gtype)
        offset += -offset % ALIGNMENT
    part = path + ".part"
    with open(part, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        base = f.tell()
        for (name, shape, kind, gtype), at in zip(tensors, offsets):
            f.write(b"\0" * (base + at - f.tell()))
            f.write(encode_tensor(make(name, shape, kind), gtype))
        f.write(b"\0" * (-f.tell() % ALIGNMENT))
    os.replace(part, path)


# ---------------------------------------------------------------------------------------------------- vocabulary


def made_up_vocabulary(n):
    """Bytes, letters and words " w0", " w1", ... in the SPM kind, which needs no merge table."""
    tokens, types = ["<unk>", "<s>", "</s>"], [2, 3, 3]
    tokens += [f"<0x{b:02X}>" for b in range(256)]
    types += [6] * 256
    tokens += ["\u2581"] + [chr(c) for c in range(33, 127)]
    types += [1] * 95
    tokens += [f"\u2581w{i}" for i in range(n - len(tokens))]
    types += [1] * (n - len(types))
    if len(tokens) != n:
        sys.exit(f"--vocab-size {n}: must be at least {len(tokens)}")
    return [("tokenizer.ggml.model", STR, "llama"), ("tokenizer.ggml.tokens", ARR, (STR, tokens)),
            ("tokenizer.ggml.scores", ARR, (F32, [-float(i) for i in range(n)])),
            ("tokenizer.ggml.token_type", ARR, (I32, types)), ("tokenizer.ggml.bos_token_id", U32, 1),
            ("tokenizer.ggml.eos_token_id", U32, 2), ("tokenizer.ggml.unknown_token_id", U32, 0),
            ("tokenizer.ggml.add_bos_token", BOOL, 1)], n


def json_vocabulary(path, pre, pad_to):
    """A byte-level BPE tokenizer.json; the chat template from a tokenizer_config.json beside it, if there is one."""
    with open(path, encoding="utf-8") as f:
        source = json.load(f)
    text = {i: t for t, i in source["model"]["vocab"].items()}
    kind = dict.fromkeys(text, 1)
    for t in source.get("added_tokens", []):
        text[t["id"]] = t["content"]
        kind[t["id"]] = 3 if t["special"] or t["content"].startswith("<|") and t["content"].endswith("|>") else 4
    n = max(max(text) + 1, pad_to)
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    out = [("tokenizer.ggml.model", STR, "gpt2"), ("tokenizer.ggml.pre", STR, pre),
           ("tokenizer.ggml.tokens", ARR, (STR, [text.get(i, f"[PAD{i}]") for i in range(n)])),
           ("tokenizer.ggml.token_type", ARR, (I32, [kind.get(i, 5) for i in range(n)])),
           ("tokenizer.ggml.merges", ARR, (STR, merges))]
    ids = {t: i for i, t in text.items()}
    for key, names in (("eos", ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>")),
                       ("bos", ("<|begin_of_text|>", "<|endoftext|>", "<s>"))):
        found = [ids[name] for name in names if name in ids]
        if found:
            out.append((f"tokenizer.ggml.{key}_token_id", U32, found[0]))
    out.append(("tokenizer.ggml.add_bos_token", BOOL, int(pre == "llama-bpe")))
    config = os.path.join(os.path.dirname(path), "tokenizer_config.json")
    if os.path.exists(config):
        with open(config, encoding="utf-8") as f:
            template = json.load(f).get("chat_template")
        if isinstance(template, str):
            out.append(("tokenizer.chat_template", STR, template))
    return out, n


def vocabulary(a):
    if not a.vocab_from:
        return made_up_vocabulary(a.vocab_size or 32000)
    if a.vocab_from.endswith(".gguf"):
        pairs = [(k, t, v) for k, (t, v) in read_metadata(a.vocab_from).items() if k.startswith("tokenizer.")]
        return pairs, len(next(v for k, _, v in pairs if k == "tokenizer.ggml.tokens")[1])
    return json_vocabulary(a.vocab_from, a.pre, a.pad_vocab)


# ---------------------------------------------------------------------------------------------------- weights


def expert_shapes(a, p):
    d, n, f, oss = a.dim, a.experts, a.ffn, a.arch == "gpt-oss"
    out = [(p + ("post_attention_norm.weight" if oss else "ffn_norm.weight"), (d,), "norm"), (p + "ffn_gate_inp.weight", (n, d), "router"),
           (p + "ffn_gate_exps.weight", (n, f, d), "in"), (p + "ffn_up_exps.weight", (n, f, d), "in"),
           (p + "ffn_down_exps.weight", (n, d, f), "branch")]
    if oss:
        out += [(p + "attn_output.bias", (d,), "bias"), (p + "attn_sinks.weight", (a.heads,), "bias"), (p + "ffn_gate_inp.bias", (n,), "bias"),
                (p + "ffn_gate_exps.bias", (n, f), "bias"), (p + "ffn_up_exps.bias", (n, f), "bias"), (p + "ffn_down_exps.bias", (n, d), "bias")]
    return out


def shapes(a, n_vocab):
    """(name, shape, kind) in file order; a matrix is (outputs, inputs). Kinds: norm, bias, embedding, output, rope, in
    (reads the residual stream or a hidden layer), branch (writes to the residual stream) and router."""
    d, q, kv = a.dim, a.heads * a.head_dim, a.kv_heads * a.head_dim
    out = [("token_embd.weight", (n_vocab, d), "embedding")]
    for i in range(a.layers):
        p = f"blk.{i}."
        out += [(p + "attn_norm.weight", (d,), "norm"), (p + "attn_q.weight", (q, d), "in"),
                (p + "attn_k.weight", (kv, d), "in"), (p + "attn_v.weight", (kv, d), "in"),
                (p + "attn_output.weight", (d, q), "branch")]
        if a.arch in ("qwen2", "gpt-oss"):
            out += [(p + "attn_q.bias", (q,), "bias"), (p + "attn_k.bias", (kv,), "bias"),
                    (p + "attn_v.bias", (kv,), "bias")]
        if a.arch in ("qwen3", "qwen3moe"):
            out += [(p + "attn_q_norm.weight", (a.head_dim,), "norm"), (p + "attn_k_norm.weight", (a.head_dim,), "norm")]
        if a.experts:
            out += expert_shapes(a, p)
            continue
        out += [(p + "ffn_norm.weight", (d,), "norm"), (p + "ffn_gate.weight", (a.ffn, d), "in"),
                (p + "ffn_up.weight", (a.ffn, d), "in"), (p + "ffn_down.weight", (d, a.ffn), "branch")]
    out.append(("output_norm.weight", (d,), "norm"))
    if not a.tied:
        out.append(("output.weight", (n_vocab, d), "output"))
    if a.rope_freqs:
        out.append(("rope_freqs.weight", (a.head_dim // 2,), "rope"))
    return out


def rope_factors(a):
    """What divides each RoPE frequency in a Llama 3.x model: 1 for short waves, FACTOR for long ones, a blend between."""
    factor, low, high, old = (float(x) for x in a.rope_freqs.split(","))
    wave = 2 * np.pi * a.rope_base ** (np.arange(a.head_dim // 2) * 2 / a.head_dim)
    s = np.clip((old / wave - low) / (high - low), 0, 1)
    return (1 / ((1 - s) / factor + s)).astype("f4")


def on_grid(x, size):
    """x (standard normal) as k*s, k = -8..7, of standard deviation `size`; -8 and 7 among every 16 values of a row, and s of few
    bits. Four-bit blocks hold such weights all but exactly, so that quantising does not part a target from its draft."""
    mantissa, exponent = np.frexp(size / 3.9)
    k = np.clip(np.rint(3 * x), -8, 7).reshape(-1, 16)
    rows = np.arange(len(k))
    low = k.argmin(1)
    k[rows, low] = -8
    high = k.argmax(1)
    k[rows, high] = 7
    return k.reshape(x.shape) * np.float32(np.ldexp(np.rint(mantissa * 128) / 128, exponent))


def mxfp4(rng, shape, size):
    """Random blocks of MXFP4: codes of all 16 values (root mean square 2.93), one exponent for all."""
    blocks = rng.integers(0, 256, (int(np.prod(shape)) // 32, 17), dtype="u1")
    blocks[:, 0] = 127 + int(np.rint(np.log2(size / 2.93)))
    return blocks.tobytes()


def q4_k(rng, shape, size):
    """Random blocks of Q4_K: all 16 values, scales of 32 to 63 and minima that make the mean about 0 (docs/formats.md)."""
    n = int(np.prod(shape)) // 256
    blocks = rng.integers(0, 256, (n, 144), dtype="u1")
    scale = np.float64(size) / (4.61 * 48)
    blocks[:, 0:4] = np.array([scale, 7.5 * scale], "<f2").view("u1")
    blocks[:, 4:8] = blocks[:, 4:8] & 0x5f | 0xa0  # six bits of the first four scales, the upper two of the last four
    blocks[:, 8:12] = blocks[:, 4:8]
    blocks[:, 12:16] = (blocks[:, 12:16] & 0x0f) * 0x11
    return blocks


def skew(a, rng, x):
    """Experts of a skewed router differ in how often they are chosen: each has a bias of its own, which the first value of the
    stream carries. With --skew 1 the biases spread as widely as what depends on the token."""
    if a.router == "skewed":
        x[:, 0] = np.float32(a.skew / 2) * rng.standard_normal(len(x), dtype="f4")
    return x


def random_tensor(a, name, shape, kind):
    key = hashlib.sha256(f"{a.seed} {name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:16], "little"))
    if kind == "rope":
        return rope_factors(a)
    if a.arch == "gpt-oss" and "_exps.weight" in name:
        return mxfp4(rng, shape, (a.branch if kind == "branch" else 1.0) / np.sqrt(shape[-1]))
    if a.q4_k and gguf_type(a, name, shape, kind) == TENSOR_Q4_K:
        scale = a.logit_scale if kind == "output" else a.branch if kind == "branch" else 1.0
        blocks = q4_k(rng, shape, scale / np.sqrt(shape[-1]))
        if a.router == "skewed" and kind == "branch":  # as below
            blocks.reshape(-1, shape[-2], shape[-1] // 256, 144)[:, 0, :, 0:4] = 0
        return blocks.tobytes()
    x = rng.standard_normal(shape, dtype="f4")
    if kind == "router":
        return skew(a, rng, x / np.float32(np.sqrt(a.dim)))
    if kind == "norm":
        return 1 + np.float32(0.1) * x
    if kind == "bias":
        return np.float32(0.1) * x
    if kind == "output" or kind == "embedding" and a.tied:
        size = a.logit_scale / np.sqrt(a.dim)
    elif kind == "embedding":
        size = 1.0
    else:
        size = (a.branch if kind == "branch" else 1.0) / np.sqrt(shape[-1])
    x = on_grid(x, size) if a.grid and shape[-1] % 16 == 0 else x * np.float32(size)
    if a.router == "skewed" and kind == "embedding":
        x[:, 0] = 2 * size  # what routers see of every token: nothing writes to this value, see `skew`
    if a.router == "skewed" and kind == "branch":
        x[..., 0, :] = 0
    return x


def head_places(a, da):
    """Where the values of one of the draft's heads lie in a head of the target: pairs that RoPE turns stay pairs and keep
    their frequency (dimension j*m of a head m times as wide turns like dimension j)."""
    m, half = a.head_dim // da.head_dim, np.arange(da.head_dim // 2)
    if a.arch == "llama":
        return np.stack([half * m * 2, half * m * 2 + 1], 1).reshape(-1)
    return np.concatenate([half * m, a.head_dim // 2 + half * m])


def embedded_tensor(a, da, name, shape, kind):
    """A tensor of a target that computes the draft `da` plus noise: the first da.dim values of the residual stream hold
    the draft's, the rest is zero; the target's further heads, hidden units and layers add noise of relative size
    a.noise. RMSNorm averages over more values, so norms are scaled by sqrt(da.dim/a.dim)."""
    d, dd, r = a.dim, da.dim, np.float32(np.sqrt(da.dim / a.dim))
    x = random_tensor(a, name, shape, kind)
    layer = int(name.split(".")[1]) if name.startswith("blk.") else -1

    def draft(n, s, k):
        return random_tensor(da, n, s, k)

    def widen(y):
        return np.concatenate([y, np.zeros(y.shape[:-1] + (d - dd,), "f4")], -1)

    if kind == "embedding":
        return widen(draft(name, (shape[0], dd), kind))
    if kind == "output":
        tied = draft("token_embd.weight", (shape[0], dd), "embedding") if da.tied else draft(name, (shape[0], dd), kind)
        return widen(tied)
    if kind == "rope":
        return x
    if kind == "branch":
        x *= np.float32(a.noise)
        x[dd:] = 0
    if layer >= da.layers:  # further layers come last: noise early on would be amplified
        return x
    part = name.split(".")[-2]
    places, group, dgroup = head_places(a, da), a.heads // a.kv_heads, da.heads // da.kv_heads
    if kind == "norm":
        x[:dd] = draft(name, (dd,), kind) * r
    elif part in ("attn_q", "attn_k", "attn_v"):
        heads, dheads = (a.heads, da.heads) if part == "attn_q" else (a.kv_heads, da.kv_heads)
        scale = np.float32(1.0 if part == "attn_v" else (a.head_dim / da.head_dim) ** 0.25)
        rows = x.reshape((heads, a.head_dim) + x.shape[1:])
        y = draft(name, (dheads * da.head_dim,) + ((dd,) if x.ndim == 2 else ()), kind) * scale
        y = (widen(y) if x.ndim == 2 else y).reshape((dheads, da.head_dim) + x.shape[1:])
        for h in range(dheads):
            t = h // dgroup * group + h % dgroup if part == "attn_q" else h
            rows[t] = 0
            rows[t][places] = y[h]
    elif part == "attn_output":
        columns = x.reshape(d, a.heads, a.head_dim)
        y = draft(name, (dd, da.heads * da.head_dim), kind).reshape(dd, da.heads, da.head_dim)
        for h in range(da.heads):
            t = h // dgroup * group + h % dgroup
            columns[:, t] = 0
            columns[:dd, t, places] = y[:, h]
    elif part in ("ffn_gate", "ffn_up"):
        x[:da.ffn] = widen(draft(name, (da.ffn, dd), kind))
    elif part == "ffn_down":
        x[:, :da.ffn] = 0
        x[:dd, :da.ffn] = draft(name, (dd, da.ffn), kind)
    return x


def check_embedding(a, da):
    def need(condition, what):
        if not condition:
            sys.exit(f"--embed-draft: {what}")

    need(a.experts == 0, "mixtures of experts cannot hold a draft")
    need(a.arch == da.arch, f"target is {a.arch}, draft {da.arch}")
    need(a.arch != "qwen3", "qwen3 normalises each head over its own width, so heads cannot be widened")
    need(a.dim >= da.dim and a.layers >= da.layers and a.ffn >= da.ffn, "the draft is larger than the target")
    need(a.head_dim % da.head_dim == 0, "head_dim of the target must be a multiple of the draft's")
    need(a.kv_heads >= da.kv_heads and a.heads // a.kv_heads >= da.heads // da.kv_heads,
         "each KV head of the target must serve at least as many heads as the draft's")
    need(a.rope_freqs == "" or a.head_dim == da.head_dim, "with --rope-freqs both need the same head_dim")
    need(a.rope_base == da.rope_base and a.rope_freqs == da.rope_freqs, "both need the same RoPE")


# ---------------------------------------------------------------------------------------------------- command line


def add_dimensions(p):
    p.add_argument("--preset", choices=sorted(PRESETS))
    p.add_argument("--arch", default="llama", choices=("llama", "qwen2", "qwen3", "qwen3moe", "gpt-oss"))
    for name, default in (("dim", 256), ("layers", 2), ("heads", 4), ("kv-heads", 2), ("head-dim", 0), ("ffn", 512),
                          ("seed", 1), ("ctx", 4096), ("vocab-size", 0), ("experts", 0), ("experts-used", 0)):
        p.add_argument("--" + name, type=int, default=default, metavar="N")
    p.add_argument("--q4-k", action="store_true", help="random blocks of Q4_K, embedding apart: what would take long to quantise")
    p.add_argument("--tied", action="store_true", help="the embedding is the output matrix")
    p.add_argument("--logit-scale", type=float, default=3.0, help="standard deviation of the logits, about")
    p.add_argument("--branch", type=float, default=1.0, help="size of what a layer adds")
    p.add_argument("--grid", action="store_true", help="weights that 4-bit types hold exactly: then --noise alone sets acceptance")
    p.add_argument("--router", default="random", choices=("random", "skewed"), help="skewed: some experts are chosen more often")
    p.add_argument("--skew", type=float, default=1.0, help="with --router skewed: how unevenly")
    p.add_argument("--rope-base", type=float, default=10000.0)
    p.add_argument("--rope-freqs", default="", metavar="FACTOR,LOW,HIGH,OLD_CTX", help="as in Llama 3.x")


def parse(p, words):
    """Options, with those of a preset in front so that what is given beside it wins."""
    first, _ = p.parse_known_args(words)
    a = p.parse_args((PRESETS[first.preset].split() if first.preset else []) + words)
    a.head_dim = a.head_dim or a.dim // a.heads
    return a


def metadata(a, vocab, n_vocab):
    k = a.arch + "."
    out = [("general.architecture", STR, a.arch), ("general.name", STR, a.name or f"seeded {a.preset or a.arch}"),
           ("general.file_type", U32, 0 if a.f32 else 1), (k + "context_length", U32, a.ctx),
           (k + "embedding_length", U32, a.dim), (k + "block_count", U32, a.layers),
           (k + "feed_forward_length", U32, a.ffn), (k + "attention.head_count", U32, a.heads),
           (k + "attention.head_count_kv", U32, a.kv_heads), (k + "attention.layer_norm_rms_epsilon", F32, 1e-6),
           (k + "rope.freq_base", F32, a.rope_base), (k + "rope.dimension_count", U32, a.head_dim)]
    if a.experts:
        out += [(k + "expert_count", U32, a.experts), (k + "expert_used_count", U32, a.experts_used),
                (k + "expert_feed_forward_length", U32, a.ffn)]
    if a.arch == "gpt-oss":
        out += [(k + "attention.sliding_window", U32, 128), (k + "rope.scaling.type", STR, "yarn"), (k + "rope.scaling.factor", F32, 32.0),
                (k + "rope.scaling.original_context_length", U32, 4096)]
    if a.head_dim * a.heads != a.dim or a.arch in ("qwen3", "qwen3moe"):
        out += [(k + "attention.key_length", U32, a.head_dim), (k + "attention.value_length", U32, a.head_dim)]
    return out + [(k + "vocab_size", U32, n_vocab)] + vocab


def gguf_type(a, name, shape, kind):
    if a.arch == "gpt-oss" and "_exps.weight" in name:
        return TENSOR_MXFP4  # as the published files have them
    if a.q4_k and len(shape) > 1 and kind not in ("router", "bias", "embedding") and shape[-1] % 256 == 0:
        return TENSOR_Q4_K
    return TENSOR_F32 if len(shape) == 1 or a.f32 or kind in ("router", "bias") else TENSOR_F16


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    add_dimensions(p)
    p.add_argument("--vocab-from", default="", metavar="FILE", help="a GGUF file or a tokenizer.json")
    p.add_argument("--pre", default="qwen2", help="pre-tokenizer of a tokenizer.json")
    p.add_argument("--pad-vocab", type=int, default=0, metavar="N", help="ids at least, with a tokenizer.json")
    p.add_argument("--embed-draft", default="", metavar="ARGS", help="the draft's own arguments, as one string")
    p.add_argument("--noise", type=float, default=0.1, help="with --embed-draft: 0 agrees always, 1 hardly ever")
    p.add_argument("--f32", action="store_true", help="matrices in F32 instead of F16")
    p.add_argument("--name", default="")
    a = parse(p, sys.argv[1:])
    make = lambda name, shape, kind: random_tensor(a, name, shape, kind)
    if a.embed_draft:
        dp = argparse.ArgumentParser(prog="--embed-draft")
        add_dimensions(dp)
        da = parse(dp, a.embed_draft.split())
        check_embedding(a, da)
        make = lambda name, shape, kind: embedded_tensor(a, da, name, shape, kind)
    vocab, n_vocab = vocabulary(a)
    tensors = [(n, s, k, gguf_type(a, n, s, k)) for n, s, k in shapes(a, n_vocab)]
    write_gguf(a.out, metadata(a, vocab, n_vocab), tensors, make)
    print(f"{a.out}: {n_vocab} ids, {sum(int(np.prod(s)) for _, s, _, _ in tensors)} weights")


if __name__ == "__main__":
    main()
