"""The normalisation kernel against PyTorch's operators in float64, and what happens where it cannot be built."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from polydiff.backbones.kernels import native, norm
from polydiff.backbones.kernels.norm import GroupNorm, fits, normalised, plain
from polydiff.core.streams import stream

needs_kernel = pytest.mark.skipif(
    native.library("norm") is None, reason="there is no C++ compiler, or it is not wanted"
)


def planes(*shape: int, mean: float = 0.5, dtype: torch.dtype = torch.float32) -> Tensor:
    x = mean + 2 * torch.randn(shape, generator=stream(0, "planes"))
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def errors(h: Tensor, groups: int, silu: bool) -> list[float]:
    """Relative errors of y and of the gradients by h, gain and offset, against float64."""
    batch, channels = h.shape[:2]
    g = stream(1, "weights")
    inputs = [h, torch.randn(batch, channels, generator=g), torch.randn(batch, channels, generator=g)]
    dy = torch.randn(h.shape, generator=g).to(h.dtype).contiguous(memory_format=torch.channels_last)

    def results(dtype: torch.dtype | None, way) -> list[Tensor]:
        leaves = [x.detach().to(dtype or x.dtype).requires_grad_() for x in inputs]
        y = way(leaves[0], groups, leaves[1], leaves[2], silu)
        return [y, *torch.autograd.grad(y, leaves, dy.to(y.dtype))]

    pairs = zip(results(None, normalised), results(torch.float64, plain), strict=True)
    return [((ours.double() - truth).norm() / truth.norm().clamp(min=1e-9)).item() for ours, truth in pairs]


@needs_kernel
@given(
    st.integers(1, 5), st.sampled_from([16, 48, 64]), st.integers(1, 70), st.integers(1, 5), st.booleans(),
    st.sampled_from([1, 2, 4, 16]),
)  # fmt: skip
def test_kernel_is_the_formula_in_float32(
    batch: int, channels: int, width: int, height: int, silu: bool, groups: int
) -> None:
    h = planes(batch, channels, height, width)
    assert fits(h)
    assert max(errors(h, groups, silu)) < 3e-6 * (10 if height * width * channels // groups < 8 else 1)


@needs_kernel
@pytest.mark.parametrize("shape", [(3, 32, 9, 13), (1, 64, 1, 301)])
def test_kernel_in_bf16_rounds_its_output_alone(shape: tuple[int, ...]) -> None:
    y, dh, dgain, doffset = errors(planes(*shape, dtype=torch.bfloat16), 4, True)
    assert max(y, dh) < 2**-8
    assert max(dgain, doffset) < 3e-6


@needs_kernel
def test_kernel_loses_no_digits_to_a_large_mean() -> None:
    assert errors(planes(2, 32, 16, 16, mean=1e4), 4, True)[0] < 1e-3  # float32 knows 1e4 + x to 1e-3 / 2


@needs_kernel
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_kernel_does_not_depend_on_threads_but_by_rounding(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert max(errors(planes(2, 32, 15, 15), 4, True)) < 3e-6
    finally:
        torch.set_num_threads(before)


@needs_kernel
def test_not_finite_and_huge_numbers() -> None:
    h = planes(2, 16, 4, 4)
    h[0, 3, 1, 2] = torch.nan
    y = normalised(h, 1, torch.ones(2, 16), torch.zeros(2, 16))
    assert y[0].isnan().all()
    assert y[1].isfinite().all()
    far, gain, offset = planes(1, 16, 4, 4), torch.full((1, 16), 1e4), torch.zeros(1, 16)
    assert torch.allclose(normalised(far, 1, gain, offset), plain(far, 1, gain, offset), rtol=1e-5, atol=1e-2)


@needs_kernel
@pytest.mark.parametrize(
    ("h", "groups"),
    [
        (planes(2, 16, 0, 3), 1),
        (planes(0, 16, 2, 3), 1),
        (planes(2, 48, 2, 3), 5),
        (planes(2, 48, 2, 3), 0),
        (planes(1, 16, 2, 3).expand(3, 16, 2, 3), 2),
        (planes(2, 16, 2, 3, dtype=torch.float64), 2),
        (planes(2, 16, 2, 3, dtype=torch.float16), 2),
        (torch.randn(2, 16, 2, 3), 2),
    ],
    ids=["no places", "no samples", "5 groups of 48", "0 groups", "expanded", "float64", "float16", "channels first"],
)
def test_what_the_kernel_cannot_take_is_left_to_operators(h: Tensor, groups: int) -> None:
    """Each of these would read beyond its memory, divide by 0 or mistake one kind of number for another."""
    assert fits(planes(2, 16, 2, 3))
    assert not fits(h, groups)


@needs_kernel
def test_gains_that_broadcast() -> None:
    h, gain = planes(3, 16, 2, 3), torch.randn(16, generator=stream(1, "weights"))
    whole = normalised(h, 2, gain.repeat(3, 1), torch.ones(3, 16))
    assert torch.equal(normalised(h, 2, gain, torch.ones(1)), whole)


@pytest.mark.parametrize("groups", [0, 5])
def test_groups_must_divide_the_channels(groups: int) -> None:
    with pytest.raises(ValueError, match=f"{groups} groups do not divide 48 channels"):
        GroupNorm(groups, 48)


@needs_kernel
def test_second_derivatives_are_those_of_the_formula() -> None:
    def penalty(dtype: torch.dtype, way) -> list[Tensor]:
        g = stream(2, "weights")
        inputs = [x.to(dtype).requires_grad_() for x in (planes(2, 32, 3, 5), *torch.randn(2, 2, 32, generator=g))]
        first = torch.autograd.grad(way(inputs[0], 4, *inputs[1:]).square().sum(), inputs[:2], create_graph=True)
        return list(torch.autograd.grad(sum(d.square().sum() for d in first), inputs))

    for ours, truth in zip(penalty(torch.float32, normalised), penalty(torch.float64, plain), strict=True):
        torch.testing.assert_close(ours, truth.float(), rtol=1e-4, atol=1e-4 * truth.abs().max().item())


@needs_kernel
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_transforms_and_traces_take_operators() -> None:
    """A transform by torch.func, a trace and a fake tensor all need operators that torch knows."""
    h, layer = planes(2, 16, 2, 3), GroupNorm(2, 16).requires_grad_(False)

    def loss(x: Tensor) -> Tensor:
        return layer(x).square().sum()

    x = h.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(loss)(h), torch.autograd.grad(loss(x), x)[0])
    other = planes(5, 16, 2, 3)
    torch.testing.assert_close(torch.jit.trace(layer, (h,))(other), layer(other))
    with FakeTensorMode():
        assert GroupNorm(2, 16)(torch.empty(h.shape, memory_format=torch.channels_last)).shape == h.shape


def test_without_the_kernel_nothing_changes_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, h = GroupNorm(4, 32), planes(2, 32, 5, 7)
    scale, shift = torch.randn(2, 2, 32).unbind()
    fast = layer(h, scale, shift)
    monkeypatch.setattr(norm, "library", lambda name: None)
    assert not fits(h)
    assert torch.allclose(layer(h, scale, shift), fast, atol=1e-5)


def test_modulation_is_applied_after_the_layers_own_gain() -> None:
    layer, h = GroupNorm(2, 16, silu=False), planes(2, 16, 3, 3)
    with torch.no_grad():
        layer.weight.mul_(3)
        layer.bias.add_(2)
    scale, shift = torch.randn(2, 2, 16, generator=stream(0, "modulation")).unbind()
    unit = torch.nn.functional.group_norm(h, 2)
    expected = (1 + scale)[..., None, None] * (3 * unit + 2) + shift[..., None, None]
    assert torch.allclose(layer(h, scale, shift), expected, atol=1e-5)
