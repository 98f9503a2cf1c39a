r"""Muon: matrices move along their momentum with all its singular values set equal.

Of a matrix of weights W (m, n) with gradient G, and its mean M <- b M + (1 - b) G,

$$ U = (1 - b) G + b M, \qquad W \leftarrow W - 0.2\, \eta \sqrt{\max(m, n)}\ \mathrm{orth}(U), $$

where orth(U S V^T) is about U V^T, by five steps of a polynomial that drives singular values to 1 (Newton and Schulz):
they end between 0.7 and 1.2. (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon.) With the factor 0.2
sqrt(max(m, n)) a step is as large as AdamW's, whose learning rates thus serve (Liu et al., 2025,
https://arxiv.org/abs/2502.16982). Kernels of convolutions are matrices (m, n k k). AdamW moves vectors, matrices with a
side of 8 or less, and layers that compute a network's output (`computes_output`): sounds are better so
(docs/recipes.md). Matrices of one shape are computed at once, in float32. Of a matrix that processes divide, each
process gathers U, computes orth(U), and moves its own rows.

With `rows`, a matrix of more rows is divided into groups of at most so many, which are matrices of their own in the
formula above: for matrices of m <= n with r rows a group, this takes about r / m of the operations.

The steps use few products of large matrices (Zhang et al., 2026, https://dao-lab.ai/blog/2026/gram-newton-schulz): with
A_0 = X_0 X_0^T and P_k = a + b A_k + c A_k^2, which all commute, A_(k+1) = P_k A_k P_k and X_5 = P_4 ... P_0 X_0.
float32 suffices; half precision would not.

Symbols: W weights, G gradient, M momentum, b its decay, eta learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.machine.processes.shards import local, placed, whole

MOMENTUM = 0.95
SMALLEST = 8
"""Side up to which a matrix is no matrix for Muon: there is little to orthogonalise."""
STEPS = 5
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""a, b, c of x <- a x + b x^3 + c x^5 on singular values (Jordan et al., 2024)."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices, AdamW for all else.

    Arguments:
        parameters: What is trained.
        lr: Learning rate of both.
        betas: Decays of AdamW.
        weight_decay: Decoupled weight decay of both.
        rows: Most rows that are orthogonalised together; None: all of a matrix.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        rows: int | None = None,
    ) -> None:
        known = list(parameters)
        groups = [{"params": [p for p in known if is_matrix(p) == kind], "matrices": kind} for kind in (True, False)]
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "rows": rows}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the weights by their gradients."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if trained and group["weight_decay"]:
                torch._foreach_mul_(local(trained), 1 - group["lr"] * group["weight_decay"])
            for group_of_shape in by_shape(trained) if group["matrices"] else [trained] if trained else []:
                (self.orthogonal_step if group["matrices"] else self.adamw)(group_of_shape, group)

    def orthogonal_step(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move matrices of one shape."""
        gradients = [p.grad for p in matrices if p.grad is not None]
        momenta = self.kept(matrices, "momentum")
        torch._foreach_lerp_(local(momenta), local(gradients), 1 - MOMENTUM)
        parts = [torch.lerp(g, m, MOMENTUM) for g, m in zip(gradients, momenta, strict=True)]
        ahead = torch.stack(whole(parts)).flatten(2)
        groups = in_groups(ahead, group["rows"])
        size = 0.2 * group["lr"] * max(groups.shape[-2:]) ** 0.5
        moves = orthogonal(groups).flatten(1, 2)[:, : ahead.shape[1]].reshape(len(matrices), *matrices[0].shape)
        moved = local(placed(move, p) for move, p in zip(moves, matrices, strict=True))
        torch._foreach_add_(local(matrices), moved, alpha=-size)

    def adamw(self, trained: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move all else."""
        gradients, (b1, b2) = local(p.grad for p in trained if p.grad is not None), group["betas"]
        means, squares = (local(self.kept(trained, name)) for name in ("mean", "square"))
        for p in trained:  # kept on the host, where it is read; some weights may have had fewer gradients than others
            self.state[p].pop("momentum", None)  # of a checkpoint from when Muon moved these weights
            self.state[p]["step"] = self.state[p].get("step", torch.zeros(())).cpu() + 1
        counts = [float(self.state[p]["step"]) for p in trained]
        torch._foreach_lerp_(means, gradients, 1 - b1)
        torch._foreach_mul_(squares, b2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - b2)
        roots = torch._foreach_sqrt(torch._foreach_div(squares, [1 - b2**n for n in counts]))
        torch._foreach_add_(roots, 1e-8)
        sizes = [-group["lr"] / (1 - b1**n) for n in counts]
        torch._foreach_addcdiv_(local(trained), means, list(roots), sizes)

    def kept(self, parameters: Sequence[nn.Parameter], name: str) -> list[Tensor]:
        """Return a number that is kept of each weight, 0 at first."""
        for p in parameters:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p)
        return [self.state[p][name] for p in parameters]


def mark_outputs(network: nn.Module) -> None:
    """Mark the weights of layers that compute a network's output, which have the attribute `computes_output`."""
    for layer in network.modules():
        if getattr(layer, "computes_output", False):
            for p in layer.parameters():
                p.computes_output = True  # type: ignore[attr-defined]


def is_matrix(p: Tensor) -> bool:
    """Return whether weights are Muon's."""
    if getattr(p, "computes_output", False):
        return False
    return p.ndim > 1 and min(p.shape[0], p.shape[1:].numel()) > SMALLEST


def by_shape(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return parameters in lists of one shape."""
    shapes = dict.fromkeys(p.shape for p in parameters)
    return [[p for p in parameters if p.shape == shape] for shape in shapes]


def in_groups(matrices: Tensor, rows: int | None) -> Tensor:
    """Return matrices (k, m, n) as groups of equally many rows, at most `rows`: (k, groups, r, n), with rows of 0 last.

    Rows of 0 change nothing: orth has them as 0, and the others as without them.
    """
    k, m, n = matrices.shape
    groups = -(-m // (rows or m))
    r = -(-m // groups)
    return functional.pad(matrices, (0, 0, 0, groups * r - m)).reshape(k, groups, r, n)


def orthogonal(u: Tensor) -> Tensor:
    """Return matrices (..., m, n) with singular values between 0.7 and 1.2, but for those that are 0."""
    a, b, c = POLYNOMIAL
    wide = u.shape[-2] <= u.shape[-1]
    matrices = u.reshape(-1, *u.shape[-2:])
    x = (matrices if wide else matrices.mT).to(torch.promote_types(u.dtype, torch.float32))
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    m, n = x.shape[-2:]
    if 2 * n > 3 * m:  # then the products of the Gram matrix are fewer
        x = gram_polynomial(x @ x.mT) @ x
    else:
        for _ in range(STEPS):
            square = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).reshape(u.shape).to(u.dtype)


def gram_polynomial(gram: Tensor) -> Tensor:
    """Return P_4 ... P_0, (k, m, m), for A_0 (k, m, m)."""
    product = p = step_polynomial(gram)
    for _ in range(STEPS - 1):
        gram = p @ gram @ p
        p = step_polynomial(gram)
        product = p @ product
    return product


def step_polynomial(gram: Tensor) -> Tensor:
    """Return P_k, (k, m, m), for A_k (k, m, m)."""
    a, b, c = POLYNOMIAL
    p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    p.diagonal(dim1=-2, dim2=-1).add_(a)
    return p
