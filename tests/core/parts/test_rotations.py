"""Rotations: exponential, logarithm and conversion against matrices and closed forms, at all angles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.parts.rotations import angular, conjugate, matrices, product, quaternions, turn
from polydiff.core.space import normal
from polydiff.core.streams import streams
from polydiff.support.errors import UserError

ANGLES = [0.0, 1e-12, 1e-8, 1e-4, 0.1, 1.0, 3.0, math.pi - 1e-3, math.pi - 1e-6, math.pi - 1e-10, math.pi]


def directions(n: int) -> Tensor:
    """Random unit vectors and the three axes, (n + 3, 3), float64."""
    drawn = normal(streams(0, "direction", range(n)), (3,), dtype=torch.float64)
    return torch.cat([torch.nn.functional.normalize(drawn, dim=-1), torch.eye(3, dtype=torch.float64)])


def hat(v: Tensor) -> Tensor:
    """The skew matrices of the cross products with vectors (..., 3)."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


@pytest.mark.parametrize("angle", ANGLES)
def test_the_exponential_is_that_of_matrices(angle: float) -> None:
    v = angle * directions(20)
    assert_close(matrices(turn(v)), torch.linalg.matrix_exp(hat(v)), atol=1e-14, rtol=0)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_logarithm_of_a_matrix_has_all_digits_at_every_angle(angle: float) -> None:
    """Relative to the angle, also where the matrix is almost symmetric and its skew part holds few digits."""
    axes = directions(20)
    found = angular(quaternions(matrices(turn(angle * axes))))
    if angle >= math.pi - 1e-15:  # both axes are right
        found = found * (found * axes).sum(-1, keepdim=True).sign()
    # the matrix itself holds an angle near 0 to the precision of 1
    assert_close(found, angle * axes, atol=2e-15, rtol=2e-15)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_logarithm_of_a_quaternion_has_all_digits(angle: float) -> None:
    axes = directions(20)
    found = angular(turn(angle * axes))
    if angle >= math.pi - 1e-15:
        found = found * (found * axes).sum(-1, keepdim=True).sign()
    assert_close(found, angle * axes, atol=1e-300, rtol=1e-15)
    assert_close(
        angular(-3 * turn(angle * axes)).norm(dim=-1), torch.full((23,), angle, dtype=torch.float64), atol=0, rtol=1e-15
    )


def test_products_are_those_of_matrices() -> None:
    p, q = (torch.nn.functional.normalize(normal(streams(0, n, range(9)), (4,), dtype=torch.float64)) for n in "pq")
    assert_close(matrices(product(p, q)), matrices(p) @ matrices(q))
    assert_close(matrices(conjugate(p)), matrices(p).mT)
    assert_close(quaternions(matrices(p)), p * p[:, :1].sign())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.0, 1e-30, 1e-12, 1e-6, math.pi - 1e-6, math.pi])
def test_gradients_are_finite_and_right_at_the_identity_and_at_pi(angle: float, dtype: torch.dtype) -> None:
    """log(exp v) = v, so its gradient is the identity; beyond pi, v turns into v - 2 pi n, whose length falls."""
    axis = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=dtype), dim=0)
    jacobian = torch.autograd.functional.jacobian(lambda v: angular(turn(v)), angle * axis)
    along = axis @ jacobian @ axis
    assert bool(jacobian.isfinite().all())
    assert_close(along, torch.ones((), dtype=dtype), atol=1e-5, rtol=0)
    if angle < 1:
        assert_close(jacobian, torch.eye(3, dtype=dtype), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [torch.diag(torch.tensor([1.0, 1.0, -1.0])), 2 * torch.eye(3), torch.full((3, 3), math.nan), torch.zeros(3, 3)],
)
def test_what_is_no_rotation_is_an_error(wrong: Tensor) -> None:
    with pytest.raises(UserError, match=r"Matrix \(1,\) is no rotation"):
        quaternions(torch.stack([torch.eye(3), wrong]))
    with pytest.raises(UserError, match=r"real matrices \(\.\.\., 3, 3\)"):
        quaternions(torch.eye(4))
