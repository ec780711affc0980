#!/usr/bin/env python3
"""Records what a PyTorch model computes, for `verbatim compare` (docs/vectors.md).

  record.py --model NAME_OR_FOLDER --ours OURS.jsonl --out THEIRS.jsonl [--dtype float32] [--gguf FILE]

Loads a transformers causal language model (with --gguf, from that GGUF file in the folder: transformers dequantises it), takes the
prompts of OURS (ids), and records the logits of every position, each layer's output where the model reports hidden states, and as many
greedy tokens as OURS has. Needs torch and transformers. Any callable ids -> (logits, layers) can be recorded: see record().
"""
import argparse, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from common import Writer, read_ours

def record(forward, ours, out, engine):
    """forward(ids) -> (logits (n, n_vocab), [layer outputs (n, width)]) as torch tensors or nested lists."""
    head, prompts, generate = read_ours(ours)
    rows = lambda x: x.detach().double().cpu().tolist() if hasattr(x, 'detach') else x
    w = Writer(out, kind='model', origin='other', command='examples/adapters/transformers/record.py', engine=engine)
    for k, ids in enumerate(prompts):
        w.line({'prompt': k, 'tokens': ids})
        logits, layers = forward(ids)
        logits, layers = rows(logits), [rows(x) for x in layers]
        for p in range(len(ids)):
            for number, layer in enumerate(layers):
                w.line({'position': p, 'layer': number, 'op': 'layer_out', 'n': len(layer[p]), 'values': layer[p]})
            w.logits(p, logits[p][:head['n_vocab']])
        path, last = list(ids), logits[-1]
        for _ in range(generate):
            path.append(max(range(head['n_vocab']), key=lambda i: (last[i], -i)))  # ties to the lowest id
            last = rows(forward(path)[0])[-1]
        if generate: w.line({'greedy': path[len(ids):]})
    w.close()

def open_transformers(a):
    import torch, transformers
    extra = {'gguf_file': a.gguf} if a.gguf else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(a.model, torch_dtype=getattr(torch, a.dtype), **extra).eval()
    def forward(ids):
        with torch.no_grad(): r = model(torch.tensor([ids]), output_hidden_states=True, use_cache=False)
        # hidden_states: the embedding, then each layer's output; the last one has the final norm applied, so it is left out
        return r.logits[0], [h[0] for h in (r.hidden_states or [])[1:-1]]
    return forward, f'torch {torch.__version__}, transformers {transformers.__version__}, {a.dtype}'

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--model', required=True, help='a folder or name that transformers knows')
    p.add_argument('--ours', required=True, help='a recording of the same model')
    p.add_argument('--out', required=True)
    p.add_argument('--dtype', default='float32', help='float32, float64, bfloat16, float16')
    p.add_argument('--gguf', help='a GGUF file inside the folder')
    a = p.parse_args()
    forward, engine = open_transformers(a)
    record(forward, a.ours, a.out, engine)
    print(a.out)

if __name__ == '__main__': main()
