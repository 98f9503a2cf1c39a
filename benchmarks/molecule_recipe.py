r"""The recipe of E(3) diffusion for QM9 (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003).

$$ z_t = \alpha_t x + \sigma_t \varepsilon, \qquad \alpha_t^2 = (1 - 2 s)\,(1 - (t / T)^2)^2 + s, \quad s = 10^{-5}, $$

with ratios of consecutive alpha^2 of at least 0.001; the network predicts the noise eps. The likelihood of the data at
t = 0, one term in a thousand of their loss, is replaced by that of the noise, as at any other t.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque

import torch
from torch import Tensor, nn

from polydiff.domains.molecule.space import DenseMolecules

T, PRECISION, RATIO = 1000, 1e-5, 1e-3


def squared_alphas() -> Tensor:
    """Return alpha_t^2 at t = 0 .. T, shape (T + 1,)."""
    t = torch.linspace(0, T + 1, T + 1, dtype=torch.float64)
    raw = torch.cat([torch.ones(1, dtype=torch.float64), (1 - (t / (T + 1)) ** 2) ** 2])
    kept = (raw[1:] / raw[:-1]).clamp(RATIO, 1).cumprod(0)
    return (1 - 2 * PRECISION) * kept + PRECISION


class Recipe:
    """Training and sampling: AdamW with amsgrad, clipping by the last norms, an average of the weights.

    Arguments:
        model: Predicts the noise in (x, t / T, space).
        rate: Learning rate.
        decay: Of the average.
    """

    def __init__(self, model: nn.Module, rate: float = 1e-4, decay: float = 0.9999) -> None:
        self.model, self.average, self.decay = model, copy.deepcopy(model), decay
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, amsgrad=True, weight_decay=1e-12)
        self.norms = deque([3000.0], maxlen=50)
        self.squares = squared_alphas()

    def step(self, x: Tensor, space: DenseMolecules) -> None:
        """Train on states (B, N, 3 + K)."""
        self.optimizer.zero_grad()
        t = torch.randint(0, T + 1, (len(x),))
        square = self.squares[t].to(x)[:, None, None]
        eps = space.project(torch.randn_like(x))
        z = square.sqrt() * x + (1 - square).sqrt() * eps
        error = (self.model(z, (t / T).to(x), space) - eps).square().sum((1, 2))
        (error.mean() / (2 * x.shape[1] * x.shape[2])).backward()
        recent = torch.tensor(self.norms)
        bound = 1.5 * recent.mean() + 2 * recent.std(correction=0)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), bound.item())
        self.norms.append(min(float(norm), float(bound)))
        self.optimizer.step()
        for old, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            old.data = self.decay * old.data + (1 - self.decay) * new.data

    @torch.no_grad()
    def sample(self, space: DenseMolecules, evaluations: int = T + 1) -> Tensor:
        """Return samples of the averaged weights by ancestral sampling, (B, N, 3 + K).

        Arguments:
            space: Sizes of the molecules.
            evaluations: The last of them is at t = 0.
        """
        times = torch.linspace(T, 0, evaluations).round().long().tolist()
        z = self.noise(space)
        for t, s in itertools.pairwise(times):
            after, before = self.squares[t], self.squares[s]
            ratio = after / before  # alpha^2 of z_t given z_s
            mean = z / ratio.sqrt() - (1 - ratio) / (ratio.sqrt() * (1 - after).sqrt()) * self.eps(z, t, space)
            z = mean + ((1 - ratio) * (1 - before) / (1 - after)).sqrt() * self.noise(space)
        first = self.squares[0]
        spread = (1 - first).sqrt() / first.sqrt()
        return space.project(z / first.sqrt() - spread * self.eps(z, 0, space) + spread * self.noise(space)).float()

    def eps(self, z: Tensor, t: int, space: DenseMolecules) -> Tensor:
        """Return the predicted noise in z_t."""
        predicted: Tensor = self.average(z.float(), torch.full((len(z),), t / T), space)
        return predicted

    def noise(self, space: DenseMolecules) -> Tensor:
        """Return a draw of noise."""
        return space.project(torch.randn(space.state_shape))
