"""The exact models against closed forms, autograd and Monte Carlo."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mixture_cases import covariances, levels, mixture
from oracles import GaussianDenoiser, dense, packed
from torch import Tensor
from torch.testing import assert_close

from polydiff.core.space import Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.guidance.guided import ClassifierFree
from polydiff.testing.analytic import GaussianMixture, Guided, projector
from polydiff.testing.problems import Centred, gauss


@pytest.mark.parametrize("kind", ["axes", "shared", "own"])
@pytest.mark.parametrize("s", [0.0, 0.3, 50.0])
def test_densities_equal_those_of_torch(kind: str, s: float) -> None:
    m, x = mixture(kind), gauss(5, 20, 4) * (1 + s)
    eye = torch.eye(4, dtype=torch.float64)
    components = torch.distributions.MultivariateNormal(m.means, covariances(m) + s**2 * eye)
    truth = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(m.share), components)
    assert_close(m.log_prob(x, levels(20, s)), truth.log_prob(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["axes", "shared", "own"])
@pytest.mark.parametrize("s", [0.05, 1.0, 50.0])
def test_scores_are_gradients_and_means_follow_tweedie(kind: str, s: float) -> None:
    m, x = mixture(kind), (gauss(5, 20, 4) * (1 + s)).requires_grad_()
    (gradient,) = torch.autograd.grad(m.log_prob(x, levels(20, s)).sum(), x)
    assert_close(m.score(x, levels(20, s)), gradient, rtol=1e-10, atol=1e-10)
    assert_close(m.mean(x, levels(20, s)), x + s**2 * gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["axes", "shared", "own"])
def test_draws_have_the_moments_of_the_mixture_and_each_sample_its_noise_level(kind: str) -> None:
    m, n = mixture(kind), 4000
    x = m.draw(streams(0, "draw", range(n)))
    covariance = (m.share[:, None, None] * (covariances(m) + m.means[:, :, None] * m.means[:, None])).sum(0)
    spread = torch.einsum("bi,bj->bij", x, x)
    assert ((spread.mean(0) - covariance).abs() < 5 * spread.std(0) / n**0.5).all()
    assert ((x.mean(0) - m.centre).abs() < 5 * x.std(0) / n**0.5).all()
    per_sample = torch.linspace(0.1, 3, 6, dtype=torch.float64)
    one_by_one = [m.mean(x[i : i + 1], per_sample[i : i + 1]) for i in range(6)]
    assert_close(m.mean(x[:6], per_sample), torch.cat(one_by_one), rtol=1e-12, atol=1e-12)


@given(st.floats(0.01, 100), st.floats(0.05, 3))
def test_one_isotropic_gaussian_is_the_textbook_formula(s: float, std: float) -> None:
    space = Euclidean(3, (2, 3), dtype=torch.float64)
    mean, x = gauss(7, 2, 3), (1 + s) * space.noise(streams(0, "x", range(3)))
    exact = GaussianMixture(mean.reshape(1, -1), torch.full((1, 6), std**2, dtype=torch.float64))
    textbook = GaussianDenoiser(mean.expand(3, 2, 3), std)
    assert_close(exact(x, levels(3, s), space), textbook(x, levels(3, s), space), rtol=1e-11, atol=1e-11)
    assert exact(x.float(), levels(3, s).float(), space).dtype == torch.float32
    assert exact.calls == 2


def test_labels_select_components_and_minus_one_selects_all() -> None:
    m, space = mixture("own"), Euclidean(3, (4,), dtype=torch.float64)
    x, s = 2 * gauss(5, 3, 4), levels(3, 0.7)
    d = m(x, s, space, {"label": torch.tensor([0, 1, -1])})
    for i, chosen in enumerate(([0], [1, 2], [0, 1, 2])):
        assert_close(d[i : i + 1], m.subset(chosen).mean(x[i : i + 1], s[:1]), rtol=1e-11, atol=1e-11)


def test_guided_mixtures_are_classifier_free_guidance() -> None:
    m, space = mixture("own"), Euclidean(5, (4,), dtype=torch.float64)
    x, s = 2 * gauss(5, 5, 4), levels(5, 0.7)
    guided = Guided(m, m.subset([1, 2]), 3.0)
    wrapped = ClassifierFree(m, 3.0)(x, s, space, {"label": torch.ones(5, dtype=torch.long)})
    assert_close(guided(x, s, space), wrapped, rtol=1e-11, atol=1e-11)
    assert_close(guided.score(x, s), (guided(x, s, space) - x) / 0.49, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [dense, packed, lambda b, n, k: Centred(b, (n, 2), dtype=torch.float64)])
def test_mixtures_live_on_any_space(make) -> None:
    """On a subspace: D lies on it, the density is a density on it, and the data have the distribution of P x_0."""
    space = make(3, 4, 1)
    noise = space.noise(streams(0, "x", range(3)))
    p = projector(space, noise)
    assert_close(p @ p, p, rtol=0, atol=1e-12)
    d = len(p)
    factors = gauss(3, 2, d, d)
    m = GaussianMixture.from_covariances(gauss(2, 2, d), factors @ factors.mT / d, projector=p)
    assert m.dim == round(space.dim[0].item())
    estimate = m(2 * noise, levels(3, 2.0), space)
    assert_close(space.project(estimate), estimate, rtol=0, atol=1e-12)
    assert_close(covariances(m), p @ factors @ factors.mT @ p / d, rtol=0, atol=1e-12)
    standard = GaussianMixture(torch.zeros(1, d), torch.ones(1, m.dim), basis=span_of(p))
    expected = -(space.sum(noise**2) + m.dim * math.log(2 * math.pi)) / 2
    assert_close(standard.log_prob(noise.reshape(3, -1), levels(3, 0.0)), expected, rtol=1e-12, atol=1e-12)


def span_of(p: Tensor) -> Tensor:
    """Return orthonormal columns that span the range of a projector, by another method than `span`."""
    return torch.linalg.svd(p).U[:, : int(p.trace().round())]
