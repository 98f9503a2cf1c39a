"""Where kinds of conditions enter networks, and a kind that somebody adds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from polydiff.backbones.config import EGNNConfig, UNetConfig
from polydiff.backbones.embed import ENTRANCES, Entrance, entering, filled
from polydiff.backbones.unet import UNet
from polydiff.condition_batch import join_conditions
from polydiff.conditions import Aligned, Classes, Kind, Number, Tokens
from polydiff.errors import UserError
from polydiff.plugins import build_backbone
from polydiff.space import Euclidean
from polydiff.testing import check_backbone

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

    def __init__(self, kind: Letters, width: int) -> None:
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


def test_a_kind_without_entrance_is_refused() -> None:
    with pytest.raises(TypeError, match=r"The condition text: .*ENTRANCES has no entry for Letters\(\)"):
        UNet(CONFIG, channels=1, dims=1, conditions={"text": Letters()})


def test_each_condition_enters_once() -> None:
    kinds = {"text": Tokens(5), "mel": Aligned(6), "label": Classes(3), "height": Number()}
    vector, tokens, planes = (entering(kinds, port) for port in ("vector", "tokens", "planes"))
    assert [*vector, *tokens, *planes] == ["height", "label", "text", "mel"]
    assert vector | tokens | planes == kinds


def test_a_network_says_which_kind_it_does_not_take() -> None:
    with pytest.raises(UserError, match=r"egnn takes no condition like mel \(signal of 6 channels"):
        build_backbone(EGNNConfig(), channels=2, dims=3, conditions={"label": 3, "mel": Aligned(6)})


def test_what_is_not_given_is_filled_alone_or_with_all_along_an_axis() -> None:
    value = torch.tensor([[1.0, torch.nan], [3.0, 4.0]])
    numbers, there = filled(value)
    assert numbers.tolist() == [[1, 0], [3, 4]]
    assert there.tolist() == [[True, False], [True, True]]
    numbers, there = filled(value, -1)
    assert numbers.tolist() == [[0, 0], [3, 4]]
    assert there.tolist() == [[False], [True]]
