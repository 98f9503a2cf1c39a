"""A trained model: a domain, a network and the process by which it makes samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from polydiff.config.processes import process_of
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections import Config, SampleConfig
from polydiff.core.conditions import Condition
from polydiff.core.process import Process, generating
from polydiff.core.space import Batch, Space, State
from polydiff.core.streams import streams
from polydiff.model.assemble import assemble, same_weights
from polydiff.model.batches import PROBE, efficient
from polydiff.model.request import Request, guide_of
from polydiff.model.sample_section import section
from polydiff.model.user_conditions import conditions, parse_conditions
from polydiff.run.parents import Records
from polydiff.support.errors import check_whole


@dataclass(frozen=True)
class Model:
    """What `polydiff.load` returns.

    Arguments:
        config: The run's configuration.
        domain: Its domain, with the statistics of its training data.
        denoiser: Its network, as the process of the configuration makes it: a `polydiff.Denoiser` of a Gaussian one.
        step: Optimizer steps that it was trained for.
        weights: "ema", the moving average, "ema 0.08", one of that width, or "model", the weights as trained.
        device: Where it computes.
        parents: What its checkpoint records of the runs that it stands on (`polydiff.run.parents`).
    """

    config: Config
    domain: Domain
    denoiser: Any
    step: int = 0
    weights: str = "ema"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parents: Records = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Model:
        """Read a model from a run's folder (its newest checkpoint) or from one checkpoint's folder.

        Arguments:
            path: RUN or RUN/checkpoints/step-00002000.
            weights: "ema" or "model".
            device: Where to compute; None: on a GPU where there is one, unless the configuration says cpu.
            ema: Width of the average, made from the run's snapshots (`run.snapshots`); None: training's average.
        """
        return cls(*assemble(path, weights, device, ema))

    @cached_property
    def process(self) -> Process:
        """The process that the configuration names."""
        return process_of(self.config)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        cond: Mapping[str, Any] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        batch_size: int | str | None = None,
        **further: Any,
    ) -> Samples:
        """Return n samples; sample i depends on the seed and i, and on the batch size by rounding alone.

        Arguments:
            n: How many.
            seed: Of everything random.
            cond: What they are asked to be, in the domain's words, such as {"pitch": "C4"}. What is not asked for is
                drawn as in the training data.
            steps: Sampling steps; this and the following default to the configuration's `sample` section.
            sampler: Name of the method.
            guidance: Scale of guidance, 1 for none.
            batch_size: Samples computed at a time, or "auto".
            further: Other keys of the section: guidance_method="apg", guide="runs/small", negative={"label": 3}, ...
        """
        how = {"steps": steps, "sampler": sampler, "guidance": guidance, "batch_size": batch_size, **further}
        return Samples.join(list(self.stream(n, seed=seed, cond=cond, **how)))

    def stream(
        self, n: int, *, first: int = 0, seed: int = 0, cond: Mapping[str, Any] | None = None, **sampling: Any
    ) -> Iterator[Samples]:
        """Yield the samples numbered first, ..., first + n - 1 in order, a batch or so at a time.

        Arguments:
            n: How many.
            first: Number of the first one.
            seed: Of everything random.
            cond: What they are asked to be.
            sampling: As in `sample`.
        """
        check_whole("n", n)
        check_whole("first", first, least=0)
        yield from self.request(cond, **sampling).samples(range(first, first + n), seed)

    def request(self, cond: Mapping[str, Any] | None = None, **sampling: Any) -> Request:
        """Return what all batches of samples share: checked section, plan, conditions, guide.

        Arguments:
            cond: What samples are asked to be.
            sampling: As in `sample`.
        """
        return Request.of(self, sampling, cond)

    def plan(self, **changes: Any) -> SampleConfig:
        """Return how samples are drawn: the configuration's `sample` section with changes (None: no change)."""
        how = section(self, changes)
        generating(self.process).plan(self, how)
        return how

    def states(
        self,
        space: Space,
        cond: Condition | None,
        seed: int,
        indices: Sequence[int],
        plan: SampleConfig,
    ) -> State:
        """Return sampled states on a space, before decoding.

        Arguments:
            space: Where they live.
            cond: Their conditions.
            seed: Of their noise.
            indices: Their numbers.
            plan: How they are drawn.
        """
        request = Request(self, plan, generating(self.process).plan(self, plan), {}, guide_of(self, plan))
        return request.states(space, cond, seed, indices)

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of pure noise, with conditions drawn as for samples: the floor of an evaluation."""
        space, cond = self.domain.blank(streams(seed, "blank", range(n)), {})
        return Samples(
            self.domain.decode(generating(self.process).prior(space, streams(seed, "sample", range(n))), space), cond
        )

    def parse_conditions(self, cond: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return conditions as the domain reads them: words, and arrays for the conditions that are sequences."""
        return parse_conditions(self.domain, cond)

    def conditions(self, cond: Mapping[str, Any], seed: int, indices: Sequence[int]) -> Condition:
        """Return the conditions of samples that are asked to be this; a name that is no condition is a `UserError`."""
        return conditions(self.domain, cond, seed, indices)

    def evaluations(self, how: SampleConfig) -> int | None:
        """Return how often sampling calls a network for a sample, None if that varies; guidance calls two."""
        return Request(self, how, generating(self.process).plan(self, how), {}, None).evaluations()

    def batch_size(self, plan: SampleConfig) -> int:
        """Return how many samples are computed at a time."""
        return self.efficient if plan.batch_size == "auto" else plan.batch_size

    @cached_property
    def efficient(self) -> int:
        """Samples that make one call of the network efficient on this device (`polydiff.model.batches`)."""
        generators = streams(0, "probe", range(PROBE))
        space, cond = self.domain.blank(generators, {})
        batch = Batch(generating(self.process).prior(space, generators), space, cond).to(self.device)
        return efficient(self.denoiser, batch, generating(self.process).evaluate)

    @cached_property
    def compiled(self) -> Any:
        """A compiled network with the same weights; by CUDA graphs where there is a GPU."""
        network = same_weights(self.denoiser)
        network.compile(**({"mode": "reduce-overhead"} if self.device.type == "cuda" else {}))
        return network


load = Model.load
"""Read a model from a run's folder or a checkpoint's; see `Model.load`."""
