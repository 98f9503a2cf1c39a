r"""Coefficients of embedded Runge-Kutta methods, for `polydiff.gaussian.ode`.

Symbols: p the method's order, a b c its coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

from polydiff.core.registry import Registry


@dataclass(frozen=True)
class Tableau:
    """An explicit method whose last stage is the slope at the end of the step, which is the first of the next step.

    Arguments:
        order: p.
        a: Coefficients of each stage after the first; the last row holds b.
        low: The weights of order p - 1, for the error.
    """

    order: int
    a: tuple[tuple[float, ...], ...]
    low: tuple[float, ...]

    @property
    def b(self) -> tuple[float, ...]:
        """The weights of order p."""
        return (*self.a[-1], 0.0)

    @property
    def c(self) -> tuple[float, ...]:
        """The time of each stage, as a share of the step."""
        return (0.0, *(sum(row) for row in self.a))


METHODS: Registry[Tableau] = Registry("integrator")
"""Name -> coefficients of the method."""
METHODS.register("dopri5")(
    Tableau(
        5,
        (
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
        ),
        (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
    )
)
"""Dormand and Prince, 1980, https://doi.org/10.1016/0771-050X(80)90013-3."""
METHODS.register("bosh3")(Tableau(3, ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)), (7 / 24, 1 / 4, 1 / 3, 1 / 8)))
"""Bogacki and Shampine, 1989, https://doi.org/10.1016/0893-9659(89)90079-7."""
