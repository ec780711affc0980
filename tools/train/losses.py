"""Loss functions over the vocabulary: value and gradient in one pass, a few hundred rows at a time.

The logits of a batch would be the largest array of the training step by far; here they exist only for one
piece of rows and are overwritten in place by the gradient. Each function is differentiable in the hidden
states and the output head.
"""
import torch

PIECE = 512


class HeadLoss(torch.autograd.Function):
    """mean over rows of loss(h @ head.T). gradient(z, rows) overwrites z by d loss/d z and returns the summed
    loss."""

    @staticmethod
    def forward(ctx, h, head, gradient):
        n, w = len(h), head.to(h.dtype)
        gh, gw, total = torch.empty_like(h), torch.zeros_like(head), 0.0
        for i in range(0, n, PIECE):
            rows = slice(i, min(i + PIECE, n))
            z = (h[rows] @ w.T).float()
            total += gradient(z, rows)
            g = z.to(h.dtype)
            torch.mm(g, w, out=gh[rows])
            gw += g.T @ h[rows]
        ctx.save_for_backward(gh.div_(n), gw.div_(n))
        return torch.tensor(total / n)

    @staticmethod
    def backward(ctx, g):
        gh, gw = ctx.saved_tensors
        return gh * g, gw * g, None


def softmax_(z):
    """Softmax in place; returns log of the normaliser, (rows, 1)."""
    top = z.amax(-1, keepdim=True)
    s = z.sub_(top).exp_().sum(-1, keepdim=True)
    z.div_(s)
    return s.log_().add_(top)


def cross_entropy(h, head, targets):
    """-log softmax(z)[target], mean over rows, in nats."""

    def gradient(z, rows):
        t = targets[rows, None]
        picked = z.gather(1, t).sum().item()
        norm = softmax_(z).sum().item()
        z.scatter_add_(1, t, torch.full(t.shape, -1.0))
        return norm - picked

    return HeadLoss.apply(h, head, gradient)


def distil(h, head, teacher_h, teacher_head, tv, counts=None):
    """(1 - tv) * KL(p || q) + tv * TV(p, q), mean over rows, for the teacher's p and the student's q =
    softmax(h @ head.T).

    KL(p || q) = sum p log(p/q), d/dz = q - p. TV = 1 - sum min(p, q) and d/dz_i = q_i (sum_j q_j b_j - b_i)
    with b = [q < p], because d min(p, q)/dq is 1 where q < p and 0 elsewhere. counts, a list, gets the sum of
    min(p, q).
    """

    def gradient(z, rows):
        t = teacher_h[rows]
        p = (t @ teacher_head.to(t.dtype).T).float()
        softmax_(p)
        kl = 0.0
        if tv < 1:
            cross = torch.dot(p.flatten(), z.flatten()).item()  # sum p*z; KL = log Z - sum p*z + sum p log p
        norm = softmax_(z).sum().item()
        overlap = torch.minimum(p, z).sum().item()
        if counts is not None:
            counts.append(overlap)
        if tv == 0:
            kl = norm - cross  # without the teacher's entropy, a constant
            z.sub_(p)
            return kl
        below = (z < p).float().mul_(z)
        grad = z * below.sum(-1, keepdim=True) - below
        if tv < 1:
            kl = norm - cross
            grad.mul_(tv).add_(z, alpha=1 - tv).sub_(p, alpha=1 - tv)
        z.copy_(grad)
        return (1 - tv) * kl + tv * (len(z) - overlap)

    return HeadLoss.apply(h, head, gradient)
