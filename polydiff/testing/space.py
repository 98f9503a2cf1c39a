r"""Checks of a space: noise is N(0, P), P is an orthogonal projector, sums leave out padding; or letters are drawn.

Symbols: eps noise, P projector, y and z arbitrary states, which need not lie on the space, B batch size,
R rows of a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polydiff.core.parts.letters import Letters
from polydiff.core.space import Repeats, Space, sqnorm
from polydiff.core.streams import stream, streams
from polydiff.support.protocols import provides

TOLERANCE = 1e-4
"""Relative error allowed in an identity that is exact to rounding."""
SIGMAS = 6.0
"""Standard errors allowed between the mean of random draws and its expectation."""


def hold(truth: bool | Tensor, sentence: str) -> None:
    """Raise AssertionError with a sentence unless `truth` is true."""
    if not bool(truth):
        raise AssertionError(sentence)


def close(a: Tensor, b: Tensor, scale: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Return whether two vectors agree.

    Arguments:
        a: Numbers, any shape.
        b: Numbers of the same shape.
        scale: Size of the numbers, broadcasting against them.
        tolerance: Error allowed, as a share of the scale.
    """
    return bool(((a - b).abs() <= tolerance * scale.abs() + 1e-6).all())


def check_space(space: Space, padding: Tensor | None = None, draws: int = 256, seed: int = 0) -> None:
    """Check all rules for `polydiff.core.space.Space`, and for `Repeats` if the space has that ability.

    A space of letters (`polydiff.core.parts.letters.Letters`) has no noise N(0, P); `check_letters` checks it.

    Arguments:
        space: The space to check, with at least one sample.
        padding: True where a state has padding, of a state's shape; None: padding is not checked.
        draws: Draws of noise for its statistics.
        seed: Seed of all random numbers.

    Raises:
        AssertionError: A rule is broken; the message states it.
    """
    if provides(space, Letters):
        check_letters(space, seed)
        return
    eps = [space.noise(streams(seed, f"draw {i}", range(space.batch))) for i in range(draws)]
    y, z = arbitrary(eps[0], seed, 0), arbitrary(eps[0], seed, 1)
    check_numbers(space, eps[0])
    check_streams(space, space.noise, seed)
    check_projector(space, eps[0], y, z)
    check_padding(space, eps, padding)
    check_law(space, eps, y)
    check_repeated(space, eps[:2], y)


def check_letters(space: Letters, seed: int = 0) -> None:
    """Check all rules for `polydiff.core.parts.letters.Letters`.

    Arguments:
        space: The space to check, with at least one sample.
        seed: Seed of all random numbers.

    Raises:
        AssertionError: A rule is broken; the message states it.
    """
    u, x = (draw(streams(seed, "stream", range(space.batch))) for draw in (space.uniforms, space.noise))
    hold(u.dtype == torch.float64, f"uniforms are {u.dtype}; in float32, letters of small probability are never drawn.")
    hold(((u >= 0) & (u < 1)).all(), "uniforms lie outside of [0, 1).")
    hold(x.dtype == torch.int64 and x.shape == u.shape, f"Letters are {x.dtype} of shape {tuple(x.shape)}.")
    sites = space.clean(torch.zeros_like(x)) == 0
    hold(((x >= 0) == sites).all(), "noise does not draw a letter at each site, and -1 elsewhere.")
    hold((x < space.letters).all(), f"noise draws letters that are not below {space.letters}.")
    hold((space.clean(x) == x).all(), "clean changes letters that noise has drawn.")
    check_streams(space, space.uniforms, seed)
    counted = space.sum(torch.ones_like(x))
    hold(torch.equal(counted.to(space.dim), space.dim), f"dim is {space.dim.tolist()}, sum counts {counted.tolist()}.")
    check_numbers(space, u)
    check_repeated(space, [u, u], u)


def arbitrary(like: Tensor, seed: int, counter: int) -> Tensor:
    """Return a random state of this shape, uniform in (-2, 2), that need not lie on the space."""
    drawn = torch.rand(like.shape, generator=stream(seed, "arbitrary", counter), dtype=like.dtype)
    return 4 * drawn.to(like.device) - 2


def check_numbers(space: Space, x: Tensor) -> None:
    """Check `batch`, `dim`, `sum`, `expand` and `to`."""
    b = space.batch
    hold(b >= 1, f"batch is {b}; a space to check needs at least one sample.")
    hold(tuple(space.dim.shape) == (b,), f"dim has shape {tuple(space.dim.shape)}, not ({b},).")
    hold((space.dim >= 0).all(), "dim is negative for some sample.")
    hold(tuple(space.sum(x).shape) == (b,), f"sum returns shape {tuple(space.sum(x).shape)}, not ({b},).")
    factors = torch.linspace(0.5, 2, b, dtype=x.dtype, device=x.device)
    for c in (factors, factors[0]):
        scaled = x * space.expand(c)
        hold(scaled.shape == x.shape, f"A state times expand(c) has shape {tuple(scaled.shape)}, not {tuple(x.shape)}.")
        expected = c**2 * sqnorm(space, x)
        hold(close(sqnorm(space, scaled), expected, expected), "expand gives a sample the number of another sample.")
    moved = space.to(x.device)
    hold(moved.batch == b and torch.equal(moved.dim, space.dim), "to(device) changes batch or dim.")


def check_streams(space: Space, draw: Callable[[Sequence[torch.Generator]], Tensor], seed: int) -> None:
    """Check that random numbers of sample i depend on generator i only.

    Arguments:
        space: The space to check.
        draw: Draws numbers (R, ...) for B generators, such as the noise of the space.
        seed: Seed of all random numbers.
    """
    base = draw(streams(seed, "stream", range(space.batch)))
    again = draw(streams(seed, "stream", range(space.batch)))
    hold(torch.equal(base, again), "The same generators give different noise: the space draws from another source.")
    for i in range(min(space.batch, 4)):
        generators = streams(seed, "stream", range(space.batch))
        generators[i] = stream(seed, "another stream")
        change = sqnorm(space, draw(generators) - base)
        others = torch.arange(space.batch, device=change.device) != i
        hold((change[others] == 0).all(), f"Generator {i} changes the noise of other samples than {i}.")
        hold(change[i] > 0 or space.dim[i] == 0, f"Generator {i} does not change the noise of sample {i}.")


def check_projector(space: Space, eps: Tensor, y: Tensor, z: Tensor) -> None:
    """Check that P eps = eps, P P = P and <P y, z> = <y, P z>.

    Arguments:
        space: The space to check.
        eps: Noise on the space, (R, ...).
        y: An arbitrary state, (R, ...).
        z: Another one.
    """
    p_y, p_z = space.project(y), space.project(z)
    norm = sqnorm(space, y) + sqnorm(space, z)
    zero = torch.zeros_like(norm)
    gap = sqnorm(space, space.project(eps) - eps)
    hold(close(gap, zero, sqnorm(space, eps)), "Noise does not lie on the space: project(noise) is not noise.")
    gap = sqnorm(space, space.project(p_y) - p_y)
    hold(close(gap, zero, norm), "project is not idempotent: project(project(x)) is not project(x).")
    sides = space.sum(p_y * z), space.sum(y * p_z)
    hold(close(*sides, norm), "project is not self-adjoint: <P y, z> is not <y, P z>.")


def check_padding(space: Space, eps: Sequence[Tensor], padding: Tensor | None) -> None:
    """Check that project removes elements where noise is always 0, and that padding is among them and in no sum."""
    unreached = torch.stack([draw == 0 for draw in eps]).all(0).to(eps[0].dtype)
    removed = (space.project(1e3 * unreached) == 0).all()
    hold(removed, "project does not remove values of elements where noise is always 0.")
    if padding is not None:
        hold((unreached[padding] == 1).all(), "noise is not 0 on padding.")
        hold((space.sum(1e3 * padding.to(eps[0].dtype)) == 0).all(), "sum counts padding.")


def check_law(space: Space, eps: Sequence[Tensor], y: Tensor) -> None:
    """Check that E |eps|^2 = dim and that the variance of <y, eps> is |P y|^2."""
    n = len(eps)
    dim = space.dim.double()
    mean = torch.stack([sqnorm(space, draw) for draw in eps]).double().mean(0)
    error = SIGMAS * (2 * dim / n).sqrt() + TOLERANCE * dim
    worst = int(((mean - dim).abs() - error).argmax())
    hold(
        (mean - dim).abs()[worst] <= error[worst],
        f"E|eps|^2 is {mean[worst]:.3f} and dim is {dim[worst]:.0f} for sample {worst}: noise and dim disagree.",
    )
    variance = torch.stack([space.sum(y * draw) ** 2 for draw in eps]).double().mean(0)
    expected = sqnorm(space, space.project(y)).double()
    hold(
        ((variance - expected).abs() <= SIGMAS * math.sqrt(2 / n) * expected + 1e-6).all(),
        "The variance of <y, eps> is not |P y|^2: noise is not standard normal on the space.",
    )


def check_repeated(space: Space, eps: Sequence[Tensor], y: Tensor) -> None:
    """Check that the copies of a repeated space are independent and equal to the space, if it can be repeated."""
    if not provides(space, Repeats):
        return
    twice = space.repeat(2)
    hold(twice.batch == 2 * space.batch, f"repeat(2) has a batch of {twice.batch}, not {2 * space.batch}.")
    hold(torch.equal(twice.dim, torch.cat([space.dim] * 2)), "repeat(2) changes dim.")
    states = [y, eps[0]]
    apart = {
        "project": (twice.project(torch.cat(states)), [space.project(x) for x in states]),
        "sum": (twice.sum(torch.cat(states)), [space.sum(x) for x in states]),
        "expand": (
            twice.expand(twice.dim + torch.arange(twice.batch).to(twice.dim)) * torch.cat(states),
            [
                space.expand(space.dim + torch.arange(first, first + space.batch).to(space.dim)) * x
                for first, x in zip((0, space.batch), states, strict=True)
            ],
        ),
    }
    for name, (together, parts) in apart.items():
        joined = torch.cat(parts)
        hold(together.shape == joined.shape, f"{name} of repeat(2) has shape {tuple(together.shape)}.")
        hold(
            close(together, joined, joined),
            f"{name} of repeat(2) differs from that of the two states by themselves: the copies mix.",
        )
