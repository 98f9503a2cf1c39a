"""Dynamic thresholding: clip estimates to the range of the data, for strong guidance.

Symbols: D estimate, c centre and h half width of the data's range, q threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.space import Euclidean, Space, State
from polydiff.gaussian.wrapper import Wrapper


@dataclass(frozen=True, eq=False)
class DynamicThreshold(Wrapper):
    r"""D' = c + clip(D - c, -q, q) h / q, q = max(h, p-quantile of |D - c|) (Saharia et al., 2022).

    For data with bounded elements, such as pixels, on `Euclidean` spaces. A molecule's positions have no bounds, and
    clipping element by element would move them off their space. https://arxiv.org/abs/2205.11487, section 2.3

    Arguments:
        denoiser: The wrapped denoiser, in general a guided one.
        low: Lowest value of a state's elements, in the units of states, after the codec.
        high: Highest value.
        quantile: p, taken over each sample's own elements.

    Raises:
        ValueError: low is not below high, the quantile is out of range, or, when called, the space is not `Euclidean`.
    """

    low: float = -1.0
    high: float = 1.0
    quantile: float = 0.995

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}.")
        if not 0 < self.quantile <= 1:
            raise ValueError(f"quantile must be above 0 and at most 1, not {self.quantile}.")

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        if not isinstance(space, Euclidean):
            raise ValueError(
                f"Dynamic thresholding needs data with bounds on each element; {type(space).__name__} has none. "
                "Use the guidance method apg, or cfg with rescale, against guidance that is too strong."
            )
        centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        off = self.denoiser(x, sigma, space, cond) - centre
        q = space.expand(quantile(off.abs().flatten(1), self.quantile).clamp(min=half))
        return centre + off.clamp(-q, q) * (half / q)


def quantile(values: Tensor, p: float) -> Tensor:
    """Return the p-quantile of each row of (B, N), (B,), linear between order statistics.

    `torch.quantile` does the same but rejects large tensors.
    """
    place = p * (values.shape[1] - 1)
    lower = int(place)
    ordered = values.sort(1).values
    return torch.lerp(ordered[:, lower], ordered[:, min(lower + 1, values.shape[1] - 1)], place - lower)
