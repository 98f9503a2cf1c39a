"""Tests of views of masked letters against closed forms: a network that knows the law of each place alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from untrained import untrained

from polydiff.core.space import Batch
from polydiff.looking.attended import attention
from polydiff.looking.page import look
from polydiff.looking.subject import LEVELS, Subject
from polydiff.looking.views.one_step import one_step
from polydiff.looking.views.uncertainty import spread
from polydiff.model.model import Model

SMALL: dict[str, Any] = {
    "data.largest": 9, "backbone.width": 16, "backbone.depth": 2, "backbone.heads": 2, "device": "cpu",
    "sample.steps": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(untrained(tmp_path_factory.mktemp("sums") / "run", "sequence", **SMALL))


class Places(nn.Module):
    """Logits that are the logarithm of each letter's frequency at its place, whatever the other places hold."""

    def __init__(self, x: Tensor, letters: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(functional.one_hot(x, letters).float().mean(0).clamp(min=1e-9).log())

    def forward(self, x: Tensor, level: Tensor, space: Any, cond: Any) -> Tensor:
        return self.logits.expand(len(x), -1, -1)


@pytest.fixture
def places(sums: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    n = sums.domain.size("train")
    known = sums.domain.batch("train", range(n), [torch.Generator()] * n).x
    network = Places(known, sums.domain.alphabet.size)  # type: ignore[attr-defined]
    monkeypatch.setitem(sums.denoiser._modules, "backbone", network)
    return sums


def repeated(subject: Subject, times: int) -> Batch:
    batch = subject.held_out(16)
    return batch._replace(x=batch.x.repeat(times, 1), space=batch.space.repeat(times))  # type: ignore[attr-defined]


def test_the_error_is_the_share_of_letters_that_are_lost(places: Model) -> None:
    """A lost letter is guessed to be the commonest of its place, so the error is the level times that of this guess."""
    subject = Subject(places)
    found = one_step(subject, repeated(subject, 50))
    assert found.levels == [(LEVELS - i) / LEVELS for i in range(LEVELS)]
    assert found.first.relative.tolist() == pytest.approx(found.levels, abs=0.03)
    assert float(found.first.relative[0]) == 1.0
    assert found.first.half == pytest.approx(0.5, abs=0.05)


def test_the_spread_is_that_of_letters_that_are_lost_or_not(places: Model) -> None:
    """Two draws differ where one letter is lost and the other not, 2 l (1 - l), and the letter is not the commonest."""
    subject = Subject(places)
    found = spread(subject, repeated(subject, 10), draws=40)
    exact = [math.sqrt(2 * level * (1 - level)) for level in found.levels]
    assert found.relative.tolist() == pytest.approx(exact, abs=0.03)


def test_letters_attend_to_letters_and_texts_are_drawn_on_their_weights(sums: Model, tmp_path: Path) -> None:
    subject = Subject(sums)
    batch = subject.examples()
    found = attention(subject, batch)
    assert len(found.to_places) == 2
    for weights in found.to_places.values():
        assert weights.shape == (LEVELS, 4, batch.x.shape[1])
        torch.testing.assert_close(weights.sum(-1), torch.ones(LEVELS, 4), rtol=0, atol=1e-4)
    seen = look(sums, only=["attention", "one_step", "uncertainty"])
    assert [view.name for view in seen.views] == ["one_step", "attention", "uncertainty"]
    assert "share of letters that are lost" in seen.views[0].note
    assert seen.save(tmp_path / "look.html").stat().st_size < 1_000_000
