r"""EDM (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003), its formulas written out, against the core.

In its symbols z_t = alpha_t z_0 + sigma_t eps with alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), the core's
state is z_t / alpha_t and its noise level s = sigma_t / alpha_t = e^{gamma_t / 2}. All is float64, with one small
random EGNN, on padded and on stacked molecules of 1, 2, 5 and 7 atoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.testing import assert_close

from polydiff.backbones.config import EGNNConfig
from polydiff.backbones.molecules.egnn import EGNN
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.core.space import Batch, State
from polydiff.core.streams import streams
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.likelihood.bounds import chain, discrete_vlb
from polydiff.gaussian.likelihood.terms import categorical, decoder, log_mass, prior_kl, prior_variance, step_kl
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.process.bounds import GaussianBound
from polydiff.gaussian.process.plan import plan_of
from polydiff.gaussian.sampling.execute import run_plan
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.tables import polynomial_2
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain

F64 = torch.float64
SIZES, K = torch.tensor([1, 2, 5, 7]), 4
Made = DenseMolecules | PackedMolecules
MAKE: dict[str, Callable[[], Made]] = {
    "dense": lambda: DenseMolecules.of_sizes(SIZES, K, F64),
    "packed": lambda: PackedMolecules.of_sizes(SIZES, K, F64),
}
layouts = pytest.mark.parametrize("make", list(MAKE.values()), ids=list(MAKE))


def gammas(T: int = 1000, precision: float = 1e-5) -> np.ndarray:
    """gamma_0 .. gamma_T of polynomial_2, with the ratios of alpha^2 cut at 0.001."""
    u = np.linspace(0, T + 1, T + 1) / (T + 1)
    squares = (1 - u**2) ** 2
    ratios = np.clip(squares / np.concatenate([[1.0], squares[:-1]]), 0.001, 1)
    squares = (1 - 2 * precision) * np.cumprod(ratios) + precision
    found: np.ndarray = -np.log(squares / (1 - squares))
    return found


def edm(gamma: float | Tensor) -> tuple[Tensor, Tensor]:
    """alpha, sigma."""
    gamma = torch.as_tensor(gamma, dtype=F64)
    return torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma).sqrt()


def between(gamma_t: Tensor, gamma_s: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_{t|s}, sigma^2_{t|s}."""
    variance = -torch.expm1(softplus(gamma_s) - softplus(gamma_t))
    return edm(gamma_t)[0] / edm(gamma_s)[0], variance


def denoiser(T: int = 1000) -> Denoiser:
    torch.manual_seed(0)
    network = EGNN(EGNNConfig(hidden=16, layers=2), channels=K, dims=3, conditions={}).double()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return Denoiser(network, polynomial_2(T), "eps").double().eval()


def eps_hat(model: Denoiser, z: State, gamma: float | Tensor, space: Made) -> State:
    """The network's output for z_t, conditioned on the noise level; the mean of positions is subtracted."""
    log_sigma = torch.as_tensor(gamma, dtype=F64).expand(len(SIZES)) / 2
    return space.project(model.backbone(z, log_sigma, space, None))


def clean(space: Made) -> State:
    return space.project(1.3 * space.noise(streams(0, "data", range(4))))


def norms(space: Made, x: State) -> Tensor:
    """Squared norm of each molecule, atom by atom."""
    rows = x[space.mask] if isinstance(space, DenseMolecules) else x
    return torch.stack([(part**2).sum() for part in rows.split(SIZES.tolist())])


def dims() -> Tensor:
    return (3 * (SIZES - 1) + SIZES * K).double()


def test_the_schedule_is_that_of_edm() -> None:
    expected = gammas()
    assert (round(expected[0], 2), round(expected[-1], 2)) == (-11.51, 11.51)
    schedule = polynomial_2()
    t = torch.arange(1001, dtype=F64) / 1000
    np.testing.assert_allclose(-schedule.log_snr(t), expected, rtol=0, atol=1e-9)
    alpha, sigma = edm(torch.tensor(expected))
    for found, wanted in zip(schedule(t), (alpha, sigma), strict=True):
        assert_close(found, wanted, rtol=1e-9, atol=0)
    levels = noise_levels(schedule, 1001, "time")
    np.testing.assert_allclose(levels, [*np.exp(expected[::-1] / 2), 0.0], rtol=1e-9)
    np.testing.assert_allclose(chain(schedule, 1001), np.exp(expected / 2), rtol=1e-9)


@layouts
def test_states_and_losses(make: Callable[[], Made]) -> None:
    """z_t; |eps - eps_hat|^2 by the true dimension; L_t = (1/2) (SNR(s) / SNR(t) - 1) |eps - eps_hat|^2."""
    model, space, gamma = denoiser(), make(), torch.tensor(gammas())
    z_0, eps = clean(space), space.noise(streams(0, "noise", range(4)))
    for i in (1, 10, 300, 700, 999, 1000):
        alpha, sigma = edm(gamma[i])
        z = alpha * z_0 + sigma * eps
        assert_close(space.project(z), z, rtol=0, atol=1e-12)
        difference = norms(space, eps - eps_hat(model, z, gamma[i], space))
        s, s_1 = torch.exp(gamma[i] / 2).expand(4), torch.exp(gamma[i - 1] / 2).expand(4)
        simple = Loss()(model, Batch(z_0, space, None), s, streams(0, "noise", range(4)))
        assert_close(simple, difference / dims(), rtol=1e-9, atol=0)
        estimate = model(z_0 + space.expand(s) * eps, s, space)
        L_t = 0.5 * torch.expm1(gamma[i] - gamma[i - 1]) * difference
        assert_close(step_kl(space, z_0, estimate, s, s_1, 1.0), L_t, rtol=1e-8, atol=0)


@layouts
def test_ancestral_sampling_step_by_step(make: Callable[[], Made]) -> None:
    """mu = z_t / alpha_{t|s} - sigma^2_{t|s} / (alpha_{t|s} sigma_t) eps_hat, sigma = sigma_{t|s} sigma_s / sigma_t.

    The last step takes the mean of p(x | z_0), (z_0 - sigma_0 eps_hat) / alpha_0.
    """
    T = 60
    model, space, gamma = denoiser(T), make(), torch.tensor(gammas(T))
    noises = streams(0, "sample", range(4))
    levels = [*torch.exp(gamma / 2).flip(0).tolist(), 0.0]
    x = levels[0] * space.noise(noises)
    z = edm(gamma[T])[0] * x
    steps = run_plan(plan(model.schedule, levels=levels, sampler="ddpm"), model, x, space, None, noises)
    repeated = streams(0, "sample", range(4))
    space.noise(repeated)
    with torch.no_grad():
        for i, found in zip(range(T, 0, -1), steps, strict=False):
            (_, sigma_t), (alpha_s, sigma_s) = edm(gamma[i]), edm(gamma[i - 1])
            alpha, variance = between(gamma[i], gamma[i - 1])
            mu = z / alpha - variance / (alpha * sigma_t) * eps_hat(model, z, gamma[i], space)
            z = mu + variance.sqrt() * sigma_s / sigma_t * space.noise(repeated)
            assert_close(alpha_s * found.x, z, rtol=1e-9, atol=1e-9)
        alpha, sigma = edm(gamma[0])
        last = next(steps).x
        assert_close(last, (z - sigma * eps_hat(model, z, gamma[0], space)) / alpha, rtol=1e-9, atol=1e-9)
    assert next(steps, None) is None


def test_every_step_of_the_thousand_has_the_coefficients_of_edm() -> None:
    """In z: A = alpha_s / alpha_t (...) and so on, for all 1000 rows of the preset's plan."""
    gamma, schedule = torch.tensor(gammas()), polynomial_2()
    rows = plan(schedule, 1001, "ddpm", "time")
    assert len(rows) == 1001
    for i, row in zip(range(1000, 0, -1), rows, strict=False):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = edm(gamma[i]), edm(gamma[i - 1])
        alpha, variance = between(gamma[i], gamma[i - 1])
        # x = z / alpha, D = x - s eps_hat: what the row does to z and to eps_hat
        of_z = alpha_s / alpha_t * (row.A + row.B[0])
        of_eps = -alpha_s * row.B[0] * sigma_t / alpha_t
        assert float(of_z) == pytest.approx(float(1 / alpha), rel=1e-9)
        assert float(of_eps) == pytest.approx(float(-variance / (alpha * sigma_t)), rel=1e-8)
        assert float(alpha_s * row.C) == pytest.approx(float(variance.sqrt() * sigma_s / sigma_t), rel=1e-8)


@layouts
def test_the_prior_term(make: Callable[[], Made]) -> None:
    """Of x: d log(1 / sigma_T) + (d sigma_T^2 + |alpha_T x|^2) / 2 - d / 2 with d = 3 (N - 1), and as of h."""
    space, (alpha, sigma) = make(), edm(gammas()[-1])
    z_0, d = clean(space), dims()
    expected = -d * sigma.log() + (d * sigma**2 + alpha**2 * norms(space, z_0)) / 2 - d / 2
    s_T = math.exp(gammas()[-1] / 2)
    assert_close(prior_kl(space, z_0, s_T, prior_variance(s_T, 1.0, "data")), expected, rtol=1e-7, atol=1e-12)


@layouts
def test_the_last_term_of_positions(make: Callable[[], Made]) -> None:
    """-log p(x | z_0) = |eps - eps_hat|^2 / 2 + d (gamma_0 / 2 + log(2 pi) / 2)."""
    model, space, gamma_0 = denoiser(), make(), gammas()[0]
    z_0, eps = clean(space), space.noise(streams(0, "noise", range(4)))
    s = torch.full((4,), math.exp(gamma_0 / 2), dtype=F64)
    estimate = model(z_0 + space.expand(s) * eps, s, space)
    alpha, sigma = edm(gamma_0)
    difference = norms(space, eps - eps_hat(model, alpha * z_0 + sigma * eps, gamma_0, space))
    expected = difference / 2 + dims() * (gamma_0 / 2 + math.log(2 * math.pi) / 2)
    assert_close(decoder(space, z_0, estimate, s), expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize("sigma_0", [0.00316, 0.05, 0.2])
def test_the_decoding_probabilities_of_elements_and_numbers(sigma_0: float) -> None:
    """pi_k ~ Phi((4 z_k - 1 + 1/2) / (4 sigma_0)) - Phi((4 z_k - 1 - 1/2) / (4 sigma_0)); Z likewise by 10 z."""
    domain = MoleculeDomain(config(layout="sparse"))
    x, space, _ = domain.batch("train", range(3), streams(0, "augment", range(3)))
    units = domain.units(x, space)
    assert units.low is not None
    assert units.high is not None
    z = x.double() + sigma_0 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    low, high = ((end[:, 3:] - z[:, 3:]) / sigma_0 for end in (units.low, units.high))
    kinds = len(domain.codec.elements)
    found = categorical(-log_mass(low, high), x[:, 3:], 0, kinds)

    phi = torch.special.ndtr
    middle = 4 * z[:, 3 : 3 + kinds] - 1
    pi = phi((middle + 0.5) / (4 * sigma_0)) - phi((middle - 0.5) / (4 * sigma_0)) + 1e-10
    true = x[:, 3 : 3 + kinds].argmax(-1, keepdim=True)
    expected = -(pi / pi.sum(-1, keepdim=True)).gather(-1, true)[:, 0].log()
    assert_close(found[:, :kinds].sum(-1), expected, rtol=1e-6, atol=1e-8)
    off = (10 * x[:, -1].double()).round() - 10 * z[:, -1]
    mass = phi((off + 0.5) / (10 * sigma_0)) - phi((off - 0.5) / (10 * sigma_0)) + 1e-10
    assert_close(found[:, -1], -mass.log(), rtol=1e-6, atol=1e-8)


def config(**data: object) -> MoleculeConfig:
    words = {f"data.{key}": str(value) for key, value in {"max_heavy": 3, **data}.items()}
    found = resolve("molecule", "edm", words={"backbone.hidden": "16", "backbone.layers": "2", **words}).config
    assert isinstance(found, MoleculeConfig)
    return found


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_the_preset_has_edms_settings(layout: str) -> None:
    found = config(layout=layout)
    assert isinstance(found.data, MoleculeData)
    domain = MoleculeDomain(found)
    model = Model(found, domain, build_denoiser(found, domain, torch.device("cpu")))
    assert (domain.codec.scale, domain.codec.features, model.denoiser.target) == (1.0, 6, "eps")
    np.testing.assert_allclose(-model.denoiser.schedule.log_snr(torch.tensor([0.0, 1.0])), gammas()[[0, -1]])
    assert [row.at for row in plan_of(model, model.plan()).rows] == pytest.approx(list(np.exp(gammas()[::-1] / 2)))
    samples = model.sample(40, steps=3)
    elements = np.concatenate([molecule.numbers for molecule in samples.examples])
    assert set(elements.tolist()) == {1, 6, 7, 8, 9}  # the last one, too, from an untrained network


def test_the_bound_is_the_sum_of_the_terms() -> None:
    """Of the preset's model: prior + T E[L_t] + decoder + units + size, where the chain is EDM's 1001 levels."""
    found = config()
    domain = MoleculeDomain(found)
    model = Model(found, domain, build_denoiser(found, domain, torch.device("cpu")))
    batch = domain.batch("test", range(3), streams(0, "augment", range(3)))
    units = domain.units(batch.x, batch.space)
    bound = GaussianBound(model, 4, model.denoiser.schedule.sigma_min)
    estimate = bound("chain", batch, units, streams(0, "likelihood/chain", range(3)))
    levels = chain(model.denoiser.schedule, 1001)
    same = discrete_vlb(model.denoiser, batch, streams(0, "likelihood/chain", range(3)), levels, draws=4, units=units)
    assert set(estimate.parts) == {"prior", "diffusion", "decoder", "units", "size"}
    assert_close(estimate.nats, same.nats)
    assert_close(estimate.nats, torch.stack([part.double() for part in estimate.parts.values()]).sum(0))
    assert estimate.parts["units"].abs().max() == 0  # positions are in Å
    assert units.size is not None
    assert_close(estimate.parts["size"], units.size.to(estimate.parts["size"]))


@pytest.mark.parametrize(("key", "value"), [("type_scale", 0.02), ("number_scale", 0.025)])
def test_a_scale_that_noise_would_blur_is_an_error(key: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}={value} is too small to decode"):
        MoleculeDomain(config(**{key: value}))


def test_the_preset_passes_the_conformance_checks() -> None:
    assert [check for check in check_domain(config(), examples=6) if not check.passed] == []
