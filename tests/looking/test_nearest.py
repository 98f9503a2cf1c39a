"""Tests of the view of nearest training examples against closed forms: one training example, and normal data."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from exact_model import exact_model
from scipy.stats import ncx2
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.judging.copies import CopyTest
from polydiff.looking.subject import Subject
from polydiff.looking.views.nearest import COUNTED, MATCHED, memorised, nearest_view
from polydiff.model.model import Model
from polydiff.testing.analytic import GaussianMixture

HELD_OUT = 4000


@pytest.fixture(scope="module")
def model() -> Model:
    """The standard normal law of two numbers, with one training example t."""
    return exact_model(GaussianMixture(torch.zeros(1, 2), torch.ones(1, 2)), train=1, test=HELD_OUT)


def known(model: Model) -> Tensor:
    return model.domain.batch("train", [0], ()).x[0]


def drawn_from(model: Model, mixture: GaussianMixture) -> Model:
    """Return the model with samples of another law, compared with the same training example."""
    return replace(model, denoiser=exact_model(mixture).denoiser)


def test_the_threshold_is_the_hundredth_of_the_law_of_distances(model: Model) -> None:
    """|x - t|^2 of a normal x has the noncentral chi-square law with 2 degrees of freedom and |t|^2."""
    found = CopyTest.of(model.domain, model.domain, HELD_OUT)
    law = ncx2(2, float(known(model).square().sum()))
    assert law.cdf(found.threshold**2) == pytest.approx(0.01, abs=4 * math.sqrt(0.01 / HELD_OUT))
    squares = found.held_out.square()
    assert float(squares.mean()) == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(HELD_OUT))


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_the_share_of_copies_of_samples_around_the_training_example(model: Model, share: float) -> None:
    """Samples of N(t, v) are nearer than r with the probability 1 - exp(-r^2 / 2v)."""
    r, n = CopyTest.of(model.domain, model.domain, HELD_OUT).threshold, 400
    v = r**2 / (-2 * math.log(1 - share))
    near = drawn_from(model, GaussianMixture(known(model)[None], torch.full((1, 2), v)))
    found = memorised(Subject(near), near.sample(n, steps=60, sampler="ddim", progress=False), HELD_OUT)
    assert found.threshold == r
    assert found.share == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))
    squares = torch.tensor(list(found.nearest.distances)).square()
    assert float(squares.mean()) == pytest.approx(2 * v, rel=4 / math.sqrt(n))  # exponential: as wide as its mean
    assert all(torch.equal(one, known(model)) for one in found.nearest.examples.examples)


def test_the_page_has_the_distances_of_its_samples_and_the_share_below_the_threshold(model: Model) -> None:
    copying = drawn_from(
        model, GaussianMixture(torch.stack([known(model), torch.zeros(2)]), torch.tensor([[1e-8] * 2, [1.0] * 2]))
    )
    subject = Subject(copying, thorough=True, sampling={"steps": 40, "sampler": "ddim"})
    view = nearest_view(subject)
    samples = torch.stack(list(subject.request(COUNTED)[0].joined(range(COUNTED), 0).examples))
    distances = (samples - known(model)).norm(dim=1)
    assert view.numbers["distances"] == pytest.approx(distances.tolist(), abs=1e-3)  # cdist rounds those near 0
    share = float((distances < view.numbers["copy_threshold"]).double().mean())
    assert view.numbers["share_of_copies"] == share
    assert share == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / COUNTED))  # half of the samples are t
    assert f"{share:.1%} of {COUNTED} samples are copies" in view.note
    assert len(view.numbers["held_out"]) == 200
    shown = [float(one) for one in re.findall(r"distance ([\d.e-]+)<", view.html)]
    assert shown == pytest.approx(distances[:MATCHED].tolist(), rel=0.01, abs=1e-3)


def test_of_several_training_examples_the_nearest_is_shown() -> None:
    """Far apart and with little noise, each sample lies beside the example of its own component."""
    means = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    model = exact_model(GaussianMixture(means, torch.full((3, 2), 1e-4), labels=torch.arange(3)), train=30, test=300)
    for label in range(3):
        samples = model.sample(5, cond={"label": label}, steps=40, sampler="ddim", guidance=1.0, progress=False)
        found = memorised(Subject(model), Samples(samples.examples), 300)
        near = torch.stack(list(found.nearest.examples.examples))
        assert torch.cdist(near, means).argmin(1).tolist() == [label] * 5
