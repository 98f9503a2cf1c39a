"""Tests of `polydiff.backbones.attention`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from polydiff.backbones.attention import Attention, CrossAttention, angles, turned
from polydiff.backbones.config import UNetConfig
from polydiff.backbones.embed import Context
from polydiff.backbones.unet import UNet
from polydiff.core.space import Euclidean, normal
from polydiff.core.streams import streams
from polydiff.testing.backbone import check_backbone

Awake = Callable[[nn.Module], nn.Module]


SOUND = UNetConfig(channels=16, mult=(1, 2), strides=(2,), blocks=1, attention=(1,), heads=2, patch=4)


PICTURE = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), heads=2, patch=2)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return standard normal numbers."""
    return normal(streams(seed, "normal", range(shape[0])), shape[1:], "cpu")


def test_cross_attention_is_that_of_torch(awake: Awake) -> None:
    """The same as nn.MultiheadAttention with the same weights, over the tokens that are there."""
    torch.manual_seed(0)
    ours: Any = awake(CrossAttention(16, 8, SOUND))
    theirs = nn.MultiheadAttention(16, 2, kdim=8, vdim=8, batch_first=True)
    key, value = ours.key_value.weight.chunk(2)
    key_offset, value_offset = ours.key_value.bias.chunk(2)
    theirs.load_state_dict(
        {
            "q_proj_weight": ours.query.weight,
            "k_proj_weight": key,
            "v_proj_weight": value,
            "in_proj_bias": torch.cat([ours.query.bias, key_offset, value_offset]),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    h, tokens = drawn(2, 16, 1, 9), drawn(2, 4, 8, seed=1)
    given = torch.tensor([[True, True, False, True], [True, False, False, False]])
    queries = ours.norm(h)[:, :, 0].mT
    expected, _ = theirs(queries, tokens, tokens, key_padding_mask=~given)
    mixed = ours(h, Context(torch.zeros(2, 1), tokens, given))
    torch.testing.assert_close(mixed, h + expected.mT[:, :, None], rtol=1e-5, atol=1e-6)


def test_rotary_positions_are_relative() -> None:
    """Products of turned vectors depend on how far their places are apart, along each axis, and on nothing else."""
    d, sizes = 8, (5, 7)
    q, k = drawn(d, seed=1), drawn(d, seed=2)
    turn = angles(sizes, d, torch.device("cpu"))
    products = (turned(q.expand(35, d), turn) @ turned(k.expand(35, d), turn).mT).reshape(*sizes, *sizes)
    torch.testing.assert_close(products[1:, 1:, 1:, 1:], products[:-1, :-1, :-1, :-1], rtol=1e-4, atol=1e-5)
    assert products[0, 0, 0, 0] == pytest.approx(float(q @ k), rel=1e-5)
    far = products[0, 0].flatten()
    assert len(far.round(decimals=4).unique()) == far.numel()
    flat = angles((7,), d, torch.device("cpu"))
    assert flat[1].tolist() == pytest.approx([100 ** -(i / 4) for i in range(4)])


@pytest.mark.parametrize(("config", "shape"), [(SOUND, (1, 37)), (PICTURE, (3, 6, 7))], ids=["1-D", "2-D"])
def test_with_rotary_positions_a_network_keeps_its_promises(config: UNetConfig, shape: tuple[int, ...]) -> None:
    config = config.model_copy(update={"positions": "rotary"})
    plain = UNet(config, channels=shape[0], dims=len(shape) - 1, conditions={})
    check_backbone(plain, Euclidean(2, shape), drawn(2, *shape))


def test_rotary_positions_distinguish_a_pattern_from_the_same_pattern_shuffled(awake: Awake) -> None:
    """Attention alone sees a set; with positions, places in another order are something else."""
    blind, seeing = (
        awake(Attention(16, SOUND.model_copy(update={"positions": positions}))) for positions in ("none", "rotary")
    )
    h, order = drawn(1, 16, 1, 9), torch.tensor([3, 1, 4, 0, 8, 5, 7, 2, 6])
    torch.testing.assert_close(blind(h)[..., order], blind(h[..., order]))
    assert (seeing(h)[..., order] - seeing(h[..., order])).abs().max() > 1e-3


def test_heads_too_narrow_for_positions_raise_an_error() -> None:
    with pytest.raises(ValidationError, match=r"positions=rotary"):
        UNetConfig(channels=12, mult=(1, 2), attention=(0,), heads=2, positions="rotary")
