"""Samplers that draw noise: their law, exactly on a Gaussian, by projections on a mixture.

On Gaussian data every sampler is linear in the noise that it starts from and draws. So it is run on a batch in which
sample j has the j-th draw of noise equal to 1 and all others 0: the sum of squares over the batch is the exact variance
of what it samples, along each axis of the data, with no Monte Carlo. Libraries that draw by `torch.randn` get those
impulses from it (`impulses`). The distance is W2 between the two Gaussians over the root of the data's trace.

On a mixture, W2 between the projections of n samples on fixed directions and the exact quantiles, root mean square over
directions, over the data's standard deviation; n exact samples are beside it as a floor.

Symbols: V variances of the data along their axes, u a direction.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from cases import Case, Method, affordable, short, table
from torch import Tensor

from polydiff.core.space import Euclidean, State
from polydiff.core.streams import streams
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.problems import SUITES, Problem, gauss, ring

BUDGETS = (10, 20, 50, 100)


class Impulses:
    """Draws of noise of which the j-th is 1 in sample j and 0 elsewhere."""

    def __init__(self, rows: int) -> None:
        self.rows, self.drawn = rows, 0

    def draw(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        x = torch.zeros(*shape, dtype=dtype)
        if self.drawn >= self.rows:
            raise RuntimeError("More draws of noise than the batch has samples.")
        x[self.drawn] = 1
        self.drawn += 1
        return x


class ImpulseSpace(Euclidean):
    """R^d whose noise is impulses."""

    impulses: Impulses

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        return self.impulses.draw((self.batch, *self.shape), self.dtype)


class ImpulseCase(Case):
    """A case whose noise is impulses, the first of them the noise that sampling starts from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.impulses = Impulses(self.n)
        self.xi = self.impulses.draw((self.n, self.problem.shape[0]))

    @property
    def space(self) -> Euclidean:
        space = ImpulseSpace(self.n, self.problem.shape)
        object.__setattr__(space, "impulses", getattr(self, "impulses", Impulses(self.n)))
        return space


@contextlib.contextmanager
def impulses(source: Impulses) -> Iterator[None]:
    """Let `torch.randn` and `torch.randn_like` draw impulses."""

    def randn(*size: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
        return source.draw(size[0] if len(size) == 1 and not isinstance(size[0], int) else size, dtype)

    def randn_like(x: Tensor, **_: Any) -> Tensor:
        return source.draw(x.shape, x.dtype)

    with mock.patch.object(torch, "randn", randn), mock.patch.object(torch, "randn_like", randn_like):
        yield


@functools.cache
def axes() -> Problem:
    """gauss64 in its own axes."""
    whole = next(p for p in SUITES["core"]() if p.name == "gauss64").exact
    assert isinstance(whole, GaussianMixture)
    return Problem("gauss64", GaussianMixture(torch.zeros(1, 64), whole.variances), (64,))


def gaussian_distance(method: Method, track: str, steps: int) -> float:
    """Return the exact W2 between what a method samples and the data, over the root of the data's trace."""
    case = ImpulseCase(axes(), track, 3 * steps + 8)
    try:
        if method.library == "polydiff":
            case.impulses.drawn = 0  # its space draws the first noise itself
            x = method.run(case, steps)
        else:
            with impulses(case.impulses):
                x = method.run(case, steps)
    except Exception:  # noqa: BLE001 - a peer that cannot take so many steps is a result
        return math.inf
    std = x.double().square().sum(0).sqrt()
    truth = case.exact.variances[0].sqrt()
    return ((std - truth).square().sum() / truth.square().sum()).sqrt().nan_to_num(math.inf).item()


def projected(exact: GaussianMixture, u: Tensor, n: int) -> Tensor:
    """Return n evenly spaced quantiles of the mixture along the unit vector u."""
    means = exact.means @ u
    basis = torch.eye(len(u), dtype=torch.float64) if exact.basis is None else exact.basis
    stds = ((basis.mT @ u).square() * exact.variances).sum(-1).sqrt()
    grid = torch.linspace(float((means - 8 * stds).min()), float((means + 8 * stds).max()), 20001, dtype=torch.float64)
    cdf = (exact.share * torch.special.ndtr((grid[:, None] - means) / stds)).sum(1)
    places = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    right = torch.searchsorted(cdf, places).clamp(1, len(grid) - 1)
    share = (places - cdf[right - 1]) / (cdf[right] - cdf[right - 1])
    return torch.lerp(grid[right - 1], grid[right], share)


def sliced(exact: GaussianMixture, x: Tensor, directions: int = 32) -> float:
    """Return the sliced W2 of samples to the mixture, over its standard deviation."""
    u = torch.nn.functional.normalize(gauss(300, directions, x.shape[1]), dim=1)
    gaps = [(x.double() @ v).sort().values - projected(exact, v, len(x)) for v in u]
    return (torch.stack(gaps).square().mean().sqrt() / exact.sigma_data).item()


def mixture_distance(method: Method, track: str, steps: int, n: int) -> float:
    """Return the sliced W2 of what a method samples on a ring of unequal modes."""
    case = Case(Problem("ring2", ring(10, 8), (2,)), track, n)
    torch.manual_seed(0)  # what peers draw from
    try:
        return sliced(case.exact, method.run(case, steps))
    except Exception:  # noqa: BLE001 - a peer that cannot take so many steps is a result
        return math.inf


def report(ours: list[Method], quick: bool, raw: dict[str, Any]) -> str:
    """Return the tables of samplers that draw noise."""
    import peers

    methods = [*ours, *peers.noisy_methods()]
    budgets = BUDGETS[:3] if quick else BUDGETS
    n = 512 if quick else 4096
    parts = ["### Samplers that draw noise\n"]
    for track in ("vp", "edm"):
        found: dict[str, dict[int, tuple[float, float]]] = {}
        both = track == "vp"  # once is enough for what has Monte Carlo error
        for method in (m for m in methods if track in m.tracks):
            for budget in budgets:
                steps = affordable(method, track, budget)
                first = gaussian_distance(method, track, steps) if steps else math.inf
                second = mixture_distance(method, track, steps, n) if steps and both else math.inf
                found.setdefault(method.label, {})[budget] = first, second
        raw[f"noisy {track}"] = found
        exact = ring(10, 8)
        floor = short(sliced(exact, exact.draw(streams(1, "exact", range(n)))))
        what = f" / sliced W2 of {n} samples on ring2 (of exact samples: {floor})" if both else ""
        parts += [f"{track} track: exact W2 on gauss64{what}\n"]
        order = sorted(found, key=lambda m, f=found: f[m][budgets[1]][0])
        rows = [[m, *(" / ".join(map(short, found[m][b][: 1 + both])) for b in budgets)] for m in order]
        parts += [table(["", *map(str, budgets)], rows), ""]
    return "\n".join(parts)
