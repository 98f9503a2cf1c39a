r"""State of a loss: modules that learn or record the size of the loss at each noise level.

They are submodules of the denoiser, `Denoiser(..., aids=loss.aids())`, so that the optimizer, the moving average and
checkpoints include them. Sampling never uses them. Only the weighting or the distribution of noise levels that declares
a module calls it (`polydiff.gaussian.loss.weightings`, `polydiff.gaussian.loss.noise_levels`).

Symbols: u uniform number (`History`) or log of the expected loss (`Uncertainty`), L loss of a sample, B batch size,
p density.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class History(nn.Module):
    r"""A density p(u) ~ sqrt(E[L^2]), constant on intervals of u, from the latest losses of each interval.

    It is uniform until every interval has `depth` losses. With the weight 1 / p the expected gradient is that of
    uniform u, with a lower variance (Nichol & Dhariwal, 2021, eq. 18, https://arxiv.org/abs/2102.09672).

    Arguments:
        bins: Number of intervals of u.
        depth: Number of latest losses that are kept in each interval.
        floor: Share of the density that is uniform, in (0, 1].

    Attributes:
        losses: Latest losses, shape (bins, depth).
        seen: Number of losses recorded in each interval, shape (bins,).

    Raises:
        ValueError: An option is out of its range.
    """

    losses: Tensor
    seen: Tensor

    def __init__(self, bins: float = 64, depth: float = 10, floor: float = 0.001) -> None:
        super().__init__()
        if not (int(bins) == bins >= 1 and int(depth) == depth >= 1 and 0 < floor <= 1):
            raise ValueError("bins and depth must be whole numbers of at least 1, floor a share in (0, 1].")
        self.floor = floor
        self.register_buffer("losses", torch.zeros(int(bins), int(depth)))
        self.register_buffer("seen", torch.zeros(int(bins), dtype=torch.int64))

    def density(self) -> Tensor:
        """Return p on each interval, with mean 1, shape (bins,), float64, on the CPU."""
        bins, depth = self.losses.shape
        if int(self.seen.min()) < depth:
            return torch.ones(bins, dtype=torch.float64)
        share = self.losses.double().cpu().square().mean(1).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        return self.floor + (1 - self.floor) * share * bins / share.sum()

    def importance_sample(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers of density p and their importance weights 1 / p.

        Arguments:
            u: Uniform numbers in (0, 1), shape (B,), on the CPU.

        Returns:
            Numbers in (0, 1), rising with u, and weights; each of shape (B,), float64.
        """
        p = self.density()
        edges = torch.cat([p.new_zeros(1), p.cumsum(0) / len(p)])
        i = (torch.searchsorted(edges, u.double(), right=True) - 1).clamp(0, len(p) - 1)
        drawn = (i + ((u - edges[i]) * len(p) / p[i]).clamp(0, 1)) / len(p)
        return drawn.clamp(1e-7, 1 - 1e-7), 1 / p[i]

    @torch.no_grad()
    def record(self, u: Tensor, losses: Tensor) -> None:
        """Record the losses (B,) at the numbers u (B,); each interval keeps its latest `depth` losses."""
        bins, depth = self.losses.shape
        place = (u.double().cpu() * bins).long().clamp(0, bins - 1)
        order = torch.argsort(place, stable=True)
        place, losses = place[order], losses.detach().float().cpu()[order]
        counts = torch.bincount(place, minlength=bins)
        rank = torch.arange(len(place)) - (counts.cumsum(0) - counts)[place]
        kept = rank >= counts[place] - depth
        seen = self.seen.cpu()
        table = self.losses.cpu().index_put((place[kept], (seen[place] + rank)[kept] % depth), losses[kept])
        self.losses.copy_(table)
        self.seen.copy_(seen + counts)


class Uncertainty(nn.Module):
    """The log of the expected loss at a noise level, u(s): a learned sum of fixed cosines of log s, initially 0.

    L / e^u + u is least at u = log E[L | s]. There, the gradients of all noise levels have the same size (Karras et
    al., EDM2, 2024, https://arxiv.org/abs/2312.02696).

    Arguments:
        channels: Number of cosines.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        k = torch.arange(channels, dtype=torch.float64)
        # quantiles of the normal distribution from which the paper draws frequencies; phases unrelated to their order
        self.register_buffer("frequency", torch.special.ndtri((k + 0.5) / channels).float(), persistent=False)
        self.register_buffer("phase", (k * 0.618034 % 1).float(), persistent=False)
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, sigma: Tensor) -> Tensor:
        """Return u at noise levels, each of shape (B,)."""
        angle = 2 * torch.pi * (sigma.log().to(self.weight)[:, None] / 4 * self.frequency + self.phase)
        u: Tensor = angle.cos() @ self.weight * (2 / len(self.weight)) ** 0.5
        return u
