#!/usr/bin/env python3
"""Reads golden vectors and checks them without any of Verbatim's code: written from docs/vectors.md, docs/numerics.md and docs/trace.md.

  check_vectors.py [DIR]      (vectors)

Needs NumPy. What is checked, per level:
  1  tokens      SentencePiece vocabularies: every text is tokenised again (naively). Others: the ids' bytes are the text's
  2  blocks      every block of every type is decoded again, bit for bit
  3  dots        activations are rounded again, integer sums and products computed again, bit for bit
  4  recordings  every RMSNorm and every residual sum follows from the arrays before it and the model's weights, bit for bit
  5  logits      log-probabilities, greedy choices and margins follow from the logits; in traces p and q from the laws, the decisions
                 of `rejection` from the coins, what was emitted from the decisions. (`verbatim trace-check` derives everything)
"""
import json, math, os, struct, sys
try:
    import numpy as np
except ImportError:
    sys.exit('check_vectors.py: this Python has no NumPy (Debian: apt-get install python3-numpy, then /usr/bin/python3)')

F4, F8, I8 = np.float32, np.float64, np.int64
TYPES = {'F32': (1, 4), 'F16': (1, 2), 'BF16': (1, 2), 'Q4_0': (32, 18), 'Q4_1': (32, 20), 'Q5_0': (32, 22), 'Q5_1': (32, 24), 'Q8_0': (32, 34),
         'Q2_K': (256, 84), 'Q3_K': (256, 110), 'Q4_K': (256, 144), 'Q5_K': (256, 176), 'Q6_K': (256, 210), 'IQ4_NL': (32, 18), 'IQ4_XS': (256, 136), 'MXFP4': (32, 17)}
TABLE = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], I8)
E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], I8)   # doubled

def f32(s): return np.frombuffer(bytes.fromhex(s), '>u4').astype('<u4').view('<f4')
def f64(s): return np.frombuffer(bytes.fromhex(s), '>u8').astype('<u8').view('<f8')
def i16(s): return np.frombuffer(bytes.fromhex(s), '>i2').astype(I8)
def raw(s): return np.frombuffer(bytes.fromhex(s), 'u1')
def lines(path):
    with open(path, encoding='utf-8') as f: out = [json.loads(s) for s in f]
    return out
def same(a, b): return a.shape == b.shape and bool((a.astype('<f4').view('<u4') == b.astype('<f4').view('<u4')).all())

class Failed(Exception): pass
def need(ok, what):
    if not ok: raise Failed(what)

# ---------------------------------------------------------------- blocks: q, d, m, scale, min per group of 32 (numerics.md, "Weights")
def half(b, at): return np.ascontiguousarray(b[:, at:at+2]).view('<f2').astype(F4)[:, 0]
def low_high(q): return np.concatenate([q & 15, q >> 4], -1)

def groups(name, data):
    """(n, groups, 32) integers, d and m (n, groups), scale and min (n, groups, 2)."""
    values, size = TYPES[name]; B = data.reshape(-1, size); b = B.astype(I8); n, g = len(b), values // 32
    d, m = np.zeros((n, g), F4), np.zeros((n, g), F4); scale, minimum = np.ones((n, g, 2), I8), np.zeros((n, g, 2), I8)
    bit = lambda at, count: np.unpackbits(np.ascontiguousarray(B[:, at:at+count]), axis=1, bitorder='little').astype(I8)
    six = lambda s: (np.concatenate([s[:, :4] & 63, s[:, 8:] & 15 | s[:, :4] >> 6 << 4], 1), np.concatenate([s[:, 4:8] & 63, s[:, 8:] >> 4 | s[:, 4:8] >> 6 << 4], 1))
    planes = lambda q, step: np.stack([q >> s & (1 << step) - 1 for s in range(0, 8, step)], 2)   # (n, k, 32) -> (n, k, 8/step, 32)
    if name in ('Q4_0', 'IQ4_NL'): q = low_high(b[:, 2:]); q = q - 8 if name == 'Q4_0' else TABLE[q]; d[:, 0] = half(B, 0)
    elif name == 'Q4_1': q = low_high(b[:, 4:]); d[:, 0] = half(B, 0); m[:, 0] = -half(B, 2); minimum[:] = 1
    elif name == 'Q5_0': q = (low_high(b[:, 6:]) | bit(2, 4) << 4) - 16; d[:, 0] = half(B, 0)
    elif name == 'Q5_1': q = low_high(b[:, 8:]) | bit(4, 4) << 4; d[:, 0] = half(B, 0); m[:, 0] = -half(B, 2); minimum[:] = 1
    elif name == 'Q8_0': q = B[:, 2:].view('i1').astype(I8); d[:, 0] = half(B, 0)
    elif name == 'MXFP4': q = E2M1[low_high(b[:, 1:])]; d[:, 0] = np.ldexp(F8(1), b[:, 0] - 128).astype(F4)
    elif name == 'Q2_K':
        q = planes(b[:, 16:80].reshape(n, 2, 32), 2); s = b[:, :16].reshape(n, 8, 2); scale, minimum = s & 15, s >> 4
        d[:], m[:] = half(B, 80)[:, None], half(B, 82)[:, None]
    elif name == 'Q3_K':
        s = low_high(b[:, 96:104]) | np.concatenate([(b[:, 104:108] >> k & 3) << 4 for k in (0, 2, 4, 6)], 1); scale = s.reshape(n, 8, 2) - 32
        q = planes(b[:, 32:96].reshape(n, 2, 32), 2).reshape(n, 8, 32) + 4 * planes(b[:, None, :32], 1).reshape(n, 8, 32) - 4; d[:] = half(B, 108)[:, None]
    elif name in ('Q4_K', 'Q5_K'):
        s, mn = six(b[:, 4:16]); q = planes(b[:, -128:].reshape(n, 4, 32), 4).reshape(n, 8, 32)
        if name == 'Q5_K': q = q | planes(b[:, None, 16:48], 1).reshape(n, 8, 32) << 4
        d[:], m[:], minimum[:] = half(B, 0)[:, None] * s.astype(F4), half(B, 2)[:, None] * mn.astype(F4), 1
    elif name == 'Q6_K':
        l = b[:, :128].reshape(n, 2, 64); q = (np.concatenate([l & 15, l >> 4], 2).reshape(n, 2, 4, 32) | planes(b[:, 128:192].reshape(n, 2, 32), 2) << 4) - 32
        scale = B[:, 192:208].view('i1').astype(I8).reshape(n, 8, 2); d[:] = half(B, 208)[:, None]
    elif name == 'IQ4_XS':
        h = b[:, 2] | b[:, 3] << 8; k = np.arange(8); s = b[:, 4:8][:, k // 2] >> 4 * (k % 2) & 15 | (h[:, None] >> 2 * k & 3) << 4
        q = TABLE[low_high(b[:, 8:].reshape(n, 8, 16))]; d[:] = half(B, 0)[:, None] * (s - 32).astype(F4)
    return q.reshape(n, g, 32), d, m, scale, minimum

def floats(name, data):
    if name == 'F32': return data.view('<f4').astype(F4)
    if name == 'F16': return data.view('<f2').astype(F4)
    return (data.view('<u2').astype('<u4') << 16).view('<f4')

def values(name, data):
    if TYPES[name][0] == 1: return floats(name, data)
    q, d, m, s, mn = groups(name, data); q = q.reshape(q.shape[:2] + (2, 16)).astype(F8)
    return (d[..., None, None].astype(F8) * s[..., None] * q - m[..., None, None].astype(F8) * mn[..., None]).reshape(-1).astype(F4)

def check_blocks(L):
    names = set()
    for l in L[1:-1]:   # values: 0 and -0 are alike here
        need((values(l['type'], raw(l['blocks'])) == f32(l['f32'])).all(), f"values of a block of {l['type']}"); names.add(l['type'])
    need(names == set(TYPES), 'a type is missing'); return f'{len(L) - 2} lines of {len(names)} types'

# ---------------------------------------------------------------- dots
def fma(a, b, c):
    """float32 fma: the product is exact in float64, the sum is rounded to odd there, then once to float32."""
    a, b, c = (np.asarray(v, F8) for v in np.broadcast_arrays(a, b, c)); p = a * b; s = p + c; t = s - p; e = (p - (s - t)) + (c - t)
    u = s.copy().view(I8); odd = (u & 1) != 0; u = np.where((e != 0) & ~odd, np.where((e > 0) == (s > 0), u + 1, u - 1), u); return u.view(F8).astype(F4)

def quantise(x, L):
    g = x.reshape(-1, 32); a = np.abs(g).max(1); zero = a < F4(2.0**-100)
    with np.errstate(all='ignore'): d = np.where(zero, F4(0), a / F4(L)).astype(F4); inv = np.where(zero, F4(0), F4(L) / a).astype(F4)
    return np.clip(np.rint(g * inv[:, None]), -L, L).astype(I8), d

def tree16(w, x):
    lane = np.zeros((len(w), 16), F4)
    for i in range(0, w.shape[1], 16): lane = fma(w[:, i:i+16], x[None, i:i+16], lane)
    for s in (8, 4, 2, 1): lane = lane[:, :s] + lane[:, s:2*s]
    return lane[:, 0]

def check_dots(L):
    xs, acts, count = {}, {}, 0
    for l in L[1:-1]:
        if 'x' in l: xs[l['case']] = f32(l['x'])
        elif 'activations' in l:
            k = l['activations'], l['precision']; q, d = quantise(xs[k[0]], 127 if k[1] == 'q8' else 16256); acts[k] = q, d
            need((q.reshape(-1) == i16(l['q'])).all() and same(d, f32(l['d'])), f'activations {k}')
        elif 'weights' in l: w = l; data = raw(l['blocks'])
        else:
            name, rows = l['dots'], w['rows']; count += 1
            if TYPES[name][0] == 1: y = tree16(floats(name, data).reshape(rows, -1), xs[l['case']])
            else:
                q, d, m, s, mn = (v.reshape((rows, -1) + v.shape[2:]) for v in groups(name, data)); xq, xd = acts[l['case'], l['precision']]
                isum = (s * (q * xq[None]).reshape(rows, -1, 2, 16).sum(3)).sum(2); msum = (mn * xq.reshape(-1, 2, 16).sum(2)[None]).sum(2)
                need(isum.reshape(-1).tolist() == l['isum'] and msum.reshape(-1).tolist() == l['msum'], f'sums of {name}, {l["case"]}')
                y = np.zeros(rows, F4); inner = fma(d, isum.astype(F4), -(m * msum.astype(F4)))
                for b in range(inner.shape[1]): y = fma(xd[b], inner[:, b], y)
            need(same(y, f32(l['y'])), f'products of {name}, {l["case"]}')
    return f'{count} products'

# ---------------------------------------------------------------- GGUF, for vocabularies and norms
class Gguf:
    def __init__(self, path):
        with open(path, 'rb') as f: self.b = f.read()
        self.at = 8; nt, nk = self.num('Q'), self.num('Q'); self.kv = {}; self.tensors = {}
        for _ in range(nk): k = self.text().decode(); self.kv[k] = self.value(self.num('I'))
        for _ in range(nt):
            name = self.text().decode(); dims = [self.num('Q') for _ in range(self.num('I'))]; self.tensors[name] = dims, self.num('I'), self.num('Q')
        self.base = -(-self.at // 32) * 32
    def num(self, f): n = struct.calcsize(f); v = struct.unpack_from('<' + f, self.b, self.at)[0]; self.at += n; return v
    def text(self): n = self.num('Q'); self.at += n; return self.b[self.at-n:self.at]
    def value(self, t):
        if t == 8: return self.text()
        if t == 9: e, n = self.num('I'), self.num('Q'); return [self.value(e) for _ in range(n)]
        return self.num('BbHhIif?__QqdX'[t])
    def vector(self, name): dims, _, off = self.tensors[name]; return np.frombuffer(self.b, '<f4', dims[0], self.base + off)

def spm(g, text):
    """Merge the neighbours whose union has the best score, leftmost first; what is left over becomes bytes."""
    tokens = g.kv['tokenizer.ggml.tokens']; index = {t: i for i, t in reversed(list(enumerate(tokens)))}; score = g.kv['tokenizer.ggml.scores']; kind = g.kv['tokenizer.ggml.token_type']
    if not text: return []
    s = (b' ' + text).replace(b' ', '\u2581'.encode()); parts, i = [], 0
    while i < len(s):
        n = 1 if s[i] < 0xc0 else 2 if s[i] < 0xe0 else 3 if s[i] < 0xf0 else 4; parts.append(s[i:i+n]); i += n
    while True:
        best = None
        for i in range(len(parts) - 1):
            t = index.get(parts[i] + parts[i+1])
            if t is not None and kind[t] in (1, 4, 5) and (best is None or score[t] > score[best[1]]): best = i, t
        if best is None: break
        parts[best[0]:best[0]+2] = [parts[best[0]] + parts[best[0]+1]]
    out = []
    for p in parts: t = index.get(p); out += [t] if t is not None and kind[t] in (1, 4, 5) else [index[b'<0x%02X>' % c] for c in p]
    return out

def check_tokens(L, folder):
    head = L[0]; g = Gguf(os.path.join(folder, head['model'])); tokens = g.kv['tokenizer.ggml.tokens']; kind = g.kv['tokenizer.ggml.token_type']
    plain = [c for c in range(256) if 33 <= c <= 126 or 161 <= c <= 172 or c >= 174]; code = {c: chr(c) for c in plain}
    for c in range(256):
        if c not in code: code[c] = chr(256 + len(code) - len(plain))
    back = {v: k for k, v in code.items()}; again = 0
    for l in L[1:-1]:
        text = bytes.fromhex(l['bytes'])
        if head['tokenizer'] == 'spm':
            try: text.decode()
            except UnicodeDecodeError: continue
            need(spm(g, text) == l['plain'], f'ids of {text!r}'); again += 1
        else:
            import unicodedata
            ids = b''.join(bytes(back[c] for c in tokens[i].decode()) for i in l['plain'])
            try: want = unicodedata.normalize('NFC', text.decode()).encode() if head['pre'] == 'qwen2' else text
            except UnicodeDecodeError: want = text if head['pre'] != 'qwen2' else ids
            need(ids == want, f'bytes of {text!r}'); again += 1
    return f'{again} texts'

# ---------------------------------------------------------------- recordings and traces
def rms(x, w, eps):
    r = F4(1) / np.sqrt(tree16(x[None], x)[0] / F4(len(x)) + F4(eps)); return (x * r) * w

def logsoftmax(l, i): l = l.astype(F8); return l[i] - l.max() - math.log(np.exp(l - l.max()).sum())

def check_model(L, folder):
    head = L[0]; g = Gguf(os.path.join(folder, head['model'])); eps = g.kv[head['architecture'] + '.attention.layer_norm_rms_epsilon']; rows, tokens, count = {}, [], 0
    for l in L[1:-1]:
        if 'prompt' in l: tokens, rows = l['tokens'], {}
        elif 'op' in l:
            if 'f32' in l: x = f32(l['f32']); need(len(x) == l['n'], 'the length of an array'); rows[l['position'], l.get('layer', -1), l['op']] = x
            else: need(len(f32(l['first'])) == len(f32(l['last'])) == 8, 'the first and last 8 values')
        elif 'greedy' in l or 'sampled' in l:
            ids = l.get('greedy', l.get('sampled')); need(len(f64(l['logprobs'])) == len(f64(l['margins'])) == len(ids), 'one log-probability per token')
            logits = rows.get((len(tokens) - 1, -1, 'logits'))
            if logits is not None:   # of the first token; the later ones' logits are not in the file
                top = np.sort(logits.astype(F8))[-2:]; tolerance = 1e-9 if head['origin'] == 'contract' else 1e-4
                need('greedy' not in l or ids[0] == int(logits.argmax()), 'the first greedy token'); need(abs(f64(l['margins'])[0] - (top[1] - top[0])) < tolerance, 'a margin')
                need(abs(f64(l['logprobs'])[0] - logsoftmax(logits, ids[0])) < tolerance, 'a log-probability'); count += 1
        elif 'logprobs' in l:
            for p, v in enumerate(f64(l['logprobs'])):
                if (p, -1, 'logits') in rows: need(abs(v - logsoftmax(rows[p, -1, 'logits'], tokens[p+1])) < (1e-9 if head['origin'] == 'contract' else 1e-4), f'log-probability at {p}'); count += 1
            if head['origin'] != 'contract' or not head['full']: continue
            for p in range(len(tokens)):
                x = rows[p, -1, 'embd']
                for i in range(head['n_layers']):
                    need(same(rms(x, g.vector(f'blk.{i}.attn_norm.weight'), eps), rows[p, i, 'attn_norm']), f'attn_norm, position {p}, layer {i}'); x = x + rows[p, i, 'attn_out']
                    need(same(rms(x, g.vector(f'blk.{i}.ffn_norm.weight'), eps), rows[p, i, 'ffn_norm']), f'ffn_norm, position {p}, layer {i}'); x = x + rows[p, i, 'ffn_out']
                    need(same(x, rows[p, i, 'layer_out']), f'layer_out, position {p}, layer {i}'); count += 3
                need(same(rms(x, g.vector('output_norm.weight'), eps), rows[p, -1, 'output_norm']), f'output_norm, position {p}')
    return f'{count} results'

def check_trace(L):
    path, steps = [], 0
    for l in L[1:]:
        if 'prompt' in l: need(l['prompt'] == len(path), 'the position of a prompt'); path += l['tokens']
        elif 'step' in l:
            need(l['position'] == len(path), 'the position of a step'); steps += 1
            for k, d in enumerate(l['drafted']):
                for name in 'pq':
                    if d[name] is None or not l[name][k]: continue
                    law = dict(zip(l[name][k]['id'], map(int, l[name][k]['w']))); need([law.get(d['id'], 0), sum(law.values())] == [int(v) for v in d[name]], f'{name} of draft {k} in step {steps}')
                if L[0]['accept'] == 'rejection' and d.get('coin') and d['tested']:   # accept iff r < w*V, r uniform below v*W
                    need((int(d['coin']['value']) < int(d['p'][0]) * int(d['q'][1])) == d['accepted'], f'decision {k} of step {steps}')
            need(l['accepted'] == sum(d['accepted'] for d in l['drafted']), 'accepted drafts'); need([d['id'] for d in l['drafted'][:l['accepted']]] == [e['id'] for e in l['emitted'][:l['accepted']]], 'emitted drafts')
            path += [e['id'] for e in l['emitted']]
        elif 'end' in l: need(l['end'] == len(path) and l['steps'] == steps, 'the end')
    return f'{steps} steps'

def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else 'vectors'; bad = 0
    for entry in lines(os.path.join(folder, 'manifest.jsonl'))[1:-1]:
        name, kind = entry['file'], entry['kind']; path = os.path.join(folder, name)
        try:
            need(os.path.getsize(path) == entry['bytes'], 'size')
            if kind in ('weights', 'source', 'texts', 'file'): continue
            L = lines(path)
            if kind != 'trace': need(L[-1] == {'end': len(L) - 1}, 'the last line')
            said = {'tokens': lambda: check_tokens(L, folder), 'blocks': lambda: check_blocks(L), 'dots': lambda: check_dots(L), 'model': lambda: check_model(L, folder), 'trace': lambda: check_trace(L)}[kind]()
            print(f'ok - {name}: {said}')
        except Failed as e: bad += 1; print(f'not ok - {name}: {e}')
    print(f'{bad} failed'); sys.exit(bad > 0)
if __name__ == '__main__': main()
