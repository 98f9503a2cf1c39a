"""A trained model: a domain, a network, and the process that draws samples with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from polydiff.config.processes import process_of
from polydiff.contract.domain import Domain, Samples
from polydiff.contract.editing import Restores
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.tasks.task import Restoration
from polydiff.core.conditions import Condition
from polydiff.core.process.process import Process
from polydiff.core.process.sampling import generating
from polydiff.core.space import Batch, Space, State
from polydiff.core.streams import streams
from polydiff.machine.ranks import ranks
from polydiff.model.assemble import assemble, same_weights
from polydiff.model.batches import PROBE, efficient
from polydiff.model.calibration.use import with_fitted
from polydiff.model.origin import given_to
from polydiff.model.request import Request, guide_of
from polydiff.model.sample_section import section
from polydiff.model.user_conditions import conditions, parse_conditions
from polydiff.run.calibrations import Fitted
from polydiff.run.parents import Records
from polydiff.support.errors import check_type, check_whole
from polydiff.support.progress import showing
from polydiff.support.protocols import provides


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model that draws samples. `polydiff.load` returns one.

        model = polydiff.load("runs/image-001")
        samples = model.sample(16, seed=0, cond={"label": 7}, guidance=2.0)

    Arguments:
        config: The run's configuration.
        domain: The run's domain, with the statistics of its training data.
        denoiser: The network in the form that the process uses: for Gaussian diffusion, a `polydiff.Denoiser`.
        step: Number of optimizer steps of its training.
        weights: Which weights it has: "ema", the moving average; "ema 0.08", the average of that width; "model", the
            weights as trained.
        device: Device of the network.
        parents: Records of the runs that its configuration names (`polydiff.run.parents`).
        fitted: Samplers that were fitted to it (`polydiff.run.calibrations`).
    """

    config: Config
    domain: Domain
    denoiser: Any
    step: int = 0
    weights: str = "ema"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parents: Records = field(default_factory=dict)
    fitted: Sequence[Fitted] = ()

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.denoiser.parameters())
        kind = f"process {self.config.process}, {self.config.backbone.name} with {size:,} weights"
        return f"<model of the domain {self.config.domain}: {kind}, step {self.step}, {self.weights}, on {self.device}>"

    @classmethod
    def load(cls, path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Model:
        """Load a model from a run's folder (its newest checkpoint) or from the folder of one checkpoint.

        Arguments:
            path: RUN or RUN/checkpoints/step-00002000.
            weights: "ema", the moving average of the weights, or "model", the weights as trained.
            device: Device, such as "cpu" or "cuda:1"; None: cpu if the configuration has device=cpu, else a GPU if
                there is one.
            ema: Width sigma_rel of an average that is computed from the run's snapshots (`polydiff.run.snapshots`);
                None: the moving average that training kept.

        Raises:
            UserError: The path is neither a run nor a checkpoint, a file is damaged, a plugin is missing, or no
                average of this width can be computed.
        """
        return cls(*assemble(path, weights, device, ema))

    @cached_property
    def process(self) -> Process:
        """The process that the configuration names."""
        return process_of(self.config)

    @property
    def facts(self) -> dict[str, Any]:
        """Domain, step and kind of the weights, as in manifest.json."""
        return {"domain": self.config.domain, "step": self.step, "weights": self.weights}

    @property
    def restores(self) -> bool:
        """Whether the model was trained for a task with a true result, such as upsampling."""
        return provides(self.domain, Restores) and provides(self.domain.task, Restoration)

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
        progress: bool | None = None,
        **further: Any,
    ) -> Samples:
        """Draw n samples. Sample i is a function of the seed and i; the batch size changes it by rounding only.

        Processes that are joined (`polydiff.machine.ranks.joined`) all call it, share the work, and get all samples.

        Arguments:
            n: Number of samples.
            seed: Random seed.
            cond: Requested conditions as the domain writes them, such as {"pitch": "C4"}. Conditions that are not
                requested are drawn from their distribution in the training data.
            steps: Number of sampling steps. None, here and below: the value of the configuration's section `sample`.
            sampler: Name of the sampler.
            guidance: Guidance scale; 1: no guidance.
            batch_size: Samples in a batch, or "auto".
            progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
            further: Other keys of the section: guidance_method="apg", guide="runs/small", negative={"label": 3}, ...

        Returns:
            n decoded examples with their conditions.

        Raises:
            UserError: A condition, a sampler, an option or a value is unknown or out of range.
        """
        how = {"steps": steps, "sampler": sampler, "guidance": guidance, "batch_size": batch_size, **further}
        check_whole("n", n)
        with showing(progress):
            return self.request(cond, **how).joined(range(n), seed)

    def stream(
        self, n: int, *, first: int = 0, seed: int = 0, cond: Mapping[str, Any] | None = None, **sampling: Any
    ) -> Iterator[Samples]:
        """Yield the samples first, ..., first + n - 1 in order, about one batch at a time.

        Arguments:
            n: Number of samples.
            first: Number of the first sample.
            seed: Random seed.
            cond: Requested conditions, as in `sample`.
            sampling: Keys of the section `sample`, as in `sample`.

        Yields:
            Decoded examples with their conditions.
        """
        check_whole("n", n)
        check_whole("first", first, least=0)
        yield from self.request(cond, **sampling).samples(range(first, first + n), seed)

    def request(self, cond: Mapping[str, Any] | None = None, **sampling: Any) -> Request:
        """Return what all batches of samples share: section `sample`, plan, conditions and guide.

        Arguments:
            cond: Requested conditions, as in `sample`.
            sampling: Keys of the section `sample`, as in `sample`.
        """
        return Request.of(self, sampling, cond)

    def plan(self, **changes: Any) -> SampleConfig:
        """Return the configuration's section `sample` with changes (None: no change), after checking its plan."""
        how = with_fitted(self, section(self.config, changes))
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
        """Return sampled states (B, ...) on a space, before decoding.

        Arguments:
            space: Space of B states.
            cond: Their conditions (B, ...) by name, or None.
            seed: Random seed of their noise.
            indices: Numbers of the B samples.
            plan: Section `sample` for these samples.
        """
        request = Request(self, plan, generating(self.process).plan(self, plan), {}, guide_of(self, plan))
        return request.states(space, cond, seed, indices)

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of pure noise with conditions as of samples; an evaluation uses it as its floor."""
        space, cond = self.domain.blank(streams(seed, "blank", range(n)), {})
        x = generating(self.process).prior(space, streams(seed, "sample", range(n)))
        return Samples(self.domain.decode(x, space), cond, given_to(self))

    def parse_conditions(self, cond: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return requested conditions as the domain reads them: text, and arrays for conditions that are sequences."""
        return parse_conditions(self.domain, cond)

    def conditions(self, cond: Mapping[str, Any], seed: int, indices: Sequence[int]) -> Condition:
        """Return requested conditions as tensors (B, ...); raise UserError if a name is not a condition."""
        return conditions(self.domain, cond, seed, indices)

    def evaluations(self, how: SampleConfig) -> int | None:
        """Return the number of network calls per sample, None if it varies; guidance doubles it."""
        return Request(self, how, generating(self.process).plan(self, how), {}, None).evaluations()

    def batch_size(self, plan: SampleConfig) -> int:
        """Return the number of samples in a batch."""
        return self.efficient if plan.batch_size == "auto" else plan.batch_size

    @cached_property
    def efficient(self) -> int:
        """Most efficient number of samples for one call of the network on this device (`polydiff.model.batches`)."""
        generators = streams(0, "probe", range(PROBE))
        space, cond = self.domain.blank(generators, {})
        batch = Batch(generating(self.process).prior(space, generators), space, cond).to(self.device)
        return efficient(self.denoiser, batch, generating(self.process).evaluate)

    def agree_on_batches(self) -> None:
        """Use the first process's `efficient` in all that are joined, whose memory and threads may differ."""
        if (together := ranks()).world > 1:
            vars(self)["efficient"] = together.agree(self.efficient)

    @cached_property
    def compiled(self) -> Any:
        """Compiled network with the same weights; it uses CUDA graphs on a GPU."""
        network = same_weights(self.denoiser)
        network.compile(**({"mode": "reduce-overhead"} if self.device.type == "cuda" else {}))
        return network


def check_model(model: object, name: str = "model") -> None:
    """Raise UserError unless an argument is the model of one run; the message calls it `name`."""
    check_type(name, model, Model, "the model of one run, as polydiff.load(RUN) returns it")
