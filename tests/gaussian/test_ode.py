"""The integrator: order of its methods, control of the error, independence of samples."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.ode import Equation, IntegrationError, Parts, Solution, attempt, integrate
from polydiff.gaussian.tableaux import METHODS

F64 = torch.float64


def line(batch: int) -> Euclidean:
    """R^1, float64."""
    return Euclidean(batch, (1,), dtype=F64)


def solve(
    start: list[float], end: list[float], rates: list[float], calls: list[int] | None = None, **how: float | str
) -> Solution:
    """Solve y' = rate y cos t from y = 1, whose solution is exp(rate (sin t_1 - sin t_0))."""
    rate = torch.tensor(rates, dtype=F64)

    def f(t: Tensor, y: Parts) -> Parts:
        if calls is not None:
            calls.append(1)
        return (rate[:, None] * t.cos()[:, None] * y[0],)

    t0, t1 = torch.tensor(start, dtype=F64), torch.tensor(end, dtype=F64)
    return integrate(f, (torch.ones(len(rates), 1, dtype=F64),), (line(len(rates)),), t0, t1, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_has_its_stated_order(name: str) -> None:
    """One step of y' = y cos t: the local error falls as h^{p+1}, that of the lower weights as h^p."""
    tableau = METHODS[name]
    assert_close(sum(tableau.b), 1.0)
    assert_close(sum(tableau.low), 1.0)
    assert tableau.c[-1] == pytest.approx(1)

    def errors(step: float) -> tuple[float, float]:
        def f(t: Tensor, y: Parts) -> Parts:
            return (t.cos()[:, None] * y[0],)

        t, h, y = torch.tensor([0.3], dtype=F64), torch.tensor([step], dtype=F64), (torch.ones(1, 1, dtype=F64),)
        new, _, error = attempt(Equation(f, (line(1),), tableau, 0.0, 1.0), t, h, y, f(t, y))
        return abs(new[0].item() - math.exp(math.sin(0.3 + step) - math.sin(0.3))), error.item()

    (fine, low), (coarse, low_coarse) = errors(0.1), errors(0.2)
    assert math.log2(coarse / fine) == pytest.approx(tableau.order + 1, abs=0.35)
    assert math.log2(low_coarse / low) == pytest.approx(tableau.order, abs=0.35)


@pytest.mark.parametrize(
    ("name", "rtol"), [("dopri5", 1e-4), ("dopri5", 1e-7), ("dopri5", 1e-10), ("bosh3", 1e-4), ("bosh3", 1e-7)]
)
def test_the_error_follows_the_tolerance(name: str, rtol: float) -> None:
    calls: list[int] = []
    found = solve([0.0], [7.0], [3.0], calls, rtol=rtol, atol=rtol, method=name)
    exact = math.exp(3 * math.sin(7.0))
    assert abs(found.y[0].item() / exact - 1) < 100 * rtol
    assert found.evaluations.item() == len(calls) > 10


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-6, 6), st.floats(-4, 4)), min_size=1, max_size=5))
def test_each_sample_is_solved_independently(samples: list[tuple[float, float, float]]) -> None:
    """Equal bits and separate counts, forwards, backwards and over an empty interval."""
    start, end, rates = map(list, zip(*samples, strict=True))
    together = solve(start, end, rates)
    for i, (t0, t1, rate) in enumerate(samples):
        alone = solve([t0], [t1], [rate])
        assert torch.equal(together.y[0][i : i + 1], alone.y[0])
        assert together.evaluations[i] == alone.evaluations[0]
        exact = math.exp(rate * (math.sin(t1) - math.sin(t0)))
        assert_close(alone.y[0].item(), exact, rtol=1e-2, atol=1e-2)


def test_the_solution_does_not_depend_on_padding_or_layout() -> None:
    """The norm of a step counts dimensions without padding, so dense and packed molecules take the same steps."""

    def run(layout: type) -> Solution:
        sizes = torch.tensor([2, 5, 3])
        space = layout.of_sizes(sizes, 2, F64)
        x = space.noise(streams(0, "x", range(3)))
        t = torch.zeros(3, dtype=F64)
        return integrate(lambda t, y: (-y[0] - y[0] ** 3 / 3,), (x,), (space,), t, t + torch.tensor([1.0, 2.0, 3.0]))

    one, other = run(type(dense(1, 2))), run(type(packed(1, 2)))
    mask = type(dense(1, 2)).of_sizes(torch.tensor([2, 5, 3]), 2).mask
    assert_close(one.y[0][mask], other.y[0], rtol=1e-12, atol=1e-14)
    assert torch.equal(one.steps, other.steps)
    assert not one.y[0][~mask].any()


def test_solutions_can_have_several_parts_and_float32() -> None:
    """A circle and the area inside it; a state in float32 stays in float32."""
    for dtype, tolerance in ((F64, 1e-5), (torch.float32, 1e-4)):
        spaces = (Euclidean(2, (2,), dtype=dtype), Euclidean(2, (1,), dtype=dtype))
        y = (torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=dtype), torch.zeros(2, 1, dtype=dtype))

        def turn(t: Tensor, y: Parts) -> Parts:
            return torch.stack([-y[0][:, 1], y[0][:, 0]], 1), (y[0] ** 2).sum(1, keepdim=True) / 2

        zero = torch.zeros(2, dtype=F64)
        found = integrate(turn, y, spaces, zero, zero + 2 * math.pi, rtol=1e-6, atol=1e-6)
        assert found.y[0].dtype == dtype
        assert_close(found.y[0], y[0], rtol=0, atol=10 * tolerance)
        assert_close(found.y[1][:, 0].double(), torch.tensor([1.0, 4.0], dtype=F64) * math.pi, rtol=tolerance, atol=0)


def test_an_equation_that_cannot_be_solved_raises() -> None:
    y, t = (torch.ones(2, 1, dtype=F64),), torch.zeros(2, dtype=F64)
    ends = torch.tensor([0.5, 2.0], dtype=F64)
    with pytest.raises(IntegrationError, match=r"sample 1 became too short at t = (1|0\.999)"):  # y = 1 / (1 - t)
        integrate(lambda t, y: (y[0] ** 2,), y, (line(2),), t, ends)
    with pytest.raises(IntegrationError, match="not finite"):
        integrate(lambda t, y: (torch.full_like(y[0], math.nan),), y, (line(2),), t, ends)
    with pytest.raises(IntegrationError, match="3 steps did not reach the end"):
        integrate(lambda t, y: (y[0].cos() * 50,), y, (line(2),), t, ends, max_steps=3)


def test_tolerances_of_0_raise_an_error() -> None:
    y, space, t = torch.ones(1, 1), Euclidean(1, (1,)), torch.zeros(1)
    with pytest.raises(ValueError, match="not both 0"):
        integrate(lambda t, y: y, (y,), [space], t, t + 1, rtol=0.0, atol=0.0)
