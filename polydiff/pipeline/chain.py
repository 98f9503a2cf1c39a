"""A pipeline that is ready to sample: the models of its stages, and which of them follows which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.following import Scores
from polydiff.core.process.sampling import Generates
from polydiff.model.model import Model, check_model
from polydiff.pipeline.conditions import shareable
from polydiff.pipeline.file import CHOICE, checked_sampling
from polydiff.pipeline.folder import PipelineFolder, check_existing, steps_of
from polydiff.pipeline.links import Outline, links
from polydiff.pipeline.request import ChainRequest, StageRequest
from polydiff.run.folder import is_pipeline
from polydiff.support.errors import UserError, as_mapping, as_path, check_whole, unknown
from polydiff.support.files import quoted
from polydiff.support.progress import showing
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, repr=False)
class Chain:
    """The stages of a pipeline, which draw samples one after another. `polydiff.load` returns one for a pipeline.

        chain = polydiff.load("runs/dalle2-001")
        samples = chain.sample(16, seed=0, cond={"text": "a red circle"}, stages={"up": {"steps": 8, "level": 0.2}})

    Arguments:
        stages: Name -> model of each stage that generates, in order.
        others: Name -> model of each other stage, such as an autoencoder.
        sampling: Name of a stage -> how it samples, keys of the section `sample` with level, keep and of.
    """

    stages: Mapping[str, Model]
    others: Mapping[str, Model] = field(default_factory=dict)
    sampling: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for where, models in (("stages", self.stages), ("others", self.others)):
            for name, model in as_mapping(where, models).items():
                check_model(model, f"{where}[{name!r}]")
        if not self.stages:
            raise UserError(f"No stage generates samples: {', '.join(self.others) or 'there is none'}.")
        for name in self.sampling:
            if name in self.others:
                raise UserError(f"Stage {name} generates no samples, so it takes no keys of sampling.")
        self.follows  # noqa: B018 - raises if the stages do not fit

    def __repr__(self) -> str:
        steps = ", ".join(f"{name} (step {model.step})" for name, model in self.stages.items())
        return f"<pipeline of the domain {self.facts['domain']}: {steps}>"

    @classmethod
    def load(cls, path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Chain:
        """Load the stages of a pipeline from its folder; arguments as of `Model.load`.

        Raises:
            UserError: A stage is not trained, was deleted or changed, or the stages do not fit.
        """
        return cls.of(PipelineFolder.open(path), weights, device, ema)

    @classmethod
    def of(
        cls, folder: PipelineFolder, weights: str = "ema", device: str | None = None, ema: float | None = None
    ) -> Chain:
        """Load the stages of an opened pipeline; arguments as of `Model.load`."""
        stages: dict[str, Model] = {}
        others: dict[str, Model] = {}
        for name, run in folder.runs.items():
            check_stage(folder, name, run)
            try:
                model = Model.load(run, weights, device, ema)
            except UserError as error:
                raise UserError(f"{folder.path}: stage {name}: {error}") from error
            (stages if provides(model.process, Generates) else others)[name] = model
        sampling = folder.pipeline.sample
        try:
            return cls(stages, others, {name: with_guide(how, folder.runs) for name, how in sampling.items()})
        except UserError as error:
            raise UserError(f"{folder.path}: {error}") from error

    @cached_property
    def follows(self) -> dict[str, str]:
        """Name of a stage -> the earlier stage whose examples it is conditioned on."""
        return links({name: Outline.of(model) for name, model in self.stages.items()})

    @property
    def last(self) -> Model:
        """Model of the last stage, which makes the samples."""
        return list(self.stages.values())[-1]

    @property
    def varied(self) -> Model:
        """The model that varies examples of the pipeline: the last stage, if it follows no other.

        A stage that follows another is conditioned on that one's examples, which an example to vary does not have.
        """
        name = list(self.stages)[-1]
        if name in self.follows:
            raise UserError(
                f"The last stage, {name}, follows {self.follows[name]}, so it cannot vary examples by itself. Vary "
                f"those of another stage, by the folder of its run: {', '.join(set(self.stages) - set(self.follows))}."
            )
        return self.last

    @property
    def domain(self) -> Domain:
        """Domain of the last stage, which judges, shows and saves the samples."""
        return self.last.domain

    @property
    def device(self) -> torch.device:
        """Device of the last stage."""
        return self.last.device

    @property
    def restores(self) -> bool:
        """False: a pipeline generates, though a stage of it may be trained to restore."""
        return False

    @property
    def facts(self) -> dict[str, Any]:
        """Domain, the last stage's step and weights, and the step of each stage, as in manifest.json."""
        every = {**self.others, **self.stages}
        return {**self.last.facts, "stages": {name: {"step": model.step} for name, model in every.items()}}

    def request(
        self,
        cond: Mapping[str, Any] | None = None,
        *,
        stages: Mapping[str, Mapping[str, Any]] | None = None,
        **sampling: Any,
    ) -> ChainRequest:
        """Return what all batches of samples share.

        Arguments:
            cond: Requested conditions; each goes to every stage that has it, and must be known to one.
            stages: Name of a stage -> its own keys of sampling, which override all others; None as a value: no change.
            sampling: Keys of the section `sample` for all stages; None as a value: no change.
        """
        own = {name: as_mapping(f"stages[{name!r}]", how) for name, how in as_mapping("stages", stages).items()}
        for name in own:
            if name not in self.stages:
                raise unknown("stage that generates", name, self.stages)
        own = {name: {key: value for key, value in how.items() if value is not None} for name, how in own.items()}
        wanted = self.by_stage(as_mapping("cond", cond))
        shared = {key: value for key, value in sampling.items() if value is not None}
        parts = [
            self.part(name, {**self.sampling.get(name, {}), **shared, **own.get(name, {})}, wanted[name])
            for name in self.stages
        ]
        return ChainRequest(self, tuple(parts), dict(cond or {}))

    def part(self, name: str, how: Mapping[str, Any], cond: Mapping[str, Any]) -> StageRequest:
        """Return how one stage draws.

        Arguments:
            name: Name of the stage.
            how: Keys of the section `sample` with level, keep and of.
            cond: Its requested conditions.
        """
        checked_sampling(how, f"Stage {name}")
        model, follows = self.stages[name], self.follows.get(name, "")
        level, of = how.get("level", 0.0), how.get("of", 1)
        if "level" in how and not follows:
            raise UserError(f"Stage {name} follows no other, so level={level} has no effect. Leave it out.")
        if of > 1 and not provides(model.domain, Scores):
            raise UserError(
                f"Stage {name}: of={of} keeps the draw with the highest score, but nothing scores its examples. That "
                "takes a stage in the codes of a contrastive pair (codec=PAIR)."
            )
        try:
            request = model.request(cond, **{key: value for key, value in how.items() if key not in CHOICE})
        except UserError as error:
            raise UserError(f"Stage {name}: {error}") from error
        return StageRequest(name, request, follows, float(level), of)

    def by_stage(self, cond: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the requested conditions of each stage; raise UserError for one that no stage has."""
        names = {stage: shareable(model.domain) | arrays(model.domain) for stage, model in self.stages.items()}
        every = set().union(*names.values())
        for name in cond:
            if name not in every:
                raise unknown("condition", name, every)
        return {stage: {name: value for name, value in cond.items() if name in has} for stage, has in names.items()}

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        cond: Mapping[str, Any] | None = None,
        stages: Mapping[str, Mapping[str, Any]] | None = None,
        progress: bool | None = None,
        **sampling: Any,
    ) -> Samples:
        """Draw n samples through all stages. Sample i is a function of the seed and i, as of `Model.sample`.

        Arguments:
            n: Number of samples.
            seed: Random seed.
            cond: Requested conditions, as in `request`.
            stages: Name of a stage -> its own keys of sampling, such as {"up": {"steps": 8, "level": 0.2}}.
            progress: Whether to show progress on stderr; None: on a terminal and in a notebook.
            sampling: Keys of the section `sample` for all stages.
        """
        check_whole("n", n)
        with showing(progress):
            return self.request(cond, stages=stages, **sampling).joined(range(n), seed)

    def stream(
        self, n: int, *, first: int = 0, seed: int = 0, cond: Mapping[str, Any] | None = None, **sampling: Any
    ) -> Iterator[Samples]:
        """Yield the samples first, ..., first + n - 1 in order, about one batch at a time; arguments as of `sample`."""
        check_whole("n", n)
        check_whole("first", first, least=0)
        yield from self.request(cond, **sampling).samples(range(first, first + n), seed)

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of the last stage's noise, the floor of an evaluation."""
        return self.last.noise(n, seed=seed)


def with_guide(how: Mapping[str, Any], runs: Mapping[str, Path]) -> Mapping[str, Any]:
    """Return how a stage samples with the folder of its guide, if the guide is the name of a stage."""
    return {**how, "guide": str(runs[how["guide"]])} if how.get("guide") in runs else how


def arrays(domain: Domain) -> set[str]:
    """Return the names of the conditions that users give as arrays."""
    from polydiff.contract.domain import conditions_of

    return {name for name, kind in conditions_of(domain).items() if kind.source == "array"}


def check_stage(folder: PipelineFolder, name: str, run: Path) -> None:
    """Raise UserError unless the run of a stage is there, trained to its end, and that which the file means."""
    if folder.pipeline.stages[name].run is not None:
        check_existing(folder, name)
        return
    done, planned = steps_of(run)
    if not done or done < planned:
        state = f"has done {done:,} of {planned:,} steps" if done else "is not trained yet"
        raise UserError(f"{folder.path}: stage {name} {state}. Train it with `polydiff resume {quoted(folder.path)}`.")


def load(path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Model | Chain:
    """Load a model from the folder of a run or of a checkpoint, or the stages of a pipeline from its folder.

    Arguments as of `polydiff.Model.load`.
    """
    return (Chain.load if is_pipeline(as_path("path", path)) else Model.load)(path, weights, device, ema)
