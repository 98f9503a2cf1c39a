"""Curved spaces: exponential and logarithm, distances, the uniform law, padding and precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.parts.manifolds import Manifold, RotationSpace, TorusSpace, geodesic, wrapped
from polydiff.core.parts.rotations import angular, product
from polydiff.core.space import normal, sqnorm
from polydiff.core.streams import streams

Make = Callable[..., Manifold]
SIZES = torch.tensor([3, 1, 5, 4])
MASK = torch.arange(5) < SIZES[:, None]


def torus(batch: int, count: int, mask: Tensor | None = None, dtype: torch.dtype = torch.float64) -> TorusSpace:
    return TorusSpace(batch, (count,), mask, dtype=dtype)


def rotation(batch: int, count: int, mask: Tensor | None = None, dtype: torch.dtype = torch.float64) -> RotationSpace:
    return RotationSpace(batch, count, mask, dtype=dtype)


both = pytest.mark.parametrize("make", [torus, rotation])


def drawn(space: Manifold, name: str) -> Tensor:
    return space.noise(streams(0, name, range(space.batch)))


def tangents(space: Manifold, x: Tensor, seed: int = 0) -> Tensor:
    """Random tangents of a length of about 1."""
    ambient = normal(streams(seed, "tangent", range(len(x))), space.embed(x).shape[1:], dtype=x.dtype)
    return space.tangent(x, ambient)


@both
def test_exp_inverts_log_and_the_length_of_log_is_the_distance(make: Make) -> None:
    space = make(300, 5)
    x, y = drawn(space, "x"), drawn(space, "y")
    v = space.log(x, y)
    assert_close(space.exp(x, v), y, atol=1e-14, rtol=0)
    assert_close(sqnorm(space, v), sqnorm(space, space.log(y, x)))
    w = 0.5 * tangents(space, x)  # shorter than pi, so log finds it again
    assert_close(space.log(x, space.exp(x, w)), w, atol=1e-13, rtol=0)
    assert_close(space.log(x, x), torch.zeros_like(v), atol=1e-15, rtol=0)


@both
def test_geodesics_have_constant_speed_and_the_right_ends(make: Make) -> None:
    space = make(300, 2)
    x, y = drawn(space, "x"), drawn(space, "y")
    whole = sqnorm(space, space.log(x, y)).sqrt()
    t = torch.linspace(0, 1, 300, dtype=torch.float64)
    between = geodesic(space, x, y, t)
    assert_close(sqnorm(space, space.log(x, between)).sqrt(), t * whole, atol=1e-12, rtol=0)
    assert_close(sqnorm(space, space.log(between, y)).sqrt(), (1 - t) * whole, atol=1e-12, rtol=0)
    assert_close(geodesic(space, x, y, torch.tensor(0.3)), geodesic(space, y, x, torch.tensor(0.7)), atol=1e-12, rtol=0)


def test_the_distance_of_rotations_is_the_same_from_both_sides() -> None:
    space = rotation(200, 1)
    x, y, g = (drawn(space, name) for name in "xyg")
    distance = sqnorm(space, space.log(x, y))
    assert_close(sqnorm(space, space.log(product(g, x), product(g, y))), distance)
    assert_close(sqnorm(space, space.log(product(x, g), product(y, g))), distance)
    assert_close(space.log(product(g, x), product(g, y)), space.log(x, y))  # tangents are in the frame of the body
    trace = (space.embed(x) * space.embed(y)).sum((1, 2))
    assert_close(distance.sqrt(), ((trace - 1) / 2).arccos(), atol=1e-7, rtol=0)


def test_turning_all_angles_changes_no_tangent() -> None:
    space = torus(200, 3)
    x, y, g = (drawn(space, name) for name in "xyg")
    assert_close(space.log(space.exp(x, g), space.exp(y, g)), space.log(x, y), atol=1e-13, rtol=0)


def test_angles_have_the_moments_of_the_uniform_law() -> None:
    """E e^(i k a) = 0 for k = 1, 2, 3; the variance of a mean of n numbers is 1 / (2 n)."""
    angles = drawn(torus(50, 400), "noise")
    assert float(angles.min()) > -math.pi
    assert float(angles.max()) <= math.pi
    for k in (1, 2, 3):
        for part in ((k * angles).cos().mean(), (k * angles).sin().mean()):
            assert abs(float(part)) < 4 / math.sqrt(2 * angles.numel())
    assert_close(float(angles.square().mean().sqrt()), TorusSpace.spread, atol=0, rtol=0.02)


def test_rotations_have_the_moments_of_the_uniform_law() -> None:
    """E chi_l = 0, var chi_l = 1 for l = 1 to 4, and the same after multiplication with one rotation: Haar's law."""
    space = rotation(50, 400)
    q = drawn(space, "noise")
    one = q[:1, :1]
    assert_close(
        float(sqnorm(space, space.log(one, q)).mean() / space.dim.mean()) ** 0.5, space.spread, atol=0, rtol=0.02
    )
    for x in (q, product(one, q)):
        angle = angular(x).norm(dim=-1)
        for l in (1, 2, 3, 4):
            chi = ((l + 0.5) * angle).sin() / (angle / 2).sin()
            assert abs(float(chi.mean())) < 4 / math.sqrt(angle.numel())
            assert abs(float(chi.var()) - 1) < 0.1
        assert float(space.embed(x).mean((0, 1)).abs().max()) < 4 / math.sqrt(3 * angle.numel())


def test_a_rotation_and_its_negative_quaternion_are_one_point() -> None:
    space = rotation(50, 3)
    x, y = drawn(space, "x"), drawn(space, "y")
    assert_close(space.clean(-x), x, atol=1e-15, rtol=0)
    assert_close(space.log(-x, y), space.log(x, y))
    assert_close(space.embed(-x), space.embed(x))


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clean_is_idempotent(make: Make, dtype: torch.dtype) -> None:
    space = make(4, 5, MASK, dtype)
    x = 5 * normal(streams(0, "x", range(4)), drawn(space, "noise").shape[1:], dtype=dtype)
    once = space.clean(x)
    assert torch.equal(space.clean(once), once)
    assert_close(space.off(once), torch.zeros_like(space.off(once)), atol=2 * torch.finfo(dtype).eps, rtol=0)


@given(st.floats(-1e4, 1e4), st.sampled_from([torch.float32, torch.float64]))
def test_wrapping_is_idempotent_and_keeps_the_point(angle: float, dtype: torch.dtype) -> None:
    x = torch.tensor(angle, dtype=dtype)
    y = wrapped(x)
    assert torch.equal(wrapped(y), y)
    assert -torch.tensor(math.pi, dtype=dtype) < y <= torch.tensor(math.pi, dtype=dtype)
    assert abs(math.remainder(float(y) - float(x), 2 * math.pi)) <= 2 * torch.finfo(dtype).eps * (abs(angle) + 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ends_of_the_range_are_one_angle(dtype: torch.dtype) -> None:
    pi = torch.tensor(math.pi, dtype=dtype)
    assert torch.equal(wrapped(torch.stack([pi, -pi])), torch.stack([pi, pi]))
    near = torch.stack([torch.nextafter(-pi, pi), torch.nextafter(pi, -pi)])
    assert torch.equal(wrapped(near), near)
    just_outside = torch.stack([torch.nextafter(pi, 2 * pi), torch.nextafter(-pi, -2 * pi)])
    assert_close(wrapped(just_outside).abs(), torch.stack([pi, pi]))


@both
def test_the_embedding_moves_as_tangents_say(make: Make) -> None:
    """The derivative of embed along v has v as its tangential part, and v has its length up to a constant."""
    space = make(20, 2)
    x = drawn(space, "x")
    v = tangents(space, x)
    _, moved = torch.autograd.functional.jvp(
        lambda s: space.embed(space.exp(x, s * v)), torch.zeros(()).double(), torch.ones(()).double()
    )
    assert_close(space.tangent(x, moved), v, atol=1e-12, rtol=0)
    factor = 1.0 if make is torus else 2.0
    assert_close(moved.square().flatten(1).sum(1), factor * sqnorm(space, v))
    # the embedding itself has no tangential part
    assert_close(space.tangent(x, space.embed(x)), torch.zeros_like(v), atol=1e-15, rtol=0)


@both
def test_padding_holds_the_identity_and_counts_nowhere(make: Make) -> None:
    space, clear = make(4, 5, MASK), make(4, 5)
    x, y = drawn(space, "x"), drawn(space, "y")
    shape = (*MASK.shape, *(1 for _ in x.shape[2:]))
    mask = MASK.reshape(shape)
    identity = torch.zeros(5).double() if make is torus else torch.tensor([1.0, 0, 0, 0]).double()
    v = tangents(clear, drawn(clear, "x"))
    for state in (x, space.exp(x, v), space.clean(drawn(clear, "x"))):
        assert torch.equal(torch.where(mask, state, identity), state)
    for tangent in (space.log(x, y), space.project(v), space.tangent(x, space.embed(y)), space.embed(x)):
        padding = ~MASK.reshape(*MASK.shape, *(1 for _ in tangent.shape[2:])).expand_as(tangent)
        assert not tangent[padding].any()
    assert torch.equal(space.dim, clear.dim / 5 * SIZES)
    assert_close(space.sum(torch.ones_like(v)), space.dim)


@both
def test_a_sample_depends_on_its_generator_and_size_alone(make: Make) -> None:
    together = make(4, 5, MASK, torch.float32)
    x, y = drawn(together, "x"), drawn(together, "y")
    alone = make(1, 4, None, torch.float32)
    x_3, y_3 = (alone.noise(streams(0, name, [3])) for name in "xy")
    assert torch.equal(x[3:, :4], x_3)
    t = torch.linspace(0.1, 0.9, 4)
    assert torch.equal(geodesic(together, x, y, t)[3:, :4], geodesic(alone, x_3, y_3, t[3:]))
    assert torch.equal(together.embed(x)[3:, :4], alone.embed(x_3))


@both
def test_a_repeated_space_treats_its_copies_alike(make: Make) -> None:
    space = make(4, 5, MASK)
    twice = space.repeat(2)
    assert twice is space.repeat(2)
    assert torch.equal(twice.dim, space.dim.repeat(2))
    x, y = drawn(space, "x"), drawn(space, "y")
    t = torch.linspace(0, 1, 8).double()
    joined = geodesic(twice, torch.cat([x, x]), torch.cat([y, y]), t)
    assert_close(joined, torch.cat([geodesic(space, x, y, t[:4]), geodesic(space, x, y, t[4:])]))
    assert torch.equal(space.to("cpu").dim, space.dim)


def test_a_sample_may_be_one_angle() -> None:
    space = TorusSpace(6, (), dtype=torch.float64)
    x = drawn(space, "x")
    assert x.shape == (6,)
    assert_close(geodesic(space, x, x + 1, torch.arange(6) / 6), wrapped(x + torch.arange(6) / 6), atol=1e-14, rtol=0)
    assert torch.equal(sqnorm(space, x), x * x)
