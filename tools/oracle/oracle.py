#!/usr/bin/env python3
"""Reference forward pass of a GGUF language model in float64: weights dequantised exactly, activations never quantised.

  oracle.py MODEL.gguf --tokens 1,2,3 [--out logits.f32] [--greedy N] [--margins]

--tokens: ids, or @FILE holding them. --out: n_tokens x n_vocab float32, little endian, row i = logits after token i.
--greedy N: prints the N ids that follow, each the lowest id of largest logit; --margins prints the gaps between the two largest logits.
Architectures: llama (interleaved RoPE), qwen2, qwen3, qwen3moe, phi3, gemma3 (RoPE by halves). Only numpy is needed. Slow by design.
"""
import argparse, struct, sys
import numpy as np

# ---------------------------------------------------------------- block formats: id -> (name, values per block, bytes per block)
TYPES = {0:('F32',1,4), 1:('F16',1,2), 2:('Q4_0',32,18), 3:('Q4_1',32,20), 6:('Q5_0',32,22), 7:('Q5_1',32,24), 8:('Q8_0',32,34),
         10:('Q2_K',256,84), 11:('Q3_K',256,110), 12:('Q4_K',256,144), 13:('Q5_K',256,176), 14:('Q6_K',256,210),
         20:('IQ4_NL',32,18), 23:('IQ4_XS',256,136), 30:('BF16',1,2), 39:('MXFP4',32,17)}
IQ4 = np.array([-127,-104,-83,-65,-49,-35,-22,-10,1,13,25,38,53,69,89,113], 'f8')
E2M1 = np.array([0,.5,1,1.5,2,3,4,6,-0.,-.5,-1,-1.5,-2,-3,-4,-6], 'f8')

def half(b, at):      # one float16 per block, as a column
    return np.ascontiguousarray(b[:,at:at+2]).view('<f2').astype('f8')
def nibbles(q):       # 16 bytes hold values 0..15 in their low halves and 16..31 in their high halves
    return np.concatenate([q & 15, q >> 4], -1)
def fives(b, at, q):  # fifth bits: bit j of a 32-bit word belongs to value j
    return nibbles(q) | (np.unpackbits(np.ascontiguousarray(b[:,at:at+4]), axis=1, bitorder='little') << 4)
def k4_scales(s):     # 8 scales and 8 minimums of 6 bits in 12 bytes
    lo, mi, hi = s[:,0:4], s[:,4:8], s[:,8:12]
    return (np.concatenate([lo & 63, (hi & 15) | (lo >> 6 << 4)], 1).astype('f8'), np.concatenate([mi & 63, (hi >> 4) | (mi >> 6 << 4)], 1).astype('f8'))
def planes(q, step):  # bit fields of `step` bits, lowest plane first: (n, groups, 32) -> (n, groups, 8/step, 32)
    return np.stack([(q >> s) & ((1 << step) - 1) for s in range(0, 8, step)], 2)

def dequantize(raw, t):
    """The values of a whole tensor as float64 (exact: every product below has at most 53 significant bits)."""
    name, nv, nb = TYPES[t]
    if name == 'F32': return raw.view('<f4').astype('f8')
    if name == 'F16': return raw.view('<f2').astype('f8')
    if name == 'BF16': return (raw.view('<u2').astype('<u4') << 16).view('<f4').astype('f8')
    b = raw.reshape(-1, nb); n = len(b)
    if name == 'Q4_0': v = half(b,0)*(nibbles(b[:,2:]).astype('f8')-8)
    elif name == 'Q4_1': v = half(b,0)*nibbles(b[:,4:])+half(b,2)
    elif name == 'Q5_0': v = half(b,0)*(fives(b,2,b[:,6:]).astype('f8')-16)
    elif name == 'Q5_1': v = half(b,0)*fives(b,4,b[:,8:])+half(b,2)
    elif name == 'Q8_0': v = half(b,0)*b[:,2:].view('i1')
    elif name == 'IQ4_NL': v = half(b,0)*IQ4[nibbles(b[:,2:])]
    elif name == 'MXFP4': v = np.ldexp(1.0, b[:,:1].astype(int)-127)*E2M1[nibbles(b[:,1:])]
    elif name == 'Q2_K':
        q = planes(b[:,16:80].reshape(n,2,32), 2).reshape(n,16,16); s = b[:,:16,None]
        v = half(b,80)[:,:,None]*(s & 15)*q-half(b,82)[:,:,None]*(s >> 4)
    elif name == 'Q3_K':
        q = planes(b[:,32:96].reshape(n,2,32), 2).reshape(n,16,16).astype('f8'); h = planes(b[:,None,:32], 1).reshape(n,16,16)
        s = nibbles(b[:,96:104]) | np.concatenate([(b[:,104:108] >> k & 3) << 4 for k in (0,2,4,6)], 1)
        v = half(b,108)[:,:,None]*(s.astype('f8')-32)[:,:,None]*(q-4*(1-h.astype('f8')))
    elif name in ('Q4_K','Q5_K'):
        s, m = k4_scales(b[:,4:16]); q = planes(b[:,-128:].reshape(n,4,32), 4).reshape(n,8,32)
        if name == 'Q5_K': q = q | planes(b[:,None,16:48], 1).reshape(n,8,32) << 4
        v = half(b,0)[:,:,None]*s[:,:,None]*q-half(b,2)[:,:,None]*m[:,:,None]
    elif name == 'Q6_K':
        l = b[:,:128].reshape(n,2,64); q = np.concatenate([l & 15, l >> 4], 2).reshape(n,2,4,32) | planes(b[:,128:192].reshape(n,2,32), 2) << 4
        v = half(b,208)[:,:,None]*b[:,192:208].view('i1')[:,:,None]*(q.reshape(n,16,16).astype('f8')-32)
    elif name == 'IQ4_XS':
        h = np.ascontiguousarray(b[:,2:4]).view('<u2').astype(int); k = np.arange(8)
        s = (b[:,4:8].astype(int)[:,k//2] >> 4*(k%2) & 15) | (h >> 2*k & 3) << 4
        v = half(b,0)[:,:,None]*(s-32)[:,:,None]*IQ4[nibbles(b[:,8:].reshape(n,8,16))]
    return v.reshape(-1)

# ---------------------------------------------------------------- GGUF
class Gguf:
    def __init__(self, path):
        self.data = d = np.memmap(path, dtype='u1', mode='r'); self.at = 0
        if bytes(d[:4]) != b'GGUF': raise ValueError('not a GGUF file')
        self.at = 4; self.version = self.num('I')
        if self.version not in (2,3): raise ValueError(f'GGUF version {self.version}')
        nt, nk = self.num('Q'), self.num('Q'); self.kv = {}; self.tensors = {}
        for _ in range(nk): k = self.str().decode(); self.kv[k] = self.value(self.num('I'))
        for _ in range(nt):
            name = self.str().decode(); dims = [self.num('Q') for _ in range(self.num('I'))]; self.tensors[name] = (dims[::-1], self.num('I'), self.num('Q'))
        al = self.kv.get('general.alignment', 32); self.base = -(-self.at//al)*al
    def num(self, f):
        n = struct.calcsize(f); v = struct.unpack('<'+f, self.data[self.at:self.at+n].tobytes())[0]; self.at += n; return v
    def str(self):
        n = self.num('Q'); s = self.data[self.at:self.at+n].tobytes(); self.at += n; return s
    def value(self, t):
        if t == 8: return self.str()
        if t == 9: e, n = self.num('I'), self.num('Q'); return [self.value(e) for _ in range(n)]
        return self.num('BbHhIif?__QqdX'[t])
    def tensor(self, name):
        dims, t, off = self.tensors[name]
        if t not in TYPES: raise ValueError(f'{name}: type {t} is not supported')
        _, nv, nb = TYPES[t]; size = int(np.prod(dims))//nv*nb
        return dequantize(np.array(self.data[self.base+off:self.base+off+size]), t).reshape(dims)

# ---------------------------------------------------------------- model
def silu(x): return x/(1+np.exp(-x))
def gelu(x): return 0.5*x*(1+np.tanh(np.sqrt(2/np.pi)*(x+0.044715*x**3)))
def rms(x, w, eps): return x/np.sqrt((x*x).mean(-1, keepdims=True)+eps)*w
def softmax(x): e = np.exp(x-x.max(-1, keepdims=True)); return e/e.sum(-1, keepdims=True)

class Model:
    def __init__(self, path):
        self.g = g = Gguf(path); self.arch = a = g.kv['general.architecture'].decode()
        if a not in ('llama','qwen2','qwen3','qwen3moe','phi3','gemma3'): raise ValueError(f'architecture {a}')
        k = lambda name, default=None: g.kv.get(f'{a}.{name}', default)
        self.dim, self.layers, self.heads = k('embedding_length'), k('block_count'), k('attention.head_count')
        self.kv_heads = k('attention.head_count_kv', self.heads); self.eps = k('attention.layer_norm_rms_epsilon')
        self.hd = k('attention.key_length', self.dim//self.heads); self.rot = k('rope.dimension_count', self.hd)
        self.base = k('rope.freq_base', 10000.0); self.window = k('attention.sliding_window', 0); self.used = k('expert_used_count', 0)
        st = k('rope.scaling.type', b'none')
        if st not in (b'none', b'linear'): raise ValueError(f'RoPE scaling {st}')
        self.rope_scale = 1/k('rope.scaling.factor', 1.0) if st == b'linear' else 1.0
        if isinstance(self.heads, list) or isinstance(self.kv_heads, list): raise ValueError('heads that differ between layers')
        if any(n.startswith('rope_factors_') for n in g.tensors): raise ValueError('long/short RoPE factors')
        self.scale = 1/np.sqrt(self.dim//self.heads if a == 'gemma3' and self.layers == 62 else self.hd)   # the 27B gemma3 differs
        self.W = {n: g.tensor(n) for n in g.tensors}
        self.vocab = self.W['token_embd.weight'].shape[0]; self.past = [None]*self.layers; self.n = 0
        self.seen = lambda what, layer, x: None   # called with every intermediate result: (tokens, ...)
    def reset(self): self.past = [None]*self.layers; self.n = 0
    def rope(self, x, pos, base, scale):   # x: (tokens, heads, head_dim)
        h = self.rot//2; f = base**(-2*np.arange(h)/self.rot)
        if 'rope_freqs.weight' in self.W: f = f/self.W['rope_freqs.weight'][:h]
        a = (pos*scale)[:,None,None]*f; c, s = np.cos(a), np.sin(a); y = x.copy()
        i, j = (slice(0,self.rot,2), slice(1,self.rot,2)) if self.arch == 'llama' else (slice(0,h), slice(h,self.rot))
        y[...,i] = x[...,i]*c-x[...,j]*s; y[...,j] = x[...,i]*s+x[...,j]*c
        return y
    def attention(self, l, x, pos):
        T = len(x); H, K, D = self.heads, self.kv_heads, self.hd; w = lambda n: self.W[f'blk.{l}.{n}']
        if self.arch == 'phi3': q, k, v = np.split(x@w('attn_qkv.weight').T, [H*D, (H+K)*D], -1)
        else: q, k, v = (x@w(f'attn_{c}.weight').T+self.W.get(f'blk.{l}.attn_{c}.bias', 0) for c in 'qkv')
        q, k, v = q.reshape(T,H,D), k.reshape(T,K,D), v.reshape(T,K,D)
        if self.arch in ('qwen3','qwen3moe','gemma3'): q, k = rms(q, w('attn_q_norm.weight'), self.eps), rms(k, w('attn_k_norm.weight'), self.eps)
        local = self.window and (self.arch == 'phi3' or (self.arch == 'gemma3' and (l+1)%6))   # gemma3: every sixth layer sees all
        base, scale = (10000.0, 1.0) if self.arch == 'gemma3' and local else (self.base, self.rope_scale)
        q, k = self.rope(q, pos, base, scale), self.rope(k, pos, base, scale)
        for what, x_ in (('q', q), ('k', k), ('v', v)): self.seen(what, l, x_.reshape(T,-1))
        if self.past[l] is not None: k, v = np.concatenate([self.past[l][0], k]), np.concatenate([self.past[l][1], v])
        self.past[l] = (k, v); at = np.arange(len(k)); hide = at[None,:] > pos[:,None]
        if local: hide |= pos[:,None]-at[None,:] >= self.window
        out = np.empty((T,H,D))
        for h in range(H):
            s = q[:,h]@k[:,h*K//H].T*self.scale; out[:,h] = softmax(np.where(hide, -np.inf, s))@v[:,h*K//H]
        self.seen('heads', l, out.reshape(T,H*D))
        return out.reshape(T,H*D)@w('attn_output.weight').T
    def ffn(self, l, x):
        w = lambda n: self.W[f'blk.{l}.{n}.weight']
        if self.arch == 'phi3': g, u = np.split(x@w('ffn_up').T, 2, -1); return (silu(g)*u)@w('ffn_down').T
        if 'blk.%d.ffn_gate_inp.weight'%l not in self.W:
            h = (gelu if self.arch == 'gemma3' else silu)(x@w('ffn_gate').T)*(x@w('ffn_up').T); self.seen('ffn_hidden', l, h)
            return h@w('ffn_down').T
        p = softmax(x@w('ffn_gate_inp').T); y = np.zeros_like(x)
        for t in range(len(x)):
            top = np.argsort(-p[t], kind='stable')[:self.used]; c = p[t,top]/p[t,top].sum()   # chosen probabilities renormalised
            for e, ce in zip(top, c): y[t] += ce*((silu(x[t]@w('ffn_gate_exps')[e].T)*(x[t]@w('ffn_up_exps')[e].T))@w('ffn_down_exps')[e].T)
        return y
    def forward(self, ids):
        """Logits after each of ids, which continue whatever was given before (see reset)."""
        W = self.W; x = W['token_embd.weight'][list(ids)]; pos = np.arange(self.n, self.n+len(x)); self.n += len(x)
        if self.arch == 'gemma3': x = x*np.sqrt(self.dim)
        self.seen('embd', -1, x)
        for l in range(self.layers):
            p = f'blk.{l}.'; h = rms(x, W[p+'attn_norm.weight'], self.eps); self.seen('attn_norm', l, h); a = self.attention(l, h, pos)
            if self.arch == 'gemma3': a = rms(a, W[p+'post_attention_norm.weight'], self.eps)
            self.seen('attn_out', l, a); x = x+a; h = rms(x, W[p+'ffn_norm.weight'], self.eps); self.seen('ffn_norm', l, h); f = self.ffn(l, h)
            if self.arch == 'gemma3': f = rms(f, W[p+'post_ffw_norm.weight'], self.eps)
            self.seen('ffn_out', l, f); x = x+f; self.seen('layer_out', l, x)
        x = rms(x, W['output_norm.weight'], self.eps); self.seen('output_norm', -1, x)
        return x@W.get('output.weight', W['token_embd.weight']).T
    def greedy(self, logits, n):
        ids, margins = [], []
        for _ in range(n):
            i = int(logits.argmax()); s = np.sort(logits)[-2:]; ids.append(i); margins.append(float(s[1]-s[0])); logits = self.forward([i])[-1]
        return ids, margins

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('model'); ap.add_argument('--tokens', required=True); ap.add_argument('--out'); ap.add_argument('--greedy', type=int, default=0); ap.add_argument('--margins', action='store_true')
    a = ap.parse_args(); t = open(a.tokens[1:]).read() if a.tokens.startswith('@') else a.tokens
    ids = [int(x) for x in t.replace(',', ' ').split()]; m = Model(a.model)
    if not ids or min(ids) < 0 or max(ids) >= m.vocab: sys.exit('oracle.py: a token id is outside the vocabulary')
    L = m.forward(ids)
    if a.out: L.astype('<f4').tofile(a.out)
    if a.greedy:
        g, gap = m.greedy(L[-1], a.greedy); print(','.join(map(str, g)))
        if a.margins: print(','.join(f'{x:.6g}' for x in gap))
if __name__ == '__main__': main()
