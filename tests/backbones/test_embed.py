"""How conditions enter networks: "not given" is one thing, each kind has one entrance, and kinds can be added."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, UNetConfig
from polydiff.backbones.embed import (
    ENTRANCES,
    ConditionEmbedding,
    ContextEmbedding,
    Entrance,
    entering,
)
from polydiff.backbones.unet import UNet
from polydiff.backbones.values import filled
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.network import TextConfig
from polydiff.core.condition_batch import join_conditions
from polydiff.core.conditions import AUGMENT, Aligned, Classes, Kind, Number, Tokens, Vector
from polydiff.core.space import Euclidean
from polydiff.support.errors import UserError
from polydiff.testing.backbone import check_backbone

CONDITIONS = {"type": Classes(3), "logp": Number()}
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


def test_embeddings_distinguish_values_sample_by_sample() -> None:
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


def test_unknown_conditions_raise_an_error() -> None:
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


CONFIG = UNetConfig(channels=16, mult=(1, 2), strides=(2,), blocks=1, attention=(1,), heads=2, patch=4)


@dataclass(frozen=True)
class Letters(Kind):
    """A text as numbers of its letters: (B, N)."""

    dtype = torch.int64

    @property
    def words(self) -> str:
        return "text"

    @property
    def axes(self) -> tuple[int | str, ...]:
        return ("N",)


class LetterField(nn.Embedding):
    """Tokens of letters."""

    def __init__(self, kind: Letters, width: int, text: TextConfig) -> None:
        super().__init__(26, width)

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        numbers, there = filled(value)
        return super().forward(numbers), there


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Two texts of a kind that networks know for this test alone."""
    monkeypatch.setitem(ENTRANCES, Letters, Entrance("tokens", LetterField))
    return {"text": torch.tensor([[7, 4, 11, 11, 14], [7, 8, -1, -1, -1]])}


def test_a_kind_that_is_added_needs_its_class_and_an_entrance(letters: dict[str, Tensor]) -> None:
    network = UNet(CONFIG, channels=1, dims=1, conditions={"text": Letters()})
    x, space = torch.randn(2, 1, 32), Euclidean(2, (1, 32))
    check_backbone(network, space, x, letters)
    joined = join_conditions([letters, {"text": torch.zeros(2, 9, dtype=torch.int64)}])
    assert joined is not None
    assert Letters().mismatch(joined["text"], 4) is None
    check_backbone(network, space, x, {"text": joined["text"][:2]})


def test_a_kind_without_entrance_raises_an_error() -> None:
    with pytest.raises(TypeError, match=r"The condition text: .*ENTRANCES has no entry for Letters\(\)"):
        UNet(CONFIG, channels=1, dims=1, conditions={"text": Letters()})


def test_each_condition_enters_once() -> None:
    kinds = {"text": Tokens(5), "mel": Aligned(6), "label": Classes(3), "height": Number()}
    vector, tokens, planes = (entering(kinds, port) for port in ("vector", "tokens", "planes"))
    assert [*vector, *tokens, *planes] == ["height", "label", "text", "mel"]
    assert vector | tokens | planes == kinds


def test_a_condition_of_a_kind_that_a_network_does_not_take_raises_an_error() -> None:
    with pytest.raises(UserError, match=r"egnn takes no condition like mel \(signal of 6 channels"):
        build_backbone(EGNNConfig(), channels=2, dims=3, conditions={"label": 3, "mel": Aligned(6)})


def test_a_vector_enters_linearly_so_zero_and_not_given_are_one_thing() -> None:
    torch.manual_seed(0)
    embed = ConditionEmbedding({"pose": Vector(3)}, 8)
    like = torch.zeros(2, 8)
    for value in (torch.zeros(2, 3), torch.full((2, 3), NAN)):
        assert torch.equal(embed({"pose": value}, like), like)
    assert torch.equal(embed(None, like), like)
    a, b = torch.randn(2, 2, 3)
    torch.testing.assert_close(
        embed({"pose": a + 2 * b}, like), embed({"pose": a}, like) + 2 * embed({"pose": b}, like)
    )


def test_a_network_of_augmented_data_has_one_internal_condition_more() -> None:
    shape = {"channels": 3, "dims": 2}
    made = [build_backbone(UNetConfig(channels=8), conditions={}, **shape, augment=n) for n in (0, 5)]
    plain, augmented = (network.state_dict() for network in made)
    (name,) = augmented.keys() - plain.keys()
    assert augmented[name].shape[-1] == 5
    with pytest.raises(ValueError, match="reserved"):
        build_backbone(UNetConfig(channels=8), channels=3, dims=2, conditions={AUGMENT: Vector(5)})
