"""The loop trains any module by any objective: an autoencoder and a contrastive pair, with averages and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from polydiff.contract.sections.training import OptimConfig
from polydiff.core.objective import Moment, Objective, Outcome
from polydiff.core.space import Batch, Euclidean
from polydiff.core.streams import stream
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.run.averages import SIGMAS
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.loss_by_level import Gathered
from polydiff.support.errors import NonFiniteError, UserError
from polydiff.training.loop import Training, fit
from polydiff.training.optimizers import optimizer_tensors, restore_optimizer

STEPS, SIZE = 40, 32


class Autoencoder(nn.Module):
    """Eight numbers through two, with dropout, which draws random numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 2), nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 8))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


class Reconstruction(Objective[Autoencoder]):
    """The squared error of each example."""

    def __call__(
        self, module: Autoencoder, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        return Outcome((module(batch.x) - batch.x).square().mean(1), None)


def plane(step: int) -> Batch:
    """Points of a plane in R^8."""
    across = torch.randn(2, 8, generator=stream(0, "plane"))
    return Batch(torch.randn(SIZE, 2, generator=stream(0, "points", step)) @ across, Euclidean(SIZE, (8,)))


def autoencoder() -> Training[Autoencoder]:
    torch.manual_seed(0)
    return Training(Autoencoder(), Reconstruction(), OptimConfig(lr=0.02, warmup=1), widths=SIGMAS)


def saved(training: Training[Autoencoder], folder: Path) -> Path:
    assert training.averages is not None
    weights, ema = training.module.state_dict(), training.ema.state_dict()
    tensors = optimizer_tensors(training.module, training.optimizer)
    return Checkpoint(training.step, {}, weights, ema, tensors, training.averages.tensors()).save(folder)


def restored(path: Path) -> Training[Autoencoder]:
    training, checkpoint = autoencoder(), Checkpoint.load(path)
    assert training.averages is not None
    training.module.load_state_dict(dict(checkpoint.model))
    training.ema.load_state_dict(dict(checkpoint.ema))
    restore_optimizer(training.module, training.optimizer, checkpoint.optimizer)
    training.averages.restore(checkpoint.averages)
    training.step = checkpoint.step
    return training


def test_an_autoencoder_is_trained_and_resumed_with_the_same_bits(tmp_path: Path) -> None:
    whole, first = autoencoder(), autoencoder()
    records = list(fit(whole, plane, steps=STEPS, batch_size=SIZE, ema=0.9))
    assert records[-1].loss < 0.5 * records[0].loss
    assert {record.level for record in records} == {None}
    for record in fit(first, plane, steps=STEPS, batch_size=SIZE, ema=0.9):
        if record.step == 17:
            break
    second = restored(saved(first, tmp_path))
    again = list(fit(second, plane, steps=STEPS, batch_size=SIZE, ema=0.9))
    assert [record.loss for record in again] == [record.loss for record in records[17:]]
    ends = [Checkpoint.load(saved(training, tmp_path / name)) for name, training in (("a", whole), ("b", second))]
    for part in ("model", "ema", "optimizer", "averages"):
        one, other = (getattr(end, part) for end in ends)
        assert one
        assert all(torch.equal(value, other[name]) for name, value in one.items()), part
    assert not torch.equal(ends[0].model["encoder.weight"], ends[0].ema["encoder.weight"])


def test_an_objective_without_noise_levels_logs_no_bins() -> None:
    levels = Gathered()
    for record in fit(autoencoder(), plane, steps=2, batch_size=SIZE):
        levels.add(record.level, record.losses)
    assert levels.read() == {}


def test_a_loss_that_is_not_finite_is_described_without_a_noise_level() -> None:
    def broken(step: int) -> Batch:
        batch = plane(step)
        return batch._replace(x=batch.x * 1e30) if step == 1 else batch

    with pytest.raises(NonFiniteError, match=r"Step 2: the loss of examples 0, 1, 2.* \(the largest.*standardise"):
        list(fit(autoencoder(), broken, steps=2, batch_size=SIZE))


class Contrast(Objective[nn.Linear]):
    """InfoNCE: which of the batch's views belongs to an example (van den Oord et al., 2018)."""

    def __call__(
        self, module: nn.Linear, batch: Batch, u: Tensor, generators: Sequence[torch.Generator], moment: Moment
    ) -> Outcome:
        assert batch.cond is not None
        one, other = (functional.normalize(module(x), dim=1) for x in (batch.x, batch.cond["view"]))
        losses = functional.cross_entropy(10 * one @ other.T, torch.arange(len(one)), reduction="none")
        return Outcome(losses, None)


def test_a_contrastive_pair_is_trained() -> None:
    """Views share four numbers of eight; the encoder learns to look at these alone."""

    def views(step: int) -> Batch:
        x = torch.randn(2, SIZE, 8, generator=stream(0, "views", step))
        x[1, :, :4] = x[0, :, :4]
        return Batch(x[0], Euclidean(SIZE, (8,)), {"view": x[1]})

    torch.manual_seed(0)
    training = Training(nn.Linear(8, 8), Contrast(), OptimConfig(lr=0.02, warmup=1))
    records = list(fit(training, views, steps=150, batch_size=SIZE, ema=0.9))
    assert records[0].losses.shape == (SIZE,)
    assert records[-1].loss < 0.5 * math.log(SIZE)
    columns = training.ema.weight.norm(dim=0)
    assert columns[4:].mean() < 0.5 * columns[:4].mean()
    assert_close(training.ema(torch.zeros(1, 8)), training.ema.bias[None])


class Silent(nn.Module):
    """A network for points of the plane that returns 0."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, log_sigma: Tensor, space: object, cond: object = None) -> Tensor:
        return self.gain * x


@pytest.mark.parametrize(
    ("schedule", "mean", "std"),
    [("edm", -1.2, 1.2), ("ve", math.log(0.01 * 50) / 2, math.log(50 / 0.01) / 12**0.5)],
)
def test_noise_levels_suit_the_schedule_by_default(schedule: str, mean: float, std: float) -> None:
    """log s of EDM is normal (Karras et al., 2022), that of the exponential schedule uniform between its ends."""
    training = Training(Denoiser(Silent(), SCHEDULES[schedule]()))
    batches = fit(training, lambda _: Batch(torch.randn(512, 2), Euclidean(512, (2,))), steps=8, batch_size=512)
    levels = torch.cat([record.level.log() for record in batches if record.level is not None])
    assert_close(levels.mean().item(), mean, atol=0.02, rtol=0)
    assert_close(levels.std().item(), std, atol=0.02, rtol=0)


def test_a_module_without_a_schedule_needs_an_objective() -> None:
    with pytest.raises(UserError, match=r"Training\(Linear\) needs an objective"):
        Training(nn.Linear(2, 2))
