"""Checks of a space of curved states: exponential and logarithm, the uniform law, padding.

Symbols: x and y points, v tangent, B number of samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polydiff.core.parts.manifolds import Manifold, geodesic
from polydiff.core.space import sqnorm
from polydiff.core.streams import stream, streams
from polydiff.testing.space import SIGMAS, hold

TOLERANCE = 1e-5
"""Largest distance, in radians, between points that are equal but for rounding."""


def check_manifold(space: Manifold, draws: int = 256, seed: int = 0) -> None:
    """Check the rules for `polydiff.core.parts.manifolds.Manifold`.

    Arguments:
        space: The space to check, with at least one sample, float32 or float64.
        draws: Draws of noise for its mean distance.
        seed: Seed of all random numbers.

    Raises:
        AssertionError: A rule is broken; the message states it.
    """
    x, y = (space.noise(streams(seed, name, range(space.batch))) for name in ("x", "y"))
    check_points(space, x)
    check_streams(space, seed)
    check_geodesics(space, x, y)
    check_embedding(space, x, y)
    check_spread(space, x, draws, seed)
    check_copies(space, x, y)


def apart(space: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """Return the distances of the samples of two batches of points, (B,)."""
    return sqnorm(space, space.log(x, y)).sqrt()


def check_points(space: Manifold, x: Tensor) -> None:
    """Check that noise draws points, and that `clean` and `project` change nothing twice."""
    hold(tuple(space.dim.shape) == (space.batch,), f"dim has shape {tuple(space.dim.shape)}, not ({space.batch},).")
    hold(torch.equal(space.clean(x), x), "clean changes points that noise has drawn.")
    hold(bool((space.off(x) <= TOLERANCE).all()), "noise draws numbers that are off the manifold.")
    hold(bool((space.off(3 * x + 7) > TOLERANCE).any()), "off finds no fault with numbers that are no points.")
    v = space.tangent(x, torch.ones_like(space.embed(x)))
    hold(torch.equal(space.project(v), v), "project changes tangents.")
    counted = space.sum(space.project(torch.ones_like(v)))
    hold(torch.equal(counted, space.dim), f"dim is {space.dim.tolist()}, sum counts {counted.tolist()}.")


def check_streams(space: Manifold, seed: int) -> None:
    """Check that the noise of sample i depends on generator i only."""
    base = space.noise(streams(seed, "stream", range(space.batch)))
    again = space.noise(streams(seed, "stream", range(space.batch)))
    hold(torch.equal(base, again), "The same generators give different noise: the space draws from another source.")
    for i in range(min(space.batch, 4)):
        generators = streams(seed, "stream", range(space.batch))
        generators[i] = stream(seed, "another stream")
        change = (space.noise(generators) != base).flatten(1).any(1)
        others = torch.arange(space.batch, device=change.device) != i
        hold(not change[others].any(), f"Generator {i} changes the noise of other samples than {i}.")
        hold(bool(change[i]) or space.dim[i] == 0, f"Generator {i} does not change the noise of sample {i}.")


def check_geodesics(space: Manifold, x: Tensor, y: Tensor) -> None:
    """Check that exp inverts log, and that geodesics have constant speed."""
    hold(bool((apart(space, space.exp(x, space.log(x, y)), y) <= TOLERANCE).all()), "exp(x, log(x, y)) is not y.")
    whole = apart(space, x, y)
    hold(bool(((whole - apart(space, y, x)).abs() <= TOLERANCE).all()), "|log(x, y)| is not |log(y, x)|.")
    t = torch.linspace(0.2, 0.8, space.batch, dtype=x.dtype, device=x.device)
    between = geodesic(space, x, y, t)
    hold(torch.equal(space.clean(between), between), "exp leads to numbers that are no points.")
    for end, share in ((x, t), (y, 1 - t)):
        gap = (apart(space, between, end) - share * whole).abs()
        hold(bool((gap <= TOLERANCE).all()), "A geodesic has no constant speed.")


def check_embedding(space: Manifold, x: Tensor, y: Tensor) -> None:
    """Check that `tangent` gives v back of the derivative of `embed` along v."""
    v, one = space.log(x, y), torch.ones((), dtype=x.dtype, device=x.device)
    _, moved = torch.autograd.functional.jvp(lambda s: space.embed(space.exp(x, s * v)), one - 1, one)
    gap = sqnorm(space, space.tangent(x, moved) - v).sqrt()
    hold(bool((gap <= TOLERANCE * (1 + sqnorm(space, v))).all()), "tangent(x, d embed(exp(x, s v)) / ds) is not v.")


def check_spread(space: Manifold, x: Tensor, draws: int, seed: int) -> None:
    """Check that E |log(x, noise)|^2 is dim times the square of `spread`."""
    far = [space.noise(streams(seed, f"draw {i}", range(space.batch))) for i in range(draws)]
    squares = torch.stack([sqnorm(space, space.log(x, y)) for y in far]).double()
    gap = (squares.mean(0) - space.dim.double() * space.spread**2).abs()
    error = squares.std(0) / draws**0.5
    hold(bool((gap <= SIGMAS * error + TOLERANCE).all()), "spread is not the root mean square of tangents to noise.")


def check_copies(space: Manifold, x: Tensor, y: Tensor) -> None:
    """Check that the copies of a repeated space are independent and equal to the space."""
    twice = space.repeat(2)
    hold(torch.equal(twice.dim, torch.cat([space.dim] * 2)), "repeat(2) changes dim.")
    t = torch.linspace(0, 1, 2 * space.batch, dtype=x.dtype, device=x.device)
    joined = geodesic(twice, torch.cat([x, y]), torch.cat([y, x]), t)
    alone = [geodesic(space, a, b, part) for a, b, part in zip((x, y), (y, x), t.chunk(2), strict=True)]
    near = apart(twice, joined, torch.cat(alone)) <= TOLERANCE
    hold(bool(near.all()), "repeat(2) treats states differently from the space itself: the copies mix.")
