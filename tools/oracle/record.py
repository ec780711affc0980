#!/usr/bin/env python3
"""Writes the oracle's recordings (docs/vectors.md): for each DIR/recordings/NAME.q16.jsonl the same prompts through oracle.py, in
float64 from exactly dequantised weights, to DIR/oracle/NAME.jsonl.

  record.py DIR

Only the model, the prompts' ids and the number of tokens to generate are taken from the recording: no result of the code under test.
Logits are in full at every position, other arrays at the last one by their first and last 8 values; all rounded once to float32.
"""
import glob, json, os, sys
import numpy as np
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle

def hex32(x): return ''.join('%08x' % v for v in np.asarray(x, '<f4').view('<u4').ravel())
def hex64(x): return ''.join('%016x' % v for v in np.asarray(x, '<f8').view('<u8').ravel())
def line(o): return json.dumps(o, separators=(',', ':'), ensure_ascii=False) + '\n'
def logprob(l, i): m = l.max(); return (l[i] - m) - np.log(np.exp(l - m).sum())

ORDER = ['embd', 'attn_norm', 'q', 'k', 'v', 'heads', 'attn_out', 'ffn_norm', 'ffn_hidden', 'ffn_out', 'layer_out', 'output_norm', 'logits']
# An array agrees when no value is off by more than this part of its largest; larger where activations are rounded to 15 bits.
BOUND = {'F32': 2.0**-16, 'F16': 2.0**-16, 'BF16': 2.0**-16}
BOUND_BLOCKS = 2.0**-10

def bound(m):
    names = {oracle.TYPES[t][0] for dims, t, _ in m.g.tensors.values() if len(dims) > 1}
    return max(BOUND.get(n, BOUND_BLOCKS) for n in names)

def write(out, head, m, prompts, generate, full):
    """prompts: (number, ids). full: every array of every position; 'last': of the last one; else arrays of the last one in part.
    Logits are always in full."""
    text = [head]
    for number, ids in prompts:
        seen = []; m.reset(); m.seen = lambda what, layer, x: seen.append((what, layer, x))
        logits = m.forward(ids); m.seen = lambda *a: None
        text.append({'prompt': number, 'tokens': ids})
        for i in range(len(ids)):
            if full is True or i == len(ids) - 1:
                for what, layer, x in seen:
                    o = {'position': i}
                    if layer >= 0: o['layer'] = layer
                    o.update(op=what, n=x.shape[1])
                    o.update({'f32': hex32(x[i])} if full or x.shape[1] <= 16 else {'first': hex32(x[i][:8]), 'last': hex32(x[i][-8:])})
                    text.append(o)
            text.append({'position': i, 'op': 'logits', 'n': logits.shape[1], 'f32': hex32(logits[i])})
        text.append({'logprobs': hex64([logprob(logits[i], ids[i+1]) for i in range(len(ids) - 1)])})
        got, lp, gaps = [], [], []; l = logits[-1]
        for _ in range(generate):
            i = int(l.argmax()); two = np.sort(l)[-2:]; got.append(i); lp.append(logprob(l, i)); gaps.append(two[1] - two[0]); l = m.forward([i])[-1]
        text.append({'greedy': got, 'logprobs': hex64(lp), 'margins': hex64(gaps)})
    text.append({'end': len(text)})
    with open(out, 'w') as f: f.writelines(map(line, text))

def record(folder, name, out):
    with open(os.path.join(folder, name)) as f: lines = [json.loads(s) for s in f]
    head = lines[0]; m = oracle.Model(os.path.join(folder, head['model']))
    write(out, {'verbatim': 'vectors', 'version': 1, 'kind': 'model', 'origin': 'oracle', 'licence': 'CC0-1.0', 'command': 'tools/oracle/record.py DIR',
             'recording': name, 'model': head['model'], 'model_xxh3': head['model_xxh3'], 'architecture': head['architecture'],
             'n_layers': head['n_layers'], 'n_vocab': head['n_vocab'], 'activations': 'float64', 'kv': 'float64', 'bound': hex64([bound(m)])},
          m, [(l['prompt'], l['tokens']) for l in lines if 'prompt' in l], head['generate'], False)

def main():
    if len(sys.argv) != 2: sys.exit(__doc__)
    folder = sys.argv[1]; os.makedirs(os.path.join(folder, 'oracle'), exist_ok=True)
    for path in sorted(glob.glob(os.path.join(folder, 'recordings', '*.q16.jsonl'))):
        base = os.path.basename(path)[:-len('.q16.jsonl')]; out = os.path.join(folder, 'oracle', base + '.jsonl')
        record(folder, 'recordings/' + base + '.q16.jsonl', out); print(out)
if __name__ == '__main__': main()
