"""The llama architecture in torch, written for training on a few CPU cores.

Parameters are float32. With `fast` on, matrix products and attention run in bfloat16 (about twice as fast on
processors with AVX512-BF16) and the residual stream stays float32; with it off everything has the parameters'
own precision, so that `model.double()` gives float64 logits. Pre-norm blocks, RMS norms, rotary positions on
adjacent pairs of values (GGUF's `llama` order), grouped-query attention, SwiGLU, no biases, and the embedding
matrix is the output head.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F


@dataclasses.dataclass
class Config:
    dim: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 768
    vocab: int = 4096
    context: int = 512
    eps: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_dim(self):
        return self.dim // self.heads

    def multiply_adds(self):
        """Multiply-adds for one token in all matrices, the tied output head included (attention scores are
        not)."""
        kv = self.kv_heads * self.head_dim
        layer = 2 * self.dim * self.dim + 2 * self.dim * kv + 3 * self.dim * self.ffn
        return self.layers * layer + self.dim * self.vocab


class RmsNorm(torch.autograd.Function):
    """y = x * r * w with r = 1/sqrt(mean(x^2) + eps); the result is bfloat16. x: (rows, dim) float32."""

    @staticmethod
    def forward(ctx, x, w, eps):
        r = torch.rsqrt(
            torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps)
        )
        ctx.save_for_backward(x, w, r)
        return (x * r).mul_(w).bfloat16()

    @staticmethod
    def backward(ctx, gy):
        x, w, r = ctx.saved_tensors
        g, xr = gy.float(), x * r
        gw = (g * xr).sum(0)
        g.mul_(w)
        dot = (g * xr).mean(-1, keepdim=True)
        return g.sub_(xr.mul_(dot)).mul_(r), gw, None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up for gu = [gate, up] along the last dimension: (rows, 2*ffn) -> (rows, ffn),
    bfloat16."""

    @staticmethod
    def forward(ctx, gu):
        ctx.save_for_backward(gu)
        g, u = gu.float().chunk(2, -1)
        return (g * torch.sigmoid(g)).mul_(u).bfloat16()

    @staticmethod
    def backward(ctx, gy):
        (gu,) = ctx.saved_tensors
        g, u = gu.float().chunk(2, -1)
        gy, s = gy.float(), torch.sigmoid(g)
        out = torch.empty_like(gu)
        n, silu = g.shape[-1], g * s
        out[:, n:] = gy * silu
        out[:, :n] = gy.mul_(u).mul_(silu.mul_(1 - s).add_(s))  # d silu/dg = s + g*s*(1 - s)
        return out


class Attention(torch.autograd.Function):
    """softmax(q k^T + mask) v. q: (B, G*T, D), scaled; k, v: (B, T, D), B over batch and key heads, G queries
    a key."""

    @staticmethod
    def forward(ctx, q, k, v, mask):
        s = torch.bmm(q, k.transpose(1, 2))
        s.view(-1, *mask.shape).add_(mask)
        p = torch.softmax(s, -1)
        ctx.save_for_backward(q, k, v, p)
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx, go):
        q, k, v, p = ctx.saved_tensors
        gp = torch.bmm(go, v.transpose(1, 2))
        gs = torch._softmax_backward_data(gp, p, -1, p.dtype)
        return torch.bmm(gs, k), torch.bmm(gs.transpose(1, 2), q), torch.bmm(p.transpose(1, 2), go), None


class Block(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        kv = c.kv_heads * c.head_dim

        def matrix(rows, cols, scale=1.0):
            return torch.nn.Parameter(torch.randn(rows, cols) * 0.02 * math.sqrt(256 / c.dim) * scale)

        deep = 1 / math.sqrt(2 * c.layers)  # the residual stream adds 2*layers such terms
        self.attn_norm = torch.nn.Parameter(torch.ones(c.dim))
        self.attn_qkv = matrix(c.dim + 2 * kv, c.dim)  # rows: queries, keys, values
        self.attn_output = matrix(c.dim, c.dim, deep)
        self.ffn_norm = torch.nn.Parameter(torch.ones(c.dim))
        self.ffn_gate_up = matrix(2 * c.ffn, c.dim)  # rows: gate, up
        self.ffn_down = matrix(c.dim, c.ffn, deep)


class Llama(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.fast = c, True
        self.token_embd = torch.nn.Parameter(torch.randn(c.vocab, c.dim) * 0.02)
        self.blocks = torch.nn.ModuleList(Block(c) for _ in range(c.layers))
        self.output_norm = torch.nn.Parameter(torch.ones(c.dim))
        i = torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim
        angle = torch.outer(torch.arange(c.context, dtype=torch.float64), c.rope_base**-i)
        self.turn = torch.polar(
            torch.ones_like(angle), angle
        )  # (context, head_dim/2): e^(i*position*frequency)

    def norm(self, x, w):
        if self.fast:
            return RmsNorm.apply(x, w, self.c.eps)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c.eps) * w

    def rotate(self, x, turn):
        """x: (batch, tokens, heads, head_dim); pair j of each head is turned by turn[token, j]."""
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn[:, None, :]).flatten(-2)

    def project(self, b, x, at):
        """Queries, keys, values (batch, tokens, heads, head_dim) of tokens at positions at, at+1, ..."""
        c, (n, t, _) = self.c, x.shape
        h = self.norm(x.reshape(n * t, c.dim), b.attn_norm)
        qkv = F.linear(h, b.attn_qkv.to(h.dtype)).view(n, t, c.heads + 2 * c.kv_heads, c.head_dim)
        qk, v = qkv[:, :, : c.heads + c.kv_heads], qkv[:, :, c.heads + c.kv_heads :]
        wide = torch.float32 if self.fast else x.dtype
        turn = self.turn[at : at + t].to(
            torch.complex64 if self.fast or x.dtype == torch.float32 else torch.complex128
        )
        qk = self.rotate(qk.to(wide), turn).to(h.dtype)
        return qk[:, :, : c.heads], qk[:, :, c.heads :], v

    def attend(self, q, k, v, mask):
        """q: (batch, T, heads, D), k, v: (batch, S, kv_heads, D), mask (T, S) or None. Returns (batch, T,
        dim)."""
        c, (n, t, _, d) = self.c, q.shape
        g = c.heads // c.kv_heads
        q = (
            (q * d**-0.5)
            .view(n, t, c.kv_heads, g, d)
            .permute(0, 2, 3, 1, 4)
            .reshape(n * c.kv_heads, g * t, d)
        )
        k = k.transpose(1, 2).reshape(n * c.kv_heads, -1, d)
        v = v.transpose(1, 2).reshape(n * c.kv_heads, -1, d)
        mask = torch.zeros(t, k.shape[1], dtype=q.dtype) if mask is None else mask
        o = Attention.apply(q, k, v, mask)
        return o.view(n, c.kv_heads, g, t, d).permute(0, 3, 1, 2, 4).reshape(n, t, c.dim)

    def feed(self, b, x):
        """The half of a block after attention: x + ffn(norm(x)) for x (batch, tokens, dim)."""
        h = self.norm(x.reshape(-1, self.c.dim), b.ffn_norm)
        gu = F.linear(h, b.ffn_gate_up.to(h.dtype))
        if self.fast:
            a = SwiGlu.apply(gu)
        else:
            g, u = gu.chunk(2, -1)
            a = F.silu(g) * u
        return x + F.linear(a, b.ffn_down.to(a.dtype)).view(x.shape).to(x.dtype)

    def forward(self, ids, cache=None, at=0):
        """ids (batch, tokens) -> normed last hidden states (batch*tokens, dim); logits are these @
        token_embd.T.

        cache: None, or Cache(...) holding positions 0..at-1, which is extended by these tokens.
        """
        n, t = ids.shape
        x = F.embedding(ids, self.token_embd)
        mask = None
        if t > 1:
            mask = torch.full((t, at + t), -1e9, dtype=torch.bfloat16 if self.fast else x.dtype).triu(at + 1)
        for layer, b in enumerate(self.blocks):
            q, k, v = self.project(b, x, at)
            if cache is not None:
                k, v = cache.extend(layer, k, v, at)
            a = self.attend(q, k, v, mask)
            x = x + F.linear(a, b.attn_output.to(a.dtype)).to(x.dtype)
            x = self.feed(b, x)
        return self.norm(x.view(n * t, -1), self.output_norm)

    @torch.no_grad()
    def logits(self, ids, cache=None, at=0):
        h = self(ids, cache, at)
        return (h @ self.token_embd.to(h.dtype).T).view(*ids.shape, -1)


class Cache:
    """Keys and values of a batch of sequences of equal length, (batch, kv_heads, length, head_dim) for each
    layer."""

    def __init__(self, c, batch, dtype, length=None):
        self.data = torch.zeros(c.layers, 2, batch, c.kv_heads, length or c.context, c.head_dim, dtype=dtype)

    def extend(self, layer, k, v, at):
        """Stores k and v (batch, tokens, kv_heads, head_dim) at positions at, at+1, ...; returns all so
        far."""
        end = at + k.shape[1]
        both = self.data[layer, :, :, :, :end]
        both[0, :, :, at:], both[1, :, :, at:] = k.transpose(1, 2), v.transpose(1, 2)
        return both[0].transpose(1, 2), both[1].transpose(1, 2)
