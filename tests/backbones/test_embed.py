"""What a network is told: all ways of not giving a condition are one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from polydiff.backbones.embed import ConditionEmbedding, ContextEmbedding, sinusoids
from polydiff.errors import UserError

CONDITIONS = {"type": 3, "logp": 0}
NAN = math.nan


def embedding() -> ContextEmbedding:
    torch.manual_seed(0)
    return ContextEmbedding(CONDITIONS, 16)


@pytest.mark.parametrize(
    "cond",
    [
        {},
        {"type": torch.tensor([-1, -1])},
        {"logp": torch.tensor([NAN, NAN])},
        {"type": torch.tensor([-1, -1]), "logp": torch.tensor([NAN, NAN])},
    ],
    ids=["empty", "-1", "NaN", "both"],
)
def test_not_given_is_one_vector(cond: dict[str, Tensor]) -> None:
    embed = embedding()
    log_sigma = torch.tensor([0.3, -2.0])
    assert torch.equal(embed(log_sigma, cond).vector, embed(log_sigma, None).vector)
    known = {"type": torch.tensor([0, 2]), "logp": torch.tensor([0.0, 1.5])}
    for name, value in known.items():
        change = (embed(log_sigma, {**cond, name: value}).vector - embed(log_sigma, None).vector).abs().amax(1)
        assert (change > 1e-3).all()


def test_values_are_told_apart_sample_by_sample() -> None:
    embed = embedding()
    cond = {"type": torch.tensor([0, 1, 2, -1, 1]), "logp": torch.tensor([0.5, 0.5, 0.5, 0.5, NAN])}
    c = embed(torch.zeros(5), cond).vector
    gaps = torch.cdist(c, c) + 10 * torch.eye(5)
    assert gaps.min() > 1e-3
    alone = embed(torch.zeros(1), {name: value[2:3] for name, value in cond.items()}).vector
    torch.testing.assert_close(alone, c[2:3])


def test_nan_leaves_gradients_finite() -> None:
    embed = embedding()
    embed(torch.zeros(2), {"logp": torch.tensor([NAN, 1.0])}).vector.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in embed.parameters())


def test_unknown_conditions_are_refused() -> None:
    with pytest.raises(UserError, match="Did you mean 'logp'"):
        ConditionEmbedding(CONDITIONS, 8)({"log_p": torch.zeros(2)}, torch.zeros(2, 8))


def test_order_of_names_does_not_matter() -> None:
    torch.manual_seed(0)
    other = ContextEmbedding(dict(reversed(CONDITIONS.items())), 16)
    other.load_state_dict(embedding().state_dict())
    cond = {"logp": torch.tensor([0.5]), "type": torch.tensor([1])}
    assert torch.equal(other(torch.zeros(1), cond).vector, embedding()(torch.zeros(1), cond).vector)


def test_float32_under_autocast() -> None:
    embed, log_sigma = embedding(), torch.tensor([0.3, 0.301])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        c = embed(log_sigma, None).vector
    assert c.dtype == torch.float32
    assert torch.equal(c, embed(log_sigma, None).vector)
    assert not torch.equal(c[0], c[1])


def test_sinusoids() -> None:
    v = torch.tensor([0.0, 0.25, 8.0], dtype=torch.float64)
    features = sinusoids(v, 4, 1.0, 8.0)
    wavelengths = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    expected = torch.stack(
        [torch.sin(2 * math.pi * v[:, None] / wavelengths), torch.cos(2 * math.pi * v[:, None] / wavelengths)], 1
    )
    torch.testing.assert_close(features, expected.flatten(1))
