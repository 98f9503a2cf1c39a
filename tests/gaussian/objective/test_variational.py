"""The bound as an objective, and learned variances: the right ones are learned, sampled with, and judged."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from fake_plugins import install_ring
from oracles import GaussianDenoiser, dense, euclidean, packed
from torch import Tensor, nn
from torch.testing import assert_close

from polydiff.backbones.config import EGNNConfig, MLPConfig, UNetConfig
from polydiff.backbones.mlp import MLP
from polydiff.backbones.molecules.egnn import EGNN
from polydiff.backbones.unet import UNet
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.core.conditions import Classes, Condition
from polydiff.core.objective import Moment, stratified
from polydiff.core.space import Batch, Euclidean, Space, State, sqnorm
from polydiff.core.streams import stream, streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.likelihood.bounds import chain, discrete_vlb
from polydiff.gaussian.likelihood.terms import decoder_std, log_normal, reverse_variances
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import OBJECTIVES
from polydiff.gaussian.objective.variational import Hybrid, Vlb, next_level_down
from polydiff.gaussian.process.checks import check_names
from polydiff.gaussian.sampling.execute import sample
from polydiff.gaussian.sampling.plan import plan
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.support.errors import UserError
from polydiff.testing.backbone import check_backbone

F64 = torch.float64


class LearnedVariance(nn.Module):
    """A network for N(0, std^2): F of the edm target for sigma_data = std is 0; v by one parameter."""

    def __init__(self, v: float = 0.0) -> None:
        super().__init__()
        self.f = nn.Parameter(torch.tensor(0.0, dtype=F64))
        self.v = nn.Parameter(torch.tensor(v, dtype=F64))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> tuple[Tensor, Tensor]:
        return self.f * x, self.v * torch.ones_like(x)


def with_learned_variance(v: float = 0.0, std: float = 0.7) -> Denoiser:
    return Denoiser(LearnedVariance(v), EDM(0.01, 20.0), "edm", sigma_data=std).double()


def gaussian_batch(space: Space, std: float = 0.7) -> Batch:
    return Batch(std * space.noise(streams(0, "x", range(space.batch))), space)


def moment(denoiser: Denoiser) -> Moment:
    return Moment(0, 10, denoiser)


@pytest.mark.parametrize("space", [euclidean(2000), packed(500, 4)])
def test_the_vlb_in_training_is_the_vlb_of_an_evaluation(space: Space) -> None:
    """Its mean is the bound without prior and constant; for Gaussian data and v = 1, -log p without them."""
    batch = gaussian_batch(space)
    for v in (0.0, 40.0):
        denoiser = with_learned_variance(v)
        u = stratified(space.batch, stream(0, "u"))
        with torch.no_grad():
            losses, sigma = Vlb(Loss(), 30)(denoiser, batch, u, streams(1, "eps", range(space.batch)), moment(denoiser))
        assert losses.shape == sigma.shape == (space.batch,)
        bound = discrete_vlb(
            denoiser, batch, streams(2, "eps", range(space.batch)), chain(denoiser.schedule, 30), variance="learned"
        )
        c = decoder_std(torch.tensor(0.01, dtype=F64), 0.7).item()
        expected = (bound.nats - bound.parts["prior"]) / space.dim - math.log(c * math.sqrt(2 * math.pi))
        error = (losses.var() + expected.var()).sqrt() / math.sqrt(space.batch)
        assert (losses.mean() - expected.mean()).abs() < 4 * error
        assert losses.std() < 3 * losses.mean()  # every draw counts about the same
    exact = -log_normal(space, batch.x, 0.49)
    assert (bound.nats.mean() - exact.mean()).abs() < 4 * bound.nats.std() / math.sqrt(space.batch)


def test_hybrid_is_the_loss_plus_the_bound_of_the_variance_alone() -> None:
    """The mean's gradient is that of the loss itself; v's is that of the bound; one evaluation serves both."""
    space = euclidean(400)
    batch, denoiser = gaussian_batch(space), with_learned_variance()
    calls: list[int] = []
    denoiser.backbone.register_forward_hook(lambda *_: calls.append(1))
    u = stratified(400, stream(0, "u"))
    losses, sigma = Hybrid(Loss(), 50)(denoiser, batch, u, streams(1, "eps", range(400)), moment(denoiser))
    assert len(calls) == 1
    losses.mean().backward()
    assert isinstance(denoiser.backbone, LearnedVariance)
    f, v = denoiser.backbone.f.grad, denoiser.backbone.v.grad
    plain = with_learned_variance()
    simple = Loss()(plain, batch, sigma, streams(1, "eps", range(400)))
    simple.mean().backward()
    assert isinstance(plain.backbone, LearnedVariance)
    assert plain.backbone.v.grad is None
    assert_close(f, plain.backbone.f.grad)
    assert v is not None
    assert v < 0  # larger variances are better: those of Gaussian data
    assert (losses >= simple).all()


@pytest.mark.parametrize("name", ["hybrid", "vlb"])
def test_the_variance_of_gaussian_data_is_learned(name: str) -> None:
    """v rises from 1/2 to nearly 1, with which the chain is exact."""
    torch.manual_seed(0)
    space, denoiser = euclidean(64), with_learned_variance()
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.3)
    objective = OBJECTIVES[name](Loss(), steps=10)
    for step in range(40):
        batch = Batch(0.7 * space.noise(streams(step, "x", range(64))), space)
        u = stratified(64, stream(step, "u"))
        losses, _ = objective(denoiser, batch, u, streams(step, "eps", range(64)), moment(denoiser))
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    x = torch.ones(64, 2, 3, dtype=F64)
    _, v = denoiser.with_variance(x, torch.ones(64, dtype=F64), space)
    assert v.shape == x.shape
    assert (v > 0.9).all()


@pytest.mark.parametrize("name", ["edm", "linear", "cosine"])
def test_a_step_below_a_level_is_the_chain_s_own(name: str) -> None:
    schedule = SCHEDULES[name]()
    levels = chain(schedule, 40)
    assert_close(next_level_down(schedule, levels[1:], 40), levels[:-1], rtol=1e-6, atol=0)
    lowest = next_level_down(schedule, levels[:1] * torch.tensor([1.0, 1.001], dtype=F64), 40)
    assert_close(lowest[0] / levels[0], levels[0] / levels[1])
    assert ((lowest > 0) & (lowest < levels[0])).all()


class Large:
    """A closed form that predicts v = 1, or v = 0."""

    def __init__(self, denoiser: GaussianDenoiser, v: float) -> None:
        self.denoiser, self.v = denoiser, v
        self.schedule, self.sigma_data = denoiser.schedule, denoiser.sigma_data

    def __call__(self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        return self.denoiser(x, sigma, space, cond)

    def with_variance(
        self, x: State, sigma: Tensor, space: Space, cond: Condition | None = None
    ) -> tuple[State, State]:
        return self(x, sigma, space, cond), torch.full_like(x, self.v)


@pytest.mark.parametrize("make", [euclidean, lambda n: dense(n, 3), lambda n: packed(n, 3)])
def test_learned_variance_in_sampling(make: Any) -> None:
    """v = 0 gives the samples of the small variance, v = 1 of the large, whose law is right after 6 steps."""
    space = make(1500)
    like = space.noise(streams(0, "like", range(space.batch)))
    closed = GaussianDenoiser(0 * like, 0.5, EDM(), sigma_data=0.5)

    def draw(denoise: Any, variance: str) -> State:
        return sample(
            denoise, space, generators=streams(1, "s", range(space.batch)), steps=6, sampler="ddpm", variance=variance
        )

    small, large = draw(closed, "small"), draw(closed, "large")
    assert_close(draw(Large(closed, 0.0), "learned"), small)
    assert_close(draw(Large(closed, 1.0), "learned"), large)
    spread = (sqnorm(space, large) / space.dim).mean() / 0.25
    levels = [row.at for row in plan(EDM(), 6, "ddpm", sigma_data=0.5)]
    s = levels[-1]  # the last step, to 0, adds no noise: it ends at D, of variance 0.25 * 0.25 / (0.25 + s^2)
    assert spread.item() == pytest.approx(0.25 / (0.25 + s**2), rel=0.05)
    assert (sqnorm(space, small) / space.dim).mean() < 0.9 * (sqnorm(space, large) / space.dim).mean()
    with pytest.raises(ValueError, match="does not predict the variance"):
        draw(closed, "learned")


def test_the_large_variance_is_the_posterior_s_of_gaussian_data() -> None:
    s0, s1 = torch.tensor([2.0, 0.3], dtype=F64), torch.tensor([0.4, 0.1], dtype=F64)
    small, large = reverse_variances(s0, s1, 0.7)
    rows = [plan(EDM(), sampler="ddpm", levels=[a, b, 0.0], sigma_data=0.7, variance="learned")[0]
            for a, b in zip(s0.tolist(), s1.tolist(), strict=True)]  # fmt: skip
    assert_close(torch.tensor([row.C**2 for row in rows], dtype=F64), small)
    assert_close(torch.tensor([(row.C_large or 0) ** 2 for row in rows], dtype=F64), large)
    posterior = 1 / (1 / 0.49 + 1 / s1**2)  # of x_0 given x_1, then of x_1 given x_0 and x_0's given x
    gain = s1**2 / s0**2
    exact = s1**2 * (1 - gain) + (1 - gain) ** 2 / (1 / 0.49 + 1 / s0**2)
    assert_close(large, exact)
    assert (posterior < 0.49).all()


SIZES = torch.tensor([1, 5, 3])


def molecules(layout: type[DenseMolecules] | type[PackedMolecules]) -> tuple[Space, State]:
    space = layout.of_sizes(SIZES, 4, F64)
    return space, space.noise(streams(0, "molecules", range(3)))


@pytest.mark.parametrize("layout", [DenseMolecules, PackedMolecules])
def test_the_egnn_predicts_invariant_variances(layout: type[DenseMolecules] | type[PackedMolecules]) -> None:
    network = EGNN(EGNNConfig(hidden=16, layers=2, variance=True), channels=4, dims=3, conditions={}).double()
    space, x = molecules(layout)
    check_backbone(network, space, x)
    _, v = network(x, torch.zeros(3, dtype=F64), space)
    assert not v.any()  # so v = 1/2 after the sigmoid
    with torch.no_grad():
        assert network.variance is not None
        network.variance.weight.copy_(torch.linspace(-1, 1, 32).reshape(2, 16))
    turn = torch.linalg.qr(torch.linspace(-1, 2, 9, dtype=F64).reshape(3, 3).sin())[0]
    turned = torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)
    _, v = network(x, torch.zeros(3, dtype=F64), space)
    assert v.std() > 0.01
    assert_close(network(turned, torch.zeros(3, dtype=F64), space)[1], v)
    assert_close(space.project(v * space.project(turned)), v * space.project(turned))
    other = PackedMolecules if layout is DenseMolecules else DenseMolecules
    elsewhere, y = molecules(other)
    w = network(y, torch.zeros(3, dtype=F64), elsewhere)[1]
    mask = DenseMolecules.of_sizes(SIZES, 4).mask
    assert_close(v[mask] if layout is DenseMolecules else v, w if layout is DenseMolecules else w[mask])


@pytest.mark.parametrize("make", ["unet1", "unet2", "mlp"])
def test_backbones_with_a_variance_keep_their_promises(make: str) -> None:
    config, label = UNetConfig(channels=16, mult=(1, 2), blocks=1, attention=(1,), variance=True), {"label": Classes(3)}
    shape, network = {
        "unet1": ((2, 13), lambda: UNet(config, channels=2, dims=1, conditions=label)),
        "unet2": ((3, 6, 7), lambda: UNet(config, channels=3, dims=2, conditions=label)),
        "mlp": ((5,), lambda: MLP(MLPConfig(hidden=16, variance=True), channels=5, dims=0, conditions=label)),
    }[make]
    space = Euclidean(4, shape)
    check_backbone(network(), space, space.noise(streams(0, "x", range(4))), {"label": torch.tensor([0, 2, -1, 1])})
    denoiser = Denoiser(network(), EDM())
    x = space.noise(streams(0, "x", range(4)))
    estimate, v = denoiser.with_variance(x, torch.ones(4), space)
    assert_close(estimate, denoiser(x, torch.ones(4), space))
    assert_close(v, torch.full_like(x, 0.5), atol=0.45, rtol=0)


class Uneven(nn.Module):
    """A network whose v differs from atom to atom."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None) -> tuple[Tensor, Tensor]:
        return self.w * x + space.expand(log_sigma), torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)


def test_a_variance_that_leaves_the_space_is_found() -> None:
    space, x = molecules(PackedMolecules)
    with pytest.raises(AssertionError, match="leaves the space"):
        check_backbone(Uneven(), space, x)


def test_the_command_line_trains_and_samples_with_a_learned_variance(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["train.steps=3", "train.batch_size=8", "backbone.channels=16", "backbone.blocks=1", "sample.steps=3"]
    how = ["sample.sampler=ddpm", "sample.options.variance=learned", "loss.objective=hybrid"]
    assert main(["train", "--domain", "image", *few, *how, "--judge", "8"]) == 0
    assert main(["sample", "runs/image-001", "-n", "2"]) == 0
    assert main(["train", "--domain", "image", *few, "loss.objective=vlb", "--judge", "8"]) == 0
    capsys.readouterr()
    assert main(["train", "--domain", "image", *few, "sample.sampler=ddpm", "sample.options.variance=learned"]) == 2
    assert "loss.objective=hybrid" in capsys.readouterr().err


def test_settings_that_do_not_fit_the_objective_raise_an_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path / "ring", monkeypatch)
    check_names(resolve("image", words={"loss.objective": "hybrid"}).config)
    for words, message in (
        ({"backbone.variance": "true"}, "only loss.objective=hybrid or vlb trains it, not denoising"),
        ({"loss.objective": "hybrid", "backbone.variance": "false"}, "needs backbone.variance=true"),
        ({"loss.objective": "vlb", "loss.objective_options.steps": "1"}, "at least 2"),
        ({"loss.objective": "hybrid", "loss.objective_options.weight": "0"}, "weight must be above 0"),
        (
            {"loss.objective": "vlb", "sample.options.variance": "learned", "sample.sampler": "ddpm"},
            "predicts no variance",
        ),
    ):
        with pytest.raises(UserError, match=message):
            check_names(resolve("image", words=words).config)
    plain = Denoiser(MLP(MLPConfig(hidden=16), channels=2, dims=0, conditions={}), EDM())
    space, u = Euclidean(3, (2,)), stratified(3, stream(0, "u"))
    batch = Batch(space.noise(streams(0, "x", range(3))), space)
    with pytest.raises(ValueError, match="hybrid needs backbone"):
        OBJECTIVES["hybrid"](Loss())(plain, batch, u, streams(1, "eps", range(3)), moment(plain))
