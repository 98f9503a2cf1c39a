"""Tests of `polydiff.testing.exact_flow`."""

import torch
from mixture_cases import covariances, mixture
from torch.testing import assert_close

from polydiff.core.space import normal
from polydiff.core.streams import streams
from polydiff.testing.analytic import GaussianMixture
from polydiff.testing.exact_flow import flow
from polydiff.testing.problems import gauss


def test_the_closed_form_of_one_gaussian_equals_the_solution_by_dop853() -> None:
    one = mixture("own").subset([1])
    twin = GaussianMixture(one.means.expand(2, 4), one.variances.expand(2, 4), basis=one.basis.expand(2, 4, 4))
    x = 10 * gauss(5, 6, 4)
    assert_close(flow(one, x, 10.0), flow(twin, x, 10.0), rtol=1e-9, atol=1e-9)
    assert_close(flow(one, x, 10.0, 0.5), flow(twin, x, 10.0, 0.5), rtol=1e-9, atol=1e-9)


def test_the_flow_of_two_distant_points_ends_at_the_nearer_one() -> None:
    means = torch.tensor([[-5.0], [5.0]])
    m = GaussianMixture(means, torch.full((2, 1), 1e-4))
    x = flow(m, torch.tensor([[-30.0], [30.0], [1.0]]), 80.0)
    assert_close(x[:, 0].round(), torch.tensor([-5.0, 5.0, 5.0], dtype=torch.float64))


def test_the_flow_takes_noisy_data_to_the_distribution_of_data() -> None:
    """The second moments of 2000 solutions are those of the mixture, within 5 standard errors."""
    m, n = mixture("axes"), 2000
    start = m.draw(streams(0, "draw", range(n))) + 8 * normal(streams(1, "noise", range(n)), (4,), "cpu", torch.float64)
    end = flow(m, start, 8.0, rtol=1e-8)
    covariance = (m.share[:, None, None] * (covariances(m) + m.means[:, :, None] * m.means[:, None])).sum(0)
    spread = torch.einsum("bi,bj->bij", end, end)
    assert ((spread.mean(0) - covariance).abs() < 5 * spread.std(0) / n**0.5).all()


def test_the_flow_to_noise_and_back_is_the_identity() -> None:
    m, x = mixture("own"), gauss(5, 8, 4)
    assert_close(flow(m, flow(m, x, 0.0, 80.0), 80.0), x, rtol=1e-8, atol=1e-8)
