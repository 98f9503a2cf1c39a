"""Tests of `polydiff.backbones.dit_blocks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.attention import angles, attend, turned
from polydiff.backbones.config import DiTConfig
from polydiff.backbones.dit_blocks import Block, Places, SelfAttention, SwiGLU, modulated, rms_norm
from polydiff.core.streams import stream

Awake = Callable[..., Any]
CONFIG = DiTConfig(width=16, depth=1, heads=2)
SIZES = (3, 4)
CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "state"), dtype=torch.float64)


def places(read: Tensor | None = None) -> Places:
    return Places(angles(SIZES, 8, CPU).double(), read)


def test_attention_is_the_formula(awake: Awake) -> None:
    """Softmax of the products of normalised, turned queries and keys, written out for each head and each pair."""
    attention = awake(SelfAttention(CONFIG).double())
    h = drawn(2, 12, 16)
    read = torch.rand(2, 1, 1, 12, generator=stream(1, "read")) > 0.4
    out = attention(h, places(read))
    q, k, v = (h @ w.T + b for w, b in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True))
    angle = places().angle
    mixed = torch.zeros(2, 12, 16, dtype=torch.float64)
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        complex_q, complex_k = (
            torch.complex(*(x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain).chunk(2, -1))
            * torch.polar(torch.ones_like(angle), angle)
            for x, gain in ((q[..., part], attention.query_gain), (k[..., part], attention.key_gain))
        )
        scores = (complex_q @ complex_k.mH).real / 8**0.5
        weights = torch.where(read[:, 0], scores.exp(), 0)
        mixed[..., part] = weights / weights.sum(-1, keepdim=True) @ v[..., part]
    expected = mixed @ attention.out.weight.T + attention.out.bias
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


def test_attention_depends_on_differences_of_places_only(awake: Awake) -> None:
    """All places moved by one step, or by a fraction of one along each axis: the same result."""
    attention = awake(SelfAttention(CONFIG).double())
    h, angle = drawn(2, 12, 16), angles((5, 6), 8, CPU).double().reshape(5, 6, 4)
    here, there = (angle[i : i + 3, j : j + 4].reshape(12, 4) for i, j in ((0, 0), (2, 1)))
    plain = attention(h, Places(here))
    torch.testing.assert_close(attention(h, Places(there)), plain, rtol=1e-6, atol=1e-7)
    shift = torch.tensor([0.3, 0.1, -2.0, 0.7], dtype=torch.float64)
    torch.testing.assert_close(attention(h, Places(here + shift)), plain, rtol=1e-6, atol=1e-7)
    assert (attention(h, Places(2 * here)) - plain).abs().max() > 1e-3


def test_tokens_may_stand_in_any_order_with_their_places(awake: Awake) -> None:
    block = awake(Block(CONFIG).double())
    h, vector, order = drawn(2, 12, 16), drawn(2, 16, seed=1), torch.randperm(12, generator=stream(0, "order"))
    plain = block(h, vector, places())
    moved = block(h[:, order], vector, Places(places().angle[order]))
    torch.testing.assert_close(moved, plain[:, order], rtol=1e-8, atol=1e-8)
    assert (block(h[:, order], vector, places()) - plain[:, order]).abs().max() > 1e-3


def test_tokens_that_are_not_read_have_no_effect(awake: Awake) -> None:
    block = awake(Block(CONFIG).double())
    h, vector = drawn(2, 12, 16), drawn(2, 16, seed=1)
    read = torch.ones(2, 1, 1, 12, dtype=torch.bool)
    read[0, ..., :3] = False
    changed = h.clone()
    changed[0, :3] = 100.0
    out, other = block(h, vector, places(read)), block(changed, vector, places(read))
    torch.testing.assert_close(other[0, 3:], out[0, 3:])
    torch.testing.assert_close(other[1], out[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_places_that_are_not_read_are_left_out_in_every_precision(dtype: torch.dtype) -> None:
    q, k, v = (drawn(2, 2, 9, 8, seed=i).to(dtype) for i in range(3))
    read = torch.zeros(2, 1, 1, 9, dtype=torch.bool)
    read[0, ..., 2:7], read[1, ..., 0] = True, True
    out = attend(q, k, v, read)
    assert out.dtype == dtype
    torch.testing.assert_close(out[1], v[1, :, :1].expand(2, 9, 8))
    exact = attend(q[:1].double(), k[:1, :, 2:7].double(), v[:1, :, 2:7].double())
    torch.testing.assert_close(out[:1].double(), exact, rtol=2e-2, atol=2e-2)


def test_a_block_starts_as_the_identity() -> None:
    h = drawn(2, 12, 16)
    assert torch.equal(Block(CONFIG).double()(h, drawn(2, 16, seed=1), places()), h)


def test_modulation_gives_tokens_their_size_and_offset() -> None:
    h, scale, shift = drawn(2, 12, 16), drawn(2, 16, seed=1), drawn(2, 16, seed=2)
    expected = (1 + scale[:, None]) * h / (h.square().mean(-1, keepdim=True) + 1e-6).sqrt() + shift[:, None]
    torch.testing.assert_close(modulated(h, scale, shift), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(rms_norm(1e4 * h.bfloat16()), rms_norm(h).bfloat16(), rtol=1e-2, atol=1e-2)


def test_the_feed_forward_layer_is_the_formula(awake: Awake) -> None:
    layer = awake(SwiGLU(CONFIG).double())
    h = drawn(2, 12, 16)
    gate, value = layer.first.weight.chunk(2), layer.first.bias.chunk(2)
    a, b = (h @ w.T + c for w, c in zip(gate, value, strict=True))
    expected = (a * torch.sigmoid(a) * b) @ layer.second.weight.T + layer.second.bias
    torch.testing.assert_close(layer(h), expected, rtol=1e-8, atol=1e-10)


def test_turned_vectors_keep_their_length() -> None:
    q = drawn(2, 12, 8)
    torch.testing.assert_close(turned(q, places().angle).norm(dim=-1), q.norm(dim=-1))


def test_dropout_acts_in_training_only() -> None:
    layer: nn.Module = SwiGLU(CONFIG.model_copy(update={"dropout": 0.5})).double()
    h = drawn(2, 12, 16)
    assert not torch.equal(layer(h), layer(h))
    layer.eval()
    assert torch.equal(layer(h), layer(h))
