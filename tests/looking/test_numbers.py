"""Tests of views against closed forms, on a mixture of Gaussians whose denoiser is exact."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from exact_model import exact_model
from torch import Tensor, nn

from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.looking.subject import Subject
from polydiff.looking.views.guidance import guided
from polydiff.looking.views.nearest import memorised
from polydiff.looking.views.probe import probe, score
from polydiff.looking.views.sensitivity import sensitivity, without_each
from polydiff.looking.views.trajectory import trajectory
from polydiff.looking.views.uncertainty import completions, spread
from polydiff.looking.views.walks import condition_walk, two_conditions, two_samples
from polydiff.model.model import Model
from polydiff.testing.analytic import GaussianMixture

MEANS = torch.tensor([[-1.0, 0.5], [1.0, -0.5]])


def two_classes(variance: float = 0.09) -> GaussianMixture:
    return GaussianMixture(MEANS, torch.full((2, 2), variance), labels=torch.tensor([0, 1]))


def stacked(samples: Samples) -> Tensor:
    return torch.stack(list(samples.examples))


def test_estimates_on_the_way_are_posterior_means_of_the_states_beside_them() -> None:
    mixture = two_classes()
    subject = Subject(
        exact_model(mixture), cond={"label": 1}, sampling={"steps": 6, "sampler": "ddim", "guidance": 1.0}
    )
    scenes = trajectory(subject, n=3)
    for scene in scenes[:-1]:
        x = stacked(scene.state) * math.hypot(1.0, scene.level)  # shown at the spread of the data
        exact = mixture.mean(x, torch.full((3,), scene.level), torch.ones(3))
        torch.testing.assert_close(stacked(scene.estimate).double(), exact, rtol=0, atol=2e-5 * (1 + scene.level))
    assert scenes[-1].level == 0
    assert torch.equal(stacked(scenes[-1].state), stacked(subject.request()[0].joined(range(3), 0)))


def test_the_effect_of_a_condition_is_that_of_the_exact_estimates() -> None:
    mixture = two_classes()
    subject = Subject(exact_model(mixture, train=2048))
    batch = subject.held_out(64)
    found = sensitivity(subject, batch, without_each(subject.model.domain, batch.cond or {}))
    assert list(found.effects) == ["label"]
    plain = float((batch.x - subject.data_mean(batch)).square().sum(1).mean())
    for i, level in enumerate(found.levels):
        x = batch.x + level * batch.space.noise(subject.noise_streams(batch))
        s = torch.full((64,), level)
        change = mixture.mean(x, s, (batch.cond or {})["label"]) - mixture.mean(x, s)
        assert float(found.effects["label"][i]) == pytest.approx(float(change.square().sum(1).mean()) / plain, abs=1e-5)
    lost = (MEANS - MEANS.mean(0)).square().sum(1).mean() / plain  # at the highest level, only the class is known
    assert float(found.effects["label"][0]) == pytest.approx(float(lost), rel=0.05)
    assert float(found.effects["label"][-1]) < 1e-3


def test_the_spread_over_noises_is_that_of_the_closed_form() -> None:
    v = 0.25
    mixture = GaussianMixture(torch.zeros(1, 2), torch.full((1, 2), v))
    subject = Subject(exact_model(mixture, train=4096))
    found = spread(subject, subject.held_out(64), draws=200)
    exact = [v * s / (v + s * s) / math.sqrt(v) for s in found.levels]
    assert found.relative.tolist() == pytest.approx(exact, rel=0.08, abs=1e-4)


def test_completions_agree_outside_of_the_gap_and_spread_inside_as_the_posterior() -> None:
    """Independent numbers: the posterior of the gap is the law of the data."""
    v = torch.tensor([[0.25, 0.64]])
    subject = Subject(exact_model(GaussianMixture(torch.tensor([[0.0, 1.0]]), v), train=2048), sampling={"steps": 20})
    known = torch.tensor([[True, False]])
    made = completions(subject, known, n=400)
    x = stacked(made.samples)
    truth = subject.repeated(1).x
    assert torch.equal(x[:, 0], truth[:, 0].expand(400))
    assert float(x[:, 1].mean()) == pytest.approx(1.0, abs=0.15)
    assert float(made.variance[0, 1]) == pytest.approx(0.64, rel=0.2)
    assert float(made.variance[0, 0]) == 0.0
    assert made.relative == pytest.approx(math.sqrt(0.64 / float(v.mean())), rel=0.2)


def test_a_model_that_draws_its_training_examples_has_copies_alone_and_the_law_itself_next_to_none() -> None:
    mixture = GaussianMixture(torch.zeros(1, 2), torch.ones(1, 2))
    honest = exact_model(mixture, train=200, test=4000)
    known = honest.domain.batch("train", range(200), streams(0, "augment", range(200))).x
    copying = Model(
        honest.config, honest.domain, exact_model(GaussianMixture(known, torch.full((200, 2), 1e-10))).denoiser
    )
    shares = {}
    for name, model in (("honest", honest), ("copying", copying)):
        subject = Subject(model)
        samples = model.sample(300, steps=100, sampler="ddim")
        found = memorised(subject, samples, held_out=2000)
        shares[name] = found.share
    assert found.threshold > 0
    assert shares["copying"] == 1.0
    assert shares["honest"] == pytest.approx(0.01, abs=0.02)


@pytest.mark.parametrize("configured", [{}, {"sample.guidance": 2.0, "sample.guidance_interval": (1.0, 10.0)}])
def test_a_walk_between_conditions_begins_and_ends_with_their_samples_and_mixes_estimates_between(
    configured: dict[str, Any],
) -> None:
    subject = Subject(exact_model(two_classes(), **configured), sampling={"steps": 8, "sampler": "ddim"})
    a, b = two_conditions(subject) or ({}, {})
    assert {a["label"], b["label"]} == {"0", "1"}
    found = condition_walk(subject, {"label": 0}, {"label": 1}, shares=(0.0, 0.5, 1.0), n=4)
    ends = [subject.model.sample(4, cond={"label": label}, guidance=1.0, steps=8, sampler="ddim") for label in (0, 1)]
    torch.testing.assert_close(stacked(found[0]), stacked(ends[0]), rtol=0, atol=1e-4)
    assert torch.equal(stacked(found[2]), stacked(ends[1]))
    middle = (stacked(ends[0]) + stacked(ends[1])) / 2  # equal variances: the mixed flow is that of the mean
    torch.testing.assert_close(stacked(found[1]), middle, rtol=0, atol=1e-3)


def test_guided_samples_follow_the_flow_of_the_mixed_exact_estimates() -> None:
    """DDIM by hand: x <- D + (s' / s)(x - D), with D = D_u + w (D_c - D_u) of the closed forms."""
    mixture = two_classes()
    subject = Subject(exact_model(mixture), cond={"label": 1}, sampling={"steps": 8, "sampler": "ddim"})
    weights = (1.0, 2.0, 4.0)
    found = [stacked(samples) for samples in guided(subject, weights, most=5)]
    levels = [float(level) for level in subject.request()[0].plan.levels]  # type: ignore[attr-defined]
    numbers = range(5)
    noise = subject.model.domain.blank(streams(0, "blank", numbers), {})[0].noise(streams(0, "sample", numbers))
    for weight, samples in zip(weights, found, strict=True):
        x = levels[0] * noise.double()
        for s, below in pairwise(levels):
            free, own = (mixture.mean(x, torch.full((5,), s), label) for label in (None, torch.ones(5)))
            estimate = free + weight * (own - free)
            x = estimate + below / s * (x - estimate)
        torch.testing.assert_close(samples.double(), x, rtol=0, atol=1e-3)
    assert float((found[2] - found[0]).norm()) > 0.1


def test_the_ends_of_a_walk_between_noises_are_samples() -> None:
    subject = Subject(exact_model(two_classes()), cond={"label": 1}, sampling={"steps": 8, "sampler": "ddim"})
    a, b = two_samples(subject)
    both = stacked(subject.model.sample(6, cond={"label": 1}, guidance=1.0, steps=8, sampler="ddim"))
    torch.testing.assert_close(torch.cat([a.x, b.x]), both)


class Layered(nn.Module):
    """A network whose only repeated layer hands its noisy input on."""

    def __init__(self, exact: nn.Module) -> None:
        super().__init__()
        self.exact, self.layers = exact, nn.ModuleList([nn.Identity()])

    def forward(self, x: Tensor, log_sigma: Tensor, space: Any, cond: Any) -> Tensor:
        return self.exact(self.layers[0](x), log_sigma, space, cond)


def test_probes_of_the_noisy_state_reach_the_accuracy_of_bayes() -> None:
    v = 0.09
    model = exact_model(two_classes(v), train=4000, test=4000)
    model.denoiser.backbone = Layered(model.denoiser.backbone)
    found = probe(Subject(model), train=4000, test=4000)
    (by_layer,) = found.scores["label"].values()
    half = float((MEANS[1] - MEANS[0]).norm()) / 2
    exact = [0.5 * math.erfc(-half / math.sqrt(2 * (v + s * s))) for s in found.levels]
    assert by_layer.tolist() == pytest.approx(exact, abs=0.03)
    assert found.chance["label"] == pytest.approx(0.5, abs=0.05)


def test_a_probe_of_a_linear_number_explains_it_and_of_noise_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 3, generator=generator, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 3
    assert score(x[:400], y[:400], x[400:], y[400:]) == pytest.approx(1.0, abs=1e-3)
    noise = torch.randn(600, generator=generator, dtype=torch.float64)
    assert abs(score(x[:400], noise[:400], x[400:], noise[400:])) < 0.05
