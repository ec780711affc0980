#!/usr/bin/env python3
"""Writes small seeded models of architectures that Verbatim does not build, and the oracle's recordings of them (docs/vectors.md).

  standins.py DIR      DIR/models/standins/ARCH.gguf, DIR/oracle/standin-ARCH.jsonl, lines in DIR/models/sources.jsonl

Other engines can be compared with these; `verbatim check` wants our build to refuse the models by name, or, once it builds them, to
agree with the oracle. The same bytes on every machine: weights are sums of integers, as in tests/gguf_writer.h. Each model shows what
is special about its architecture within eleven tokens:
  phi3      q, k, v and gate, up in one matrix each; a sliding window of 4 in every layer
  gemma3    embeddings scaled, norms after each half layer, GELU; windows of 4 but in every sixth layer, two RoPE bases, linear scaling
  qwen3moe  q and k norms, the 2 best of 8 experts, their probabilities renormalised
"""
import hashlib, json, os, sys
import numpy as np
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, '..', 'mkmodel')]
import mkmodel as mk, oracle, record

PROMPT, GENERATE = [1, 290, 302, 301, 17, 5, 256, 311, 98, 300, 111], 12
VOCAB, HEADS, KV, D, DIM, FFN, EXPERTS = 384, 4, 2, 16, 64, 96, 8

def normal(name, n):
    """Mean 0, standard deviation 1: sums of 12 uniform 16-bit integers, exact."""
    rng = np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], 'little'))
    words = rng.random_raw(3 * n).view('<u2').astype('f8').reshape(n, 12)
    return (words.sum(1) - 6 * 65535) / 65536

def tensors(arch, layers):
    q, kv = HEADS * D, KV * D; out = [('token_embd.weight', (VOCAB, DIM), 1.0 if arch != 'gemma3' else 0.25)]
    for i in range(layers):
        p = f'blk.{i}.'; norm = lambda name, n=DIM: out.append((p + name + '.weight', (n,), None))
        matrix = lambda name, *shape: out.append((p + name + '.weight', shape, shape[-1] ** -0.5))
        norm('attn_norm')
        if arch == 'phi3': matrix('attn_qkv', q + 2 * kv, DIM)
        else: matrix('attn_q', q, DIM); matrix('attn_k', kv, DIM); matrix('attn_v', kv, DIM); norm('attn_q_norm', D); norm('attn_k_norm', D)
        matrix('attn_output', DIM, q)
        if arch == 'gemma3': norm('post_attention_norm')
        norm('ffn_norm')
        if arch == 'phi3': matrix('ffn_up', 2 * FFN, DIM); matrix('ffn_down', DIM, FFN)
        elif arch == 'gemma3': matrix('ffn_gate', FFN, DIM); matrix('ffn_up', FFN, DIM); matrix('ffn_down', DIM, FFN); norm('post_ffw_norm')
        else: matrix('ffn_gate_inp', EXPERTS, DIM); matrix('ffn_gate_exps', EXPERTS, FFN, DIM); matrix('ffn_up_exps', EXPERTS, FFN, DIM); matrix('ffn_down_exps', EXPERTS, DIM, FFN)
    out.append(('output_norm.weight', (DIM,), None))
    if arch != 'gemma3': out.append(('output.weight', (VOCAB, DIM), 4 * DIM ** -0.5))
    return out

def write_model(path, arch):
    layers = 6 if arch == 'gemma3' else 2; vocab, _ = mk.made_up_vocabulary(VOCAB); k = arch + '.'
    meta = [('general.architecture', mk.STR, arch), ('general.name', mk.STR, f'seeded {arch} {DIM}x{layers}'), ('general.file_type', mk.U32, 1), (k + 'context_length', mk.U32, 128),
            (k + 'embedding_length', mk.U32, DIM), (k + 'block_count', mk.U32, layers), (k + 'feed_forward_length', mk.U32, FFN), (k + 'attention.head_count', mk.U32, HEADS),
            (k + 'attention.head_count_kv', mk.U32, KV), (k + 'attention.key_length', mk.U32, D), (k + 'attention.value_length', mk.U32, D),
            (k + 'attention.layer_norm_rms_epsilon', mk.F32, 1e-6), (k + 'rope.dimension_count', mk.U32, D), (k + 'rope.freq_base', mk.F32, 1e6 if arch == 'gemma3' else 1e4)]
    if arch in ('phi3', 'gemma3'): meta.append((k + 'attention.sliding_window', mk.U32, 4))
    if arch == 'gemma3': meta += [(k + 'rope.scaling.type', mk.STR, 'linear'), (k + 'rope.scaling.factor', mk.F32, 8.0)]
    if arch == 'qwen3moe': meta += [(k + 'expert_count', mk.U32, EXPERTS), (k + 'expert_used_count', mk.U32, 2), (k + 'expert_feed_forward_length', mk.U32, FFN)]
    def make(name, shape, std):
        x = normal(f'{arch} {name}', int(np.prod(shape))).reshape(shape); return 1 + 0.1 * x if std is None else std * x
    # Matrices in F16, but that of the router, which files keep in float32, as they do norms.
    mk.write_gguf(path, meta + vocab, [(n, s, std, mk.TENSOR_F32 if std is None or 'gate_inp' in n else mk.TENSOR_F16) for n, s, std in tensors(arch, layers)], make)

def main():
    if len(sys.argv) != 2: sys.exit(__doc__)
    folder = sys.argv[1]; os.makedirs(os.path.join(folder, 'models', 'standins'), exist_ok=True); sources = os.path.join(folder, 'models', 'sources.jsonl')
    with open(sources) as f: kept = [s for s in f if '"models/standins/' not in s]
    for arch in ('phi3', 'gemma3', 'qwen3moe'):
        name = f'models/standins/{arch}.gguf'; path = os.path.join(folder, name); write_model(path, arch); m = oracle.Model(path)
        kept.append(record.line({'model': name, 'origin': 'seeded', 'licence': 'CC0-1.0', 'command': 'tools/oracle/standins.py DIR'}))
        head = {'verbatim': 'vectors', 'version': 1, 'kind': 'model', 'origin': 'oracle', 'licence': 'CC0-1.0', 'command': 'tools/oracle/standins.py DIR', 'model': name,
                'architecture': arch, 'n_layers': m.layers, 'n_vocab': m.vocab, 'activations': 'float64', 'kv': 'float64', 'bound': record.hex64([record.bound(m)]), 'generate': GENERATE}
        out = os.path.join(folder, 'oracle', f'standin-{arch}.jsonl'); record.write(out, head, m, [(0, PROMPT)], GENERATE, True); print(out)
    with open(sources, 'w') as f: f.writelines(kept)
if __name__ == '__main__': main()
