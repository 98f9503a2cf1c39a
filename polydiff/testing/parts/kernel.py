"""Checks of a kernel: ends are exact, samples are independent of their batch, and its loss trains.

Symbols: B number of samples, R rows of a part, l level, x_0 clean states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polydiff.core.streams import streams
from polydiff.parts.kernel import Kernel, Row
from polydiff.testing.space import hold


def check_kernel(kernel: Kernel, space: Any, x_0: Tensor, rows: Sequence[Row], f: Tensor, weighting: str) -> None:
    """Check the rules of `polydiff.parts.kernel.Kernel`.

    Arguments:
        kernel: The kernel.
        space: Space of x_0, with at least two samples.
        x_0: Clean states, (R, ...).
        rows: Rows of one of its samplers, from the level `top` to 0.
        f: An output of a network for such states, with any finite numbers.
        weighting: A weighting of its loss.

    Raises:
        AssertionError: A rule is broken; the message states it.
    """
    kernel.check(x_0, space, "x_0")
    check_ends(kernel, space, x_0, rows)
    check_numbers(kernel)
    check_repeatable(kernel, space, x_0)
    check_steps(kernel, space, x_0, rows, f)
    check_loss(kernel, space, x_0, f, weighting)


def level(space: Any, value: float) -> Tensor:
    """Return one level for all samples, (B,), float64."""
    return torch.full((space.batch,), value, dtype=torch.float64)


def generators(space: Any, purpose: str = "kernel") -> list[torch.Generator]:
    """Return new random streams, one a sample."""
    return streams(0, purpose, range(space.batch))


def check_ends(kernel: Kernel, space: Any, x_0: Tensor, rows: Sequence[Row]) -> None:
    """Check that level 0 is the data, and that rows lead from the prior to level 0."""
    same = kernel.corrupt(x_0, level(space, 0.0), space, generators(space))
    hold(bool((same == x_0).all()), "corrupt at level 0 changes clean states.")
    prior = kernel.prior(space, generators(space))
    hold(prior.shape == x_0.shape, f"prior has the shape {tuple(prior.shape)}, but states {tuple(x_0.shape)}.")
    hold(abs(rows[0].at - kernel.top) < 1e-9 * kernel.top, f"The first row is at {rows[0].at}, not at {kernel.top}.")
    hold(rows[-1].to == 0, f"The last row leads to {rows[-1].to}, not to 0.")


def check_numbers(kernel: Kernel) -> None:
    """Check that the network's number is finite at all levels above 0 and rises, if it is conditioned on it."""
    levels = torch.linspace(1e-6, 1, 50, dtype=torch.float64) * kernel.top
    numbers = kernel.number(levels)
    hold(bool(numbers.isfinite().all()), "number is not finite at a level above 0.")
    hold(bool((numbers.diff() >= 0).all()), "number falls where the level rises.")


def check_repeatable(kernel: Kernel, space: Any, x_0: Tensor) -> None:
    """Check that the same streams give the same states, and others do not."""
    middle = level(space, kernel.top / 2)
    a, b = (kernel.corrupt(x_0, middle, space, generators(space)) for _ in range(2))
    hold(torch.equal(a, b), "corrupt gives other states for the same streams.")
    other = kernel.corrupt(x_0, middle, space, generators(space, "other"))
    hold(not torch.equal(a, other), "corrupt does not depend on its streams.")


def check_steps(kernel: Kernel, space: Any, x_0: Tensor, rows: Sequence[Row], f: Tensor) -> None:
    """Check that a plan ends at clean states whatever the network says."""
    x, own, memory = kernel.prior(space, generators(space)), generators(space, "steps"), []  # type: ignore[var-annotated]
    for row in rows:
        at = torch.tensor(row.at, dtype=torch.float64)
        entered = kernel.enter(x, at, space)
        hold(bool((entered == entered).all()), f"enter gives NaN at level {row.at}.")
        x = kernel.step(row, f, x, space, own, memory)
    kernel.check(x, space, "The result of a plan")


def check_loss(kernel: Kernel, space: Any, x_0: Tensor, f: Tensor, weighting: str) -> None:
    """Check that the loss is one finite number a sample at high and low levels, with a gradient."""
    for share in (1e-4, 0.5, 1 - 1e-6):
        at = level(space, share * kernel.top)
        x = kernel.corrupt(x_0, at, space, generators(space))
        output = f.clone().requires_grad_()
        loss = kernel.loss(output, x_0, x, at, torch.ones_like(at), space, weighting)
        hold(loss.shape == (space.batch,), f"loss has the shape {tuple(loss.shape)}, not {(space.batch,)}.")
        hold(bool(loss.isfinite().all()), f"loss is not finite at level {share * kernel.top:g}.")
        (gradient,) = torch.autograd.grad(loss.sum(), output)
        hold(bool(gradient.isfinite().all()), f"The gradient of loss is not finite at level {share * kernel.top:g}.")
