"""Scores of predictions against closed forms; a classifier that learns, is cached and is loaded again."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from polydiff.metrics.classifier import am_score, classifier, inception_score, modified_inception_score


def predictions(k: int, n: int, sure: float) -> Tensor:
    """Return log-probabilities (n k, k) for n examples of each of k classes; the right class has probability `sure`."""
    p = torch.full((k, k), (1 - sure) / (k - 1), dtype=torch.float64).fill_diagonal_(sure)
    return p.log().repeat(n, 1)


def entropy(p: Tensor) -> float:
    return float(-(p * p.log()).sum())


@given(st.integers(2, 12), st.floats(0.5, 0.999))
def test_scores_of_equal_classes_equal_closed_forms(k: int, sure: float) -> None:
    """IS = K exp(-H); log mIS = (1 - 1/K) (sure - rest) log(sure / rest); AM = H."""
    log_p = predictions(k, 200, sure)
    h, rest = entropy(log_p[0].exp()), (1 - sure) / (k - 1)
    assert inception_score(log_p) == pytest.approx(k * math.exp(-h), rel=0.05)  # the halves differ a little
    pairs = (1 - 1 / k) * (sure - rest) * math.log(sure / rest)
    assert math.log(modified_inception_score(log_p)) == pytest.approx(pairs, abs=1e-9)
    assert am_score(log_p, log_p) == pytest.approx(h, abs=1e-9)


def test_the_modified_score_averages_over_all_pairs() -> None:
    log_p = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log_softmax(1)
    pairs = (log_p[:, None].exp() * (log_p[:, None] - log_p)).sum(2).mean()
    assert modified_inception_score(log_p) == pytest.approx(math.exp(pairs), rel=1e-12)


def test_the_inception_score_compares_two_halves() -> None:
    """With two examples, each half has one, so log IS is the divergence between them in one of the two orders."""
    p, q = torch.tensor([0.9, 0.1]).double(), torch.tensor([0.3, 0.7]).double()
    ways = [float((a * (a / b).log()).sum()) for a, b in ((p, q), (q, p))]
    assert min(abs(math.log(inception_score(torch.stack([p, q]).log())) - way) for way in ways) < 1e-12


@given(st.integers(2, 10))
def test_samples_of_a_single_class_score_one(k: int) -> None:
    alone = predictions(k, 100, 0.99)[::k]
    assert inception_score(alone) == pytest.approx(1, abs=1e-9)
    assert modified_inception_score(alone) == pytest.approx(1, abs=1e-9)
    missing = am_score(alone, predictions(k, 100, 0.99))
    uniform = float((-math.log(k) - alone[0]).mean())  # D(uniform || prediction)
    assert missing == pytest.approx(uniform + entropy(alone[0].exp()), abs=1e-9)


def test_uniform_predictions_score_one_and_the_largest_entropy() -> None:
    log_p = torch.full((50, 8), -math.log(8))
    assert inception_score(log_p) == pytest.approx(1)
    assert modified_inception_score(log_p) == pytest.approx(1)
    assert am_score(log_p, log_p) == pytest.approx(math.log(8), rel=1e-6)


def test_scores_of_too_few_samples_or_of_nan_are_nan() -> None:
    log_p = predictions(3, 4, 0.9)
    broken = log_p.clone()
    broken[1] = math.nan
    for scores in ((log_p[:1], log_p[:0]), (broken, broken)):
        for score, table in zip((inception_score, lambda t: am_score(t, log_p)), scores, strict=True):
            assert math.isnan(score(table))
    assert math.isnan(modified_inception_score(log_p[:1]))
    assert math.isnan(modified_inception_score(broken))


def test_a_classifier_learns_is_reproducible_and_keeps_the_global_generator(tmp_path: Path) -> None:
    """The classes are two Gaussians at distance 6, so nearly all predictions are right."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(32) % 2
        noise = torch.randn(32, 2, generator=torch.Generator().manual_seed(step))
        return noise + 6 * labels[:, None], labels

    def make(classes: int = 2) -> nn.Sequential:
        return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, classes))

    torch.manual_seed(3)
    state = torch.get_rng_state()
    kept, other = (classifier(tmp_path / name, make, batch, steps=200) for name in "ab")
    again = classifier(tmp_path / "a", make, lambda step: pytest.fail("trained again"), steps=200)
    assert torch.equal(torch.get_rng_state(), state)
    x, labels = batch(-1 & 0xFFFF)
    assert float((kept(x).argmax(1) == labels).double().mean()) > 0.95
    for first, second, third in zip(kept.parameters(), other.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)
    wider = classifier(tmp_path / "a", lambda: make(3), batch, steps=2)
    assert wider(x).shape == (32, 3)
    with pytest.warns(UserWarning, match="cannot be written"):
        nowhere = classifier(tmp_path / "a" / "below a file", make, batch, steps=200)
    assert torch.equal(nowhere(x), kept(x))
