r"""State of a loss: modules that learn or record how hard each noise level is.

They stand on the denoiser, `Denoiser(..., aids=loss.aids())`, where the optimizer, the moving average and checkpoints
find them; sampling never uses them. The weighting or the distribution of times that owns one is the only code that
calls it (`polydiff.gaussian.loss.weightings`, `polydiff.gaussian.loss.noise_levels`).

Symbols: u uniform number, L the loss of a sample, B batch, p density.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class History(nn.Module):
    r"""Where losses are high: p(u) ~ sqrt(E[L^2]) over intervals of u, uniform until every interval is known.

    With the weight 1 / p the expected gradient is that of uniform u, and its variance lower (Nichol & Dhariwal, 2021,
    eq. 18, https://arxiv.org/abs/2102.09672).

    Arguments:
        bins: Number of intervals of u, and so of the log-SNR.
        depth: How many of the latest losses count in each.
        floor: Share of the density that is always uniform.
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
        """Return p on each interval, of mean 1, float64 on the host."""
        bins, depth = self.losses.shape
        if int(self.seen.min()) < depth:
            return torch.ones(bins, dtype=torch.float64)
        share = self.losses.double().cpu().square().mean(1).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        return self.floor + (1 - self.floor) * share * bins / share.sum()

    def draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return u of density p for uniform u on the host, and the weights 1 / p that correct for it."""
        p = self.density()
        edges = torch.cat([p.new_zeros(1), p.cumsum(0) / len(p)])
        i = (torch.searchsorted(edges, u.double(), right=True) - 1).clamp(0, len(p) - 1)
        drawn = (i + ((u - edges[i]) * len(p) / p[i]).clamp(0, 1)) / len(p)
        return drawn.clamp(1e-7, 1 - 1e-7), 1 / p[i]

    @torch.no_grad()
    def remember(self, u: Tensor, losses: Tensor) -> None:
        """Keep the losses (B,) of the numbers u (B,); of more than `depth` in an interval, the last ones."""
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
    """u(s), the log of the loss to be expected at a noise level: a linear map of fixed waves of log s, zero at first.

    L / e^u + u is least at u = log E[L | s], where the gradients of all noise levels are of one size (Karras et al.,
    EDM2, 2024, https://arxiv.org/abs/2312.02696).

    Arguments:
        channels: Number of waves.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        k = torch.arange(channels, dtype=torch.float64)
        # the quantiles of the normal law from which the paper draws frequencies, and phases in no order with them
        self.register_buffer("frequency", torch.special.ndtri((k + 0.5) / channels).float(), persistent=False)
        self.register_buffer("phase", (k * 0.618034 % 1).float(), persistent=False)
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, sigma: Tensor) -> Tensor:
        """Return u (B,) at noise levels (B,)."""
        angle = 2 * torch.pi * (sigma.log().to(self.weight)[:, None] / 4 * self.frequency + self.phase)
        u: Tensor = angle.cos() @ self.weight * (2 / len(self.weight)) ** 0.5
        return u
