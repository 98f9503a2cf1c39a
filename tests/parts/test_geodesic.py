"""Angles and rotations against laws whose velocity is known: errors of samplers, loss, guidance, known values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from curved_cases import ExactGeodesic, RadialRotations, TorusMixture, pushed, sampled, uniform_angle_cdf
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.parts.manifolds import Manifold, RotationSpace, TorusSpace, geodesic
from polydiff.core.parts.product import WHOLE, Product
from polydiff.core.parts.rotations import angular, conjugate, product, turn
from polydiff.core.space import Euclidean, normal, sqnorm
from polydiff.core.streams import streams
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.sampling.plan import grid, rows_on
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.geodesic import FLOWS, Geodesic, midpoint
from polydiff.parts.guidance import Guided
from polydiff.parts.joint.clock import GaussianLead, JointClock
from polydiff.parts.joint.grid import Follower, JointGrid, gaussian_rows
from polydiff.parts.kernel import KERNELS, Source
from polydiff.parts.sampling.execute import Held, sample_parts, with_known
from polydiff.parts.schedule import LEVEL_SCHEDULES
from polydiff.support.errors import UserError
from polydiff.testing.parts.kernel import check_kernel

CIRCLE = TorusMixture.of((0.6, 0.4), ((0.5,), (3.0,)), ((8.0,), (4.0,)))
PAIR = TorusMixture.of((0.6, 0.4), ((-1.0, -1.5), (0.5, 1.5)), ((3.0, 8.0), (3.0, 4.0)))
FISHER = RadialRotations(lambda cosine2: torch.exp(4 * (cosine2 - 1)))
"""exp(trace R), up to a constant: the isotropic matrix Fisher law about the identity."""
KERNEL = Geodesic()
AXIS = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), dim=0)


def middles(n: int) -> Tensor:
    """The quantiles (i + 1/2) / n."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def uniform_angles(n: int) -> Tensor:
    """The quantiles of the angle of uniform rotations, by bisection."""
    low, high = torch.zeros(n, dtype=torch.float64), torch.full((n,), math.pi, dtype=torch.float64)
    for _ in range(60):
        below = uniform_angle_cdf((low + high) / 2) < middles(n)
        low, high = torch.where(below, (low + high) / 2, low), torch.where(below, high, (low + high) / 2)
    return low


def circle_error(sampler: str, steps: int, n: int = 200) -> float:
    """Half of Kuiper's distance between the data and the image of the uniform law: no random number is drawn.

    The image of angles in their order is in order, so the law of the samples up to the image of a quantile is this
    quantile.
    """
    x = (2 * math.pi * middles(n) - math.pi)[:, None]
    y = sampled(CIRCLE, TorusSpace(n, (1,), dtype=torch.float64), x, sampler, steps)[:, 0]
    turns = torch.cumsum(torch.cat([torch.zeros(1), (y.diff() < -math.pi).double()]), 0)
    gap = CIRCLE.cdf(y + 2 * math.pi * turns) - middles(n)
    return float(gap.max() - gap.min()) / 2


def rotation_error(sampler: str, steps: int, n: int = 30) -> float:
    """The Kolmogorov distance of the angles, for rotations about one axis at the quantiles of their angle."""
    space = RotationSpace(n, 1, dtype=torch.float64)
    x = space.clean(turn(uniform_angles(n)[:, None, None] * AXIS))
    v = angular(sampled(FISHER, space, x, sampler, steps))[:, 0]
    assert_close(v, (v @ AXIS)[:, None] * AXIS, atol=1e-13, rtol=0)  # no rotation leaves the axis
    return float((FISHER.cdf(v.norm(dim=-1)) - middles(n)).abs().max())


@pytest.mark.parametrize(
    ("sampler", "expected"), [("euler", (0.0466, 0.0209, 0.0101)), ("midpoint", (0.0063, 0.0015, 0.0005))]
)
def test_angles_have_the_known_errors_of_few_steps(sampler: str, expected: Sequence[float]) -> None:
    assert [circle_error(sampler, steps) for steps in (4, 8, 16)] == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("midpoint", 2)])
def test_samplers_of_rotations_have_their_order(sampler: str, order: int) -> None:
    coarse, fine = (rotation_error(sampler, steps) for steps in (8, 16))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)
    assert fine < (0.02 if order == 1 else 6e-4)


def drawn(n: int) -> tuple[TorusSpace, Tensor]:
    """Draws of `PAIR`, (n, 2)."""
    rng = np.random.default_rng(0)
    which = rng.choice(2, n, p=PAIR.weights.numpy())
    x_0 = rng.vonmises(PAIR.means.numpy()[which], PAIR.kappas.numpy()[which])
    return TorusSpace(n, (2,), dtype=torch.float64), torch.from_numpy(x_0)


def drawn_rotations(n: int) -> tuple[RotationSpace, Tensor]:
    """Draws of `FISHER`, by rejection of uniform ones, (m, 1, 4) with m < n."""
    q = RotationSpace(n, 1, dtype=torch.float64).noise(streams(0, "data", range(n)))
    u = torch.rand(n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = q[(u < FISHER.density(q[..., 0] ** 2))[:, 0]]
    return RotationSpace(len(kept), 1, dtype=torch.float64), kept


@pytest.mark.parametrize("level", [0.3, 0.8])
@pytest.mark.parametrize("make", [drawn, drawn_rotations])
def test_the_loss_is_least_at_the_known_direction(make, level: float) -> None:
    """E loss(u + d) - E loss(u) = E |d|^2 for every d(x): u is the mean of what the loss compares with.

    This holds for the velocities of the laws if both they and `corrupt` are right.
    """
    space, x_0 = make(6000)
    law = PAIR if make is drawn else FISHER
    levels = torch.full((space.batch,), level, dtype=torch.float64)
    x = KERNEL.corrupt(x_0, levels, space, streams(0, "noise", range(space.batch)))
    f = ExactGeodesic(law)({WHOLE: x}, {WHOLE: torch.tensor(level)}, Product({WHOLE: space}))[WHOLE]

    def loss(d: Tensor) -> Tensor:
        return KERNEL.loss(f + d, x_0, x, levels, torch.ones(()), space, "simple")

    embedded = space.embed(x)
    for d in (embedded.flip(-1), embedded.roll(1, -1) ** 2 - 0.3, embedded.roll(1, -2) + 0.2):
        square = sqnorm(space, space.tangent(x, d)) / space.dim
        surplus = loss(d) - loss(torch.zeros_like(d)) - square
        assert abs(float(surplus.mean())) < 4 * float(surplus.std()) / math.sqrt(space.batch)


@pytest.mark.parametrize("make", [drawn, drawn_rotations])
def test_directions_at_the_prior_have_unit_variance(make) -> None:
    space, x_0 = make(4000)
    ones = torch.ones(space.batch, dtype=torch.float64)
    x = KERNEL.corrupt(x_0, ones, space, streams(0, "noise", range(space.batch)))
    loss = KERNEL.loss(torch.zeros_like(space.embed(x)), x_0, x, ones, ones, space, "simple")
    assert float(loss.mean()) == pytest.approx(1, abs=4 * float(loss.std()) / math.sqrt(space.batch))


@pytest.mark.parametrize("space", [TorusSpace(6, (3,)), RotationSpace(6, 3)], ids=["circle", "rotation"])
def test_a_corrupted_state_lies_at_the_share_of_its_level(space: Manifold) -> None:
    x_0 = space.noise(streams(0, "data", range(6)))
    levels = torch.linspace(0, 1, 6, dtype=torch.float64)
    x = KERNEL.corrupt(x_0, levels, space, streams(0, "noise", range(6)))
    x_1 = KERNEL.prior(space, streams(0, "noise", range(6)))
    assert_close(x, geodesic(space, x_0, x_1, levels.float()))
    near = sqnorm(space, space.log(x_0, x)).sqrt()
    assert_close(near, levels.float() * sqnorm(space, space.log(x_0, x_1)).sqrt(), atol=2e-6, rtol=0)
    # the known direction leads to the clean state in one step, from every level
    u = space.log(x, x_0) / (space.expand(levels.float().clamp(min=1e-4)) * space.spread)
    guess = KERNEL.guess(pushed(space, x, u), x, levels, space)
    assert_close(sqnorm(space, space.log(guess, x_0)), torch.zeros(6), atol=1e-9, rtol=0)


def test_guidance_combines_directions_linearly() -> None:
    space = RotationSpace(5, 2, dtype=torch.float64)
    x = space.noise(streams(0, "x", range(5)))
    strong, weak = (normal(streams(0, name, range(5)), (2, 9), dtype=torch.float64) for name in ("strong", "weak"))

    def network(x, levels, space, cond=None):
        return {WHOLE: weak if cond is None else strong}

    guided = Guided(network, 3.0, None, None, None, WHOLE, joined=False)
    f = guided({WHOLE: x}, {WHOLE: torch.tensor(0.5)}, Product({WHOLE: space}), {"label": torch.zeros(5)})[WHOLE]
    velocity = KERNEL.velocity(weak, x, space) + 3 * (
        KERNEL.velocity(strong, x, space) - KERNEL.velocity(weak, x, space)
    )
    assert_close(KERNEL.velocity(f, x, space), velocity)


def held_samples(numbers: range, steps: int) -> Tensor:
    """Samples of `PAIR` whose first angle is known to be 0.3."""
    n = len(numbers)
    space, generators = TorusSpace(n, (2,), dtype=torch.float64), streams(0, "sample", numbers)
    held = Held({WHOLE: torch.full((n, 2), 0.3, dtype=torch.float64)}, {WHOLE: torch.tensor([True, False])})
    x = {WHOLE: KERNEL.prior(space, generators)}
    x = with_known(x, {WHOLE: 1.0}, held, {WHOLE: KERNEL}, Product({WHOLE: space}), {WHOLE: generators})
    return sampled(PAIR, space, x[WHOLE], "midpoint", steps, held, generators)


def test_known_angles_stay_and_move_the_others_towards_the_law_given_them() -> None:
    """The sampling of known values is approximate: the share of the first component is 0.48, not 0.16 (free: 0.60)."""
    made = held_samples(range(400), 6)
    assert torch.equal(made[:, 0], torch.full((400,), 0.3, dtype=torch.float64))
    free, given = PAIR.weights[0], PAIR.given(0.3, 0)[0]
    share = float((made[:, 1] < 0).double().mean())
    assert [float(free), float(given)] == pytest.approx([0.6, 0.155], abs=0.01)
    assert share == pytest.approx(0.48, abs=0.06)
    assert_close(held_samples(range(7, 9), 6), made[7:9], atol=1e-12, rtol=0)


def test_angles_follow_another_part_by_eulers_method_alone() -> None:
    schedule = SCHEDULES["edm"]()
    levels = grid(schedule, 9, "heun", None, 1.0, None, None)
    clock = JointClock("x", GaussianLead(schedule, Loss()), {"a": LEVEL_SCHEDULES["linear"]})
    own = gaussian_rows(levels[0], rows_on(levels, "heun", 1.0))
    rows = JointGrid(clock, *own, {"a": Follower(KERNELS["circle"].sampler, FLOWS, {})}).rows(1)
    moves = [row.rows["a"] for row in rows if "a" in row.rows]
    assert [moves[0].at, moves[-1].to] == [1, 0]
    assert all(before.to == after.at for before, after in pairwise(moves))
    space = Product({"x": Euclidean(400, (), dtype=torch.float64), "a": TorusSpace(400, (1,), dtype=torch.float64)})

    def network(x, levels, space, cond=None):
        exact = ExactGeodesic(CIRCLE)({WHOLE: x["a"]}, {WHOLE: levels["a"]}, Product({WHOLE: space.parts["a"]}))
        return {"x": torch.zeros_like(x["x"]), "a": exact[WHOLE]}

    kernels = {"x": GaussianKernel(schedule, "x0", Loss()), "a": KERNEL}
    drawn = sample_parts(rows, network, kernels, space, generators=streams(0, "sample", range(400)))["a"][:, 0]
    gap = CIRCLE.cdf(drawn.sort().values) - middles(400)
    assert float(gap.max() - gap.min()) < 0.12  # Kuiper's distance of 400 draws is below 0.085 in 95 of 100 cases
    with pytest.raises(UserError, match="The sampler midpoint takes steps of its own"):
        JointGrid(clock, *own, {"a": Follower("midpoint", FLOWS, {})}).rows(1)


def test_known_values_move_on_one_path() -> None:
    space = TorusSpace(3, (2,), dtype=torch.float64)
    x_0 = space.noise(streams(0, "data", range(3)))
    low, high = (
        KERNEL.hold(x_0, torch.full((3,), l, dtype=torch.float64), space, streams(0, "sample", range(3)))
        for l in (0.3, 0.6)
    )
    assert_close(geodesic(space, x_0, high, torch.tensor(0.5)), low, atol=1e-13, rtol=0)


def test_the_midpoint_method_calls_the_network_twice_a_step_and_ends_at_0() -> None:
    rows = midpoint([1.0, 0.5, 0.0], 1)
    assert [(row.at, row.to) for row in rows] == [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)]


def test_rotated_data_give_rotated_samples() -> None:
    """The plan commutes with multiplication from the left: tangents are in the frame of the body."""
    space = RotationSpace(4, 1, dtype=torch.float64)
    x, g = space.noise(streams(0, "x", range(4))), space.noise(streams(0, "g", range(4)))[:1]

    class Turned:
        def mean_tangent(self, q: Tensor, level: float) -> Tensor:
            return FISHER.mean_tangent(product(conjugate(g), q), level)

    plain = sampled(FISHER, space, x, "midpoint", 4)
    turned = sampled(Turned(), space, space.clean(product(g, x)), "midpoint", 4)  # type: ignore[arg-type]
    assert_close(turned, space.clean(product(g, plain)), atol=1e-12, rtol=0)


def test_states_of_another_kind_are_errors() -> None:
    circle, rotation = TorusSpace(2, (3,)), RotationSpace(2, 3)
    with pytest.raises(UserError, match="process=circle: the states of these data need process=rotation"):
        KERNELS["circle"].make(Source({}, rotation, {}))
    with pytest.raises(UserError, match=r"x: angles must be in radians, from -pi to pi .* off by 117"):
        KERNEL.check(torch.full((2, 3), 120.0), circle, "x")
    with pytest.raises(UserError, match=r"x: rotations must be unit quaternions .* off by 1"):
        KERNEL.check(torch.full((2, 3, 4), 1.0), rotation, "x")
    with pytest.raises(UserError, match=r"x \(torch.float32\) must hold finite real numbers"):
        KERNEL.check(torch.full((2, 3), math.nan), circle, "x")
    KERNEL.check(torch.full((2, 3), -math.pi), circle, "x")
    KERNEL.check(-rotation.noise(streams(0, "x", range(2))), rotation, "x")


@pytest.mark.parametrize("space", [TorusSpace(6, (3,)), RotationSpace(6, 3)], ids=["circle", "rotation"])
@pytest.mark.parametrize("sampler", ["euler", "midpoint"])
def test_it_keeps_the_rules_of_kernels(space: Manifold, sampler: str) -> None:
    rows = FLOWS[sampler]([1.0, 0.4, 0.0], 1)
    assert all(before.to == after.at for before, after in pairwise(rows))
    x_0 = space.noise(streams(0, "data", range(6)))
    f = 3 * normal(streams(0, "output", range(6)), space.embed(x_0).shape[1:])
    check_kernel(KERNEL, space, x_0, rows, f, "simple")
