"""Tests of `polydiff.gaussian.sampling.multistep`."""

import math

import pytest
from scipy.integrate import quad

from polydiff.gaussian.sampling.plan import SAMPLERS


def test_dpmpp_2m_has_the_published_coefficients() -> None:
    """x_t = (s_t / s_0) x - (e^{-h} - 1) [(1 + 1/2r) D_0 - (1/2r) D_1] (Lu et al., 2022, algorithm 2)."""
    levels = [10.0, 4.0, 1.0, 0.2]
    for i, row in enumerate(SAMPLERS["dpmpp_2m"](levels)):
        h = math.log(levels[i] / levels[i + 1])
        half = 1 / (2 * math.log(levels[i - 1] / levels[i]) / h) if i else 0.0
        phi = -math.expm1(-h)
        assert pytest.approx(levels[i + 1] / levels[i], rel=1e-14) == row.A
        assert pytest.approx((phi * (1 + half), -phi * half), rel=1e-12) == row.B


def test_dpmpp_2m_adds_noise_up_to_a_level() -> None:
    """Above it the rows are those of the ODE, from it on those of the SDE: they do not depend on each other."""
    levels = [10.0, 4.0, 1.0, 0.2, 0.1]
    ode, sde = SAMPLERS["dpmpp_2m"](levels), SAMPLERS["dpmpp_2m_sde"](levels)
    assert list(SAMPLERS["dpmpp_2m_sde"](levels, high=1.0)) == [*ode[:2], *sde[2:]]
    assert list(SAMPLERS["dpmpp_2m_sde"](levels, high=0.0)) == list(ode)
    assert sde[2].C > 0 == ode[2].C
    with pytest.raises(ValueError, match="high must not be negative"):
        SAMPLERS["dpmpp_2m_sde"](levels, high=-1.0)


def test_dpmpp_3m_weights_the_second_difference_by_phi_3() -> None:
    """x_t = r x + phi_1 D_0 + phi_2 D1 + 2 phi_3 D2 for quadratic D(lambda): exact where the published one is not."""
    levels = [3.0, 2.0, 1.2, 0.5]

    def D(s: float) -> float:
        return 0.3 - 0.7 * math.log(s) + 0.4 * math.log(s) ** 2

    row = SAMPLERS["dpmpp_3m"](levels)[2]
    exact = quad(lambda s: 0.5 / s**2 * D(s), 0.5, 1.2, epsabs=1e-13)[0]
    assert sum(b * D(s) for b, s in zip(row.B, (1.2, 2.0, 3.0), strict=True)) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("solver", ["bh1", "bh2"])
def test_unipc_of_order_3_is_exact_for_polynomials_in_log_s(solver: str) -> None:
    """Its predictor fits three estimates and its corrector four, whatever B(h) is."""
    levels = [6.0, 4.0, 3.0, 2.0, 1.2, 0.5, 0.2, 0.1]
    rows = SAMPLERS["unipc"](levels, 3, solver)
    plain = SAMPLERS["unipc"](levels, 3, solver, corrector=False)
    adams = SAMPLERS["adams"](levels, 3, "x0", "log", 4)
    assert pytest.approx(SAMPLERS["adams"](levels, 3, "x0", "log")[3].B, rel=1e-9) == plain[3].B
    assert pytest.approx(adams[4].B, rel=1e-9) == rows[4].B


@pytest.mark.parametrize("name", ["ipndm", "plms", "pndm"])
def test_methods_of_equal_steps_are_exact_for_cubic_slopes(name: str) -> None:
    """With eps a cubic in s and equal steps, Adams-Bashforth 4 after an exact start makes no error."""
    levels = [1.0 - 0.05 * i for i in range(12)]

    def eps(s: float) -> float:
        return 1 - 2 * s + 3 * s**2 - 4 * s**3

    x, history = 0.0, []
    rows = SAMPLERS[name](levels)
    for row in rows:
        history.insert(0, eps(row.at))  # the slope does not depend on x here: P D + Q x = eps
        x = row.A * x + sum(b * m for b, m in zip(row.B, history, strict=False))
        if row.to < levels[4] - 1e-9 and row is rows[-1]:
            break
    skipped = len(rows) - (len(levels) - 1)
    begun = next(i for i, s in enumerate(levels) if i >= 3)
    exact = quad(eps, levels[begun], levels[-1])[0]
    tail = 0.0
    history = []
    for i, row in enumerate(rows):
        history.insert(0, eps(row.at))
        if i >= begun + skipped:
            tail += sum(b * m for b, m in zip(row.B, history, strict=False))
    assert tail == pytest.approx(exact, rel=1e-9)
