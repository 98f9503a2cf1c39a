"""Conditions of a U-Net: signals aligned with its state, and sequences that its attention reads."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import DiTConfig, EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.embed import TokenEmbedding
from polydiff.backbones.unet import UNet
from polydiff.backbones.unet_layers import Plane, Signals
from polydiff.contract.backbone import build_backbone
from polydiff.core.conditions import Aligned, Classes, Conditions, Tokens
from polydiff.core.space import Euclidean, normal
from polydiff.core.streams import streams
from polydiff.support.errors import UserError
from polydiff.testing.backbone import check_backbone

Awake = Callable[[nn.Module], nn.Module]
NAN = math.nan
SOUND = UNetConfig(channels=16, mult=(1, 2), strides=(2,), blocks=1, attention=(1,), heads=2, patch=4)
PICTURE = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2, patch=2)
RICH: Conditions = {"label": Classes(3), "text": Tokens(5), "known": Aligned(2), "mel": Aligned(6, every=8)}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return standard normal numbers."""
    return normal(streams(seed, "normal", range(shape[0])), shape[1:], "cpu")


def sound_conditions(n: int, length: int) -> dict[str, Tensor]:
    """Return all conditions of `RICH`, with parts that are not given."""
    known, text = drawn(n, 2, length, seed=1), drawn(n, 4, 5, seed=2)
    known[1:, :, 3:11] = NAN
    text[0, 2:] = NAN
    return {
        "label": torch.arange(n) % 4 - 1,
        "text": text,
        "known": known,
        "mel": drawn(n, 6, -(-length // 8), seed=3),
    }


@pytest.mark.parametrize("length", [64, 61, 7])
def test_a_network_with_all_kinds_of_conditions_conforms(length: int) -> None:
    network = UNet(SOUND, channels=2, dims=1, conditions=RICH)
    check_backbone(network, Euclidean(3, (2, length)), drawn(3, 2, length), sound_conditions(3, length))


@pytest.mark.parametrize("every", [1, 2, 4])
def test_a_network_of_images_conforms(every: int) -> None:
    conditions: Conditions = {"low": Aligned(3, every), "text": Tokens(4)}
    network = UNet(PICTURE, channels=3, dims=2, conditions=conditions)
    low = drawn(2, 3, -(-10 // every), -(-7 // every), seed=1)
    low[0, :, :2] = NAN
    cond = {"low": low, "text": drawn(2, 3, 4, seed=2)}
    check_backbone(network, Euclidean(2, (3, 10, 7)), drawn(2, 3, 10, 7), cond)


@pytest.mark.parametrize("every", [1, 2, 4, 8, 12])
def test_a_signal_lies_where_its_places_do(every: int) -> None:
    """Place j of a signal stands for places j every .. (j + 1) every - 1 of the state, so for these patches' planes."""
    length, patch = 24, 4
    signals = Signals({"s": Aligned(1, every)}, Plane(1), patch)
    values = torch.arange(1.0, length // every + 1)
    (planes,) = signals({"s": values[None, None]}, torch.zeros(1, 1, 1, length // patch))
    expected = values.repeat_interleave(every)  # a value for each place of the state
    inside = max(patch // every, 1)
    seen = planes[0, :inside, 0].T.flatten().repeat_interleave(patch // inside)
    assert torch.equal(seen, expected)
    assert planes.shape[1] == signals.channels == 2 * inside
    assert (planes[0, inside:] == 1).all()


def test_numbers_not_given_are_zero_and_marked() -> None:
    signals = Signals({"known": Aligned(2)}, Plane(1), 1)
    value = torch.tensor([[[1.0, NAN, 3.0, 0.0], [4.0, 5.0, 6.0, 0.0]]])
    (planes,) = signals({"known": value}, torch.zeros(1, 1, 1, 5))
    assert planes[0, :, 0].tolist() == [[1, 0, 3, 0, 0], [4, 0, 6, 0, 0], [1, 0, 1, 1, 0]]
    (none,) = signals(None, torch.zeros(1, 1, 1, 5))
    assert not none.any()


def test_a_signal_that_fits_no_patch_raises() -> None:
    with pytest.raises(UserError, match=r"mel has a place for every 6 .* backbone\.patch=4"):
        UNet(SOUND, channels=1, dims=1, conditions={"mel": Aligned(8, every=6)})


def test_order_and_absent_tokens_do_not_matter(awake: Awake) -> None:
    """Attention sees a set: a permutation, and tokens that are not there wherever they stand, change nothing."""
    network = awake(UNet(SOUND, channels=1, dims=1, conditions={"text": Tokens(5)})).eval()
    x, level, space = drawn(2, 1, 32), torch.zeros(2), Euclidean(2, (1, 32))
    text = drawn(2, 3, 5, seed=1)
    absent = torch.full((2, 1, 5), NAN)
    plain = network(x, level, space, {"text": text})
    for same in (text.flip(1), torch.cat([absent, text, absent], 1)):
        torch.testing.assert_close(network(x, level, space, {"text": same}), plain, rtol=1e-5, atol=1e-6)
    assert (network(x, level, space, {"text": text[:, :2]}) - plain).abs().max() > 1e-4


def test_a_token_is_there_unless_a_number_of_it_is_nan() -> None:
    torch.manual_seed(0)
    embed = TokenEmbedding({"a": Tokens(2), "b": Tokens(3)}, 4)
    a = torch.tensor([[[1.0, 2.0], [NAN, 2.0]]])
    tokens, given, means = embed({"a": a}, 1)
    assert means == 0
    assert given.tolist() == [[True, True, False]]
    assert tokens.isfinite().all()
    assert embed(None, 2)[0].shape == (2, 1, 4)


def test_a_sequence_without_attention_raises() -> None:
    with pytest.raises(UserError, match=r"backbone\.attention"):
        UNet(SOUND.model_copy(update={"attention": ()}), channels=1, dims=1, conditions={"text": Tokens(3)})


@pytest.mark.parametrize(("config", "dims"), [(MLPConfig(), 0), (EGNNConfig(), 3)], ids=["mlp", "egnn"])
def test_networks_without_signals_name_one_that_has_them(config: MLPConfig | EGNNConfig, dims: int) -> None:
    with pytest.raises(UserError, match=r"takes no condition like mel.*backbone\.name=unet"):
        build_backbone(config, channels=2, dims=dims, conditions={"mel": Aligned(1)})


@pytest.mark.parametrize(("config", "dims"), [(MLPConfig(), 0), (EGNNConfig(), 3)], ids=["mlp", "egnn"])
def test_networks_without_attention_to_tokens_read_the_mean_of_a_sequence(
    config: MLPConfig | EGNNConfig, dims: int
) -> None:
    embed = build_backbone(config, channels=2, dims=dims, conditions={"text": Tokens(3)}).embed
    a, b = torch.randn(1, 1, 3), torch.randn(1, 1, 3)
    vectors = [embed(torch.zeros(1), {"text": value}).vector for value in (a, torch.cat([a, b, a, b], 1))]
    assert float((vectors[0] - vectors[1]).detach().abs().max()) > 1e-3


def test_the_whole_network_is_one_graph_and_recomputes(awake: Awake) -> None:
    length, n = 64, 2
    config = SOUND.model_copy(update={"recompute": True})
    network = awake(UNet(SOUND, channels=2, dims=1, conditions=RICH))
    twin = UNet(config, channels=2, dims=1, conditions=RICH)
    twin.load_state_dict(network.state_dict())
    arguments = drawn(n, 2, length), torch.zeros(n), Euclidean(n, (2, length)), sound_conditions(n, length)
    plain, again = network(*arguments), twin(*arguments)
    torch.testing.assert_close(again, plain)
    for out in (plain, again):
        out.square().sum().backward()
    for p, q in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    network.compile(backend="eager")
    torch.testing.assert_close(network(*arguments), plain, rtol=1e-5, atol=1e-5)


def test_coordinates_are_planes_from_minus_one_to_one_along_each_axis() -> None:
    signals = Signals({}, Plane(2), 2, coordinates=True)
    (planes,) = signals(None, torch.zeros(3, 12, 2, 3))
    assert signals.channels == 2
    assert planes.shape == (3, 2, 2, 3)
    assert planes[1].tolist() == [[[-1, -1, -1], [1, 1, 1]], [[-1, 0, 1], [-1, 0, 1]]]
    (line,) = Signals({}, Plane(1), 4, coordinates=True)(None, torch.zeros(1, 4, 1, 5))
    assert line[0, 0, 0].tolist() == [-1, -0.5, 0, 0.5, 1]


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2, coordinates=True),
        DiTConfig(width=16, depth=1, heads=2, coordinates=True),
    ],
    ids=["unet", "dit"],
)
def test_a_network_with_coordinates_keeps_its_promises_and_knows_places(
    config: UNetConfig | DiTConfig, dims: int
) -> None:
    torch.manual_seed(0)
    shape = (1, *[32] * dims)
    network = build_backbone(config, channels=1, dims=dims, conditions={})
    check_backbone(network, Euclidean(2, shape), torch.randn(2, *shape), None)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    flat = network(torch.zeros(1, *shape), torch.zeros(1), Euclidean(1, shape)).detach()
    middle = flat[..., 8:24] if dims == 1 else flat[..., 8:24, 8:24]
    assert float(middle.std()) > 0.01  # without coordinates, places far from the edges are alike
