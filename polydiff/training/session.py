"""A session of training: what a run writes. `finish` beside it trains a session, and writes after which step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from polydiff.config.merge import Settings
from polydiff.config.processes import process_of
from polydiff.config.saved import plugins_of
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections.run import Config
from polydiff.core.process.abilities import Reconstructs
from polydiff.core.process.sampling import Generates
from polydiff.gallery.sets import write_samples
from polydiff.machine.environment import environment
from polydiff.machine.processes.shards import kept
from polydiff.machine.ranks import Ranks, ranks
from polydiff.model.edit import held_out, reconstruct
from polydiff.model.model import Model
from polydiff.model.prompted import SHOWN, shown_request
from polydiff.model.restore import to_samples
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import Run, steps_saved
from polydiff.run.parents import Records
from polydiff.run.snapshots import save_snapshot
from polydiff.support.disk import WriteError
from polydiff.support.progress import showing
from polydiff.support.protocols import provides
from polydiff.tracking.session import Trackers
from polydiff.training.duration.progress import Forecast, interval
from polydiff.training.loop import Training
from polydiff.training.optimizers import optimizer_tensors
from polydiff.training.saving import save


@dataclass
class Session:
    """A run in training.

    Arguments:
        run: The run's folder.
        settings: Its configuration, and the origin of each value.
        domain: Its domain, with statistics.
        training: Module, moving average, optimizer and step.
        seconds: Seconds of training so far, those of earlier sessions included.
        parents: Records of the runs that its configuration names (`polydiff.run.parents`).
        data: Identity of its training examples (`polydiff.contract.data.identity`); None: the domain does not tell.
        seen: Last step in metrics.jsonl when the session began, which may be after that of the checkpoint.

    Attributes:
        lacking: What could not be written.
        tried: Step of the last checkpoint that was written or tried.
        trackers: What else receives numbers and samples while the session trains.
    """

    run: Run
    settings: Settings
    domain: Domain
    training: Training[Any]
    seconds: float = 0.0
    parents: Records = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    seen: int = 0
    lacking: set[str] = field(default_factory=set, init=False)
    tried: int = field(init=False)
    trackers: Trackers = field(default_factory=Trackers, init=False)

    def __post_init__(self) -> None:
        self.tried = self.training.step

    @property
    def config(self) -> Config:
        """The run's configuration."""
        return self.settings.config

    @property
    def ranks(self) -> Ranks:
        """The processes that train together."""
        return ranks()

    @property
    def model(self) -> Model:
        """The current model, with averaged weights as this process holds them; `show` draws from all of them."""
        return self.model_of(self.training.ema)

    def model_of(self, average: Any) -> Model:
        """Return the current model with this moving average of the weights."""
        device = next(average.parameters()).device
        return Model(self.config, self.domain, average, self.training.step, "ema", device, self.parents)

    @property
    def generates(self) -> bool:
        """Whether the process generates samples; without it, a run has neither samples nor an evaluation."""
        return provides(process_of(self.config), Generates)

    @property
    def reconstructs(self) -> bool:
        """Whether the run trains an autoencoder, whose reconstructions of the real examples are shown."""
        return provides(process_of(self.config), Reconstructs)

    def content(self) -> Checkpoint | None:
        """Return the checkpoint of the present step in the first process, None in the others; all must call this."""
        training, first = self.training, self.ranks.first
        module, ema = kept(training.module.state_dict(), first), kept(training.ema.state_dict(), first)
        optimizer = kept(optimizer_tensors(training.module, training.optimizer), first)
        averages = kept(training.averages.tensors(), first) if training.averages else {}
        if not first:
            return None
        state = {
            "config": self.config.model_dump(mode="json"),
            "provenance": self.settings.provenance,
            "statistics": dict(self.domain.statistics),
            "seconds": self.seconds,
            "examples": self.domain.size("train"),
            "environment": environment(str(self.model.device)),
            "parents": dict(self.parents),
            **({"plugins": plugins} if (plugins := plugins_of(self.config)) else {}),
            **({} if self.data is None else {"data": dict(self.data)}),
        }
        return Checkpoint(training.step, state, module, ema, optimizer, averages)

    def checkpoint(self) -> None:
        """Write a checkpoint and delete those beyond `train.keep`, in the first process (`training.saving`)."""
        self.tried = self.training.step
        if content := self.content():
            save(content, self.run, self.config.train.keep)

    @contextmanager
    def tolerating(self, what: str) -> Iterator[None]:
        """Warn once if the `with` block cannot write: a run in training is worth more.

        Arguments:
            what: What the run then lacks.
        """
        try:
            yield
        except WriteError as error:
            if what not in self.lacking:
                warnings.warn(f"{error} Training goes on without {what}.", stacklevel=3)
            self.lacking.add(what)

    def checkpoint_if_new(self) -> None:
        """Write a checkpoint unless this step has one or no step is done.

        Processes that hold a part of the weights each decide alike, by what all know: the last step that was tried.
        """
        tried = [self.tried] if self.training.sharding else steps_saved(self.run.checkpoints)
        if self.training.step > 0 and self.training.step not in tried:
            self.checkpoint()

    def save_snapshot_if_due(self, step: int) -> bool:
        """Save a snapshot of the power-function averages if one is due after this step, and return whether it is."""
        train, averages = self.config.train, self.training.averages
        if averages is None or step % max(1, train.steps // train.ema_snapshots):
            return False
        tensors = kept(averages.tensors(), self.ranks.first)
        if self.ranks.first:
            with self.tolerating("a snapshot of the averages"):
                save_snapshot(self.run.averages, step, tensors, train.ema_snapshots)
        return True

    @property
    def sample_every(self) -> int:
        """Number of steps between sets of samples."""
        train = self.config.train
        return interval(train.sample_every, train.steps)

    def due_to_show(self, step: int) -> bool:
        """Return whether samples are saved after this step."""
        return step == self.config.train.steps or step % self.sample_every == 0

    def check_sampling(self) -> None:
        """Raise UserError if `show` could not use the guide or the negative conditions; no sample is drawn."""
        if self.generates:
            self.model.request().unwanted(self.config.seed, range(SHOWN))

    def forecast(self) -> Forecast:
        """Return the forecast of the time that the session still needs."""
        train, every = self.config.train, self.sample_every if self.generates else 0
        ahead = every and self.training.step < train.steps
        return Forecast(
            train.steps, train.batch_size, every, SHOWN, self.model.request().evaluations() if ahead else None
        )

    def real(self) -> Samples:
        """Return the real examples beside which samples, or reconstructions of them, are shown."""
        if not self.reconstructs:
            return self.domain.examples("test", SHOWN)
        batch = held_out(self.model, SHOWN)[0]
        return to_samples(self.model, batch.x, batch, batch.cond)

    def show(self) -> None:
        """Save a set of samples, or of reconstructions. Each set has the same seed, so that sets can be compared.

        Where the domain judges samples under the conditions of held-out examples, they are those of the real examples
        in the folder `samples/real`.
        """
        if not (self.reconstructs or self.generates):
            return
        model = self.model_of(self.training.average())
        facts: dict[str, Any] = {"step": self.training.step, "seed": self.config.seed}
        if self.reconstructs:
            samples = reconstruct(model, held_out(model, SHOWN)[0])
        else:
            with showing(None):
                request, n = shown_request(model.request())
                samples = request.joined(range(n), self.config.seed)
            facts |= self.config.sample.model_dump(mode="json")
        if self.ranks.first:
            with self.tolerating("a set of samples"):
                write_samples(self.run.samples(model.step), self.domain, samples, facts)
            self.trackers.show(model.step, "samples", self.run.samples(model.step))
