"""Tests of views of masked letters against closed forms: a network that knows the law of each place alone."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_model import exact_model
from torch import Tensor, nn
from torch.nn import functional
from untrained import untrained

from polydiff.core.parts.product import WHOLE
from polydiff.core.space import Batch
from polydiff.looking.attended import attention
from polydiff.looking.page import look
from polydiff.looking.subject import LEVELS, Subject, Unable
from polydiff.looking.views.one_step import one_step, one_step_view
from polydiff.looking.views.order import order_view
from polydiff.looking.views.uncertainty import spread
from polydiff.model.model import Model
from polydiff.testing.analytic import GaussianMixture

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


def test_examples_of_the_commonest_letters_alone_have_no_relative_error(
    places: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing remains to be known of them, even if the network guesses others: there is no number and no curve."""
    subject = Subject(places)
    batch = subject.held_out(2)
    batch = batch._replace(x=subject.unseen(batch)[WHOLE].centre.expand_as(batch.x).clone())
    monkeypatch.setattr(Subject, "examples", lambda self, n: batch)
    for logits in (places.denoiser.backbone.logits, -places.denoiser.backbone.logits):
        monkeypatch.setitem(places.denoiser.backbone._parameters, "logits", nn.Parameter(logits.detach()))
        view = one_step_view(subject)
        assert view.numbers["relative_error"] == [None] * LEVELS
        assert view.numbers["half"] is None
        json.dumps(view.numbers, allow_nan=False)
        assert "nan" not in view.html
        assert view.html.count("nats") == LEVELS
    with pytest.raises(Unable, match="consist of its commonest letters"):
        spread(subject, batch)


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


STEP = re.compile(r"<title>step (\d+) of (\d+)</title>")


def order(model: Model, seed: int = 0, **sampling: Any) -> tuple[Tensor, int]:
    """Return the step of each letter (samples, places) that the view's picture shows, and the number of steps."""
    view = order_view(Subject(model, seed=seed, sampling=sampling))
    found = [(int(step), int(steps)) for step, steps in STEP.findall(view.html)]
    (total,) = {steps for _, steps in found}
    return torch.tensor([step for step, _ in found]).reshape(-1, model.denoiser.backbone.logits.shape[0]), total


def test_the_surest_letters_appear_first_in_the_picture_of_the_order(places: Model) -> None:
    """One letter a call, in the order of the largest probability of each place, in all samples."""
    found, steps = order(places, sampler="confident", options={})
    surest = places.denoiser.backbone.logits.softmax(-1).amax(-1)
    assert steps == len(surest)
    assert len(found) > 1
    for row in found:
        assert surest[row.argsort()].diff().max() < 1e-6  # falling; equally sure places in any order


def test_ancestral_letters_appear_at_the_fall_of_the_level_and_not_by_what_they_are(places: Model) -> None:
    """A masked letter appears in a step with the probability (t - s) / t, so in each of S even steps with 1 / S."""
    steps = 5
    found = torch.cat([order(places, seed, sampler="ancestral", options={}, steps=steps)[0] for seed in range(40)])
    n = found.numel()
    spread = math.sqrt(n / steps * (1 - 1 / steps))
    counts = torch.bincount(found.flatten(), minlength=steps + 1).tolist()
    assert counts[0] == 0
    assert counts[1:] == pytest.approx([n / steps] * steps, abs=4 * spread)
    means = found.double().mean(0)  # of each place: the variance of 1 ... S is (S^2 - 1) / 12
    assert means.tolist() == pytest.approx(
        [(steps + 1) / 2] * len(means), abs=4 * math.sqrt((steps**2 - 1) / 12 / len(found))
    )


def test_of_letters_that_are_masked_again_the_last_time_counts(places: Model) -> None:
    """The chain of one letter: masked with probability t at each level, masked again with sigma = eta (t - s).

    With r the probability that a masked letter appears, (1 - t) sigma + t (1 - r) = s. The last time is step j if it is
    masked before it, appears in it, and is not masked afterwards.
    """
    steps, eta = 6, 3.0
    options = {"eta": eta}
    found = torch.cat([order(places, seed, sampler="remask", options=options, steps=steps)[0] for seed in range(40)])
    levels = [1 - i / steps for i in range(steps + 1)]
    sigma = [min(eta * (t - s), s / (1 - t) if t < 1 else 1.0) for t, s in pairwise(levels)]
    sigma[-1] = 0.0
    appears = [1 - (s - (1 - t) * again) / t for (t, s), again in zip(pairwise(levels), sigma, strict=True)]
    law = [levels[j] * appears[j] * math.prod(1 - again for again in sigma[j + 1 :]) for j in range(steps)]
    assert sum(law) == pytest.approx(1)
    n = found.numel()
    shares = (torch.bincount(found.flatten(), minlength=steps + 1)[1:] / n).tolist()
    for share, exact in zip(shares, law, strict=True):
        assert share == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / n))


def test_numbers_have_no_order_of_letters() -> None:
    with pytest.raises(Unable, match="No part of the states consists of masked letters"):
        order_view(Subject(exact_model(GaussianMixture(torch.zeros(1, 2), torch.ones(1, 2)))))
