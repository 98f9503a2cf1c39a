"""A trained model: a domain, a denoiser and the way from noise to samples."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from polydiff.abilities import TellsTogether, told_names
from polydiff.batching import PROBE, WINDOW, Memory, efficient, windows
from polydiff.building import average, build_denoiser, load_weights, open_checkpoint, pick_device
from polydiff.checks import check_guided, check_sampling, try_guidance, try_plan
from polydiff.condition_batch import withhold
from polydiff.conditions import Conditions, as_words
from polydiff.config import Config, SampleConfig
from polydiff.denoise import Denoise, Denoiser
from polydiff.domain import Domain, Samples, conditions_of
from polydiff.ema import WIDEST
from polydiff.errors import UserError, check_whole
from polydiff.guidance import Guided, calls
from polydiff.objective.shortcut import Shortcut, Stepping
from polydiff.plugins import build_domain
from polydiff.random import streams
from polydiff.sampling import Row, Step, evaluations, sample, sound, trajectory, where
from polydiff.self_conditioning import SelfConditioned
from polydiff.settings import checked, config_from
from polydiff.space import Batch, Condition, Space, State, condition_to, same_conditions

Result = TypeVar("Result")


@dataclass(frozen=True)
class Model:
    """What `polydiff.load` returns.

    Arguments:
        config: The run's configuration.
        domain: Its domain, with the statistics of its training data.
        denoiser: Its network.
        step: Optimizer steps that it was trained for.
        weights: "ema", the moving average, "ema 0.08", one of that width, or "model", the weights as trained.
    """

    config: Config
    domain: Domain
    denoiser: Denoiser
    step: int = 0
    weights: str = "ema"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def load(cls, path: Path | str, weights: str = "ema", device: str | None = None, ema: float | None = None) -> Model:
        """Read a model from a run's folder (its newest checkpoint) or from one checkpoint's folder.

        Arguments:
            path: RUN or RUN/checkpoints/step-00002000.
            weights: "ema" or "model".
            device: Where to compute; None: on a GPU where there is one, unless the configuration says cpu.
            ema: Width of the average, made from the run's snapshots (`polydiff.ema`); None: the average of training.
        """
        if weights not in ("ema", "model"):
            raise UserError(f"weights must be 'ema' or 'model', not {weights!r}.")
        if ema is not None and weights != "ema":
            raise UserError(f"ema={ema:g} asks for an average, weights={weights!r} for none. Say one of them.")
        if ema is not None and not 0 < ema < WIDEST:
            raise UserError(f"ema={ema:g} should be the width of an average, between 0 and {WIDEST:.3f}.")
        checkpoint = open_checkpoint(path)
        config = config_from(checkpoint.state["config"], str(path))
        domain = build_domain(config, statistics=checkpoint.state["statistics"])
        place = pick_device(device or (config.device if config.device == "cpu" else "auto"))
        denoiser = build_denoiser(config, domain, place)
        load_weights(denoiser, checkpoint.ema if weights == "ema" else checkpoint.model)
        if ema is not None:
            load_weights(denoiser, {**denoiser.state_dict(), **average(path, checkpoint, ema)})
            weights = f"ema {ema:g}"
        return cls(config, domain, denoiser.eval(), checkpoint.step, weights, place)

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
        plan, asked = self.plan(**sampling), self.asked(cond)
        return self.draw(range(first, first + n), seed, asked, plan, self.guide(plan))

    def draw(
        self, indices: range, seed: int, asked: Mapping[str, Any], plan: SampleConfig, guide: Model | None
    ) -> Iterator[Samples]:
        """Yield samples in order. Where their sizes differ, batches are of like sizes, within windows of many."""

        def compute(numbers: Sequence[int]) -> Samples:
            space, given = self.domain.blank(streams(seed, "blank", numbers), asked)
            whole = len(numbers) == min(memory.most, indices.stop)  # a last, smaller batch is not worth compiling for
            how = plan if whole else plan.model_copy(update={"compile": False})
            x = self.states(space, given, seed, numbers, how, guide)
            return Samples(self.domain.decode(x.cpu(), space), given)

        memory = Memory(self.batch_size(plan))
        for window in windows(indices, WINDOW * memory.most):
            sizes = self.domain.blank(streams(seed, "blank", window), asked)[0].dim
            if (sizes == sizes[0]).all():
                yield from memory(window, compute)
            else:
                order = sizes.argsort(stable=True)
                drawn = Samples.join(list(memory([window[i] for i in order.tolist()], compute)))
                yield drawn.take(order.argsort().tolist())

    def batch_size(self, plan: SampleConfig) -> int:
        """Return how many samples are computed at a time."""
        return self.efficient if plan.batch_size == "auto" else plan.batch_size

    @cached_property
    def efficient(self) -> int:
        """Samples that make one call of the network efficient on this device (`polydiff.batching`)."""
        generators = streams(0, "probe", range(PROBE))
        space, cond = self.domain.blank(generators, {})
        return efficient(self.denoiser, Batch(space.noise(generators), space, cond).to(self.device))

    def states(
        self,
        space: Space,
        cond: Condition | None,
        seed: int,
        indices: Sequence[int],
        plan: SampleConfig,
        guide: Model | None = None,
        **begin: Any,
    ) -> State:
        """Return sampled states on a space, before decoding.

        Arguments:
            space: Where they live.
            cond: Their conditions.
            seed: Of their noise.
            indices: Their numbers.
            plan: How they are drawn.
            guide: A worse model (`guide`).
            begin: init and start of `polydiff.sample`.
        """
        space, cond = space.to(self.device), condition_to(cond, self.device)
        rows = self.rows(plan, begin.get("start"))
        keys = ("steps", "sampler", "spacing", "spacing_options")
        how = {**{key: getattr(plan, key) for key in keys}, **begin, **plan.options}

        def run(method: Callable[..., Result]) -> Result:
            denoise = self.asked_of(plan, rows, cond, seed, indices, guide)
            return method(denoise, space, cond, generators=streams(seed, "sample", indices, self.device), **how)

        with torch.autocast(self.device.type, enabled=False):  # around all steps, so that weights are cast to bf16 once
            return self.finite(run(sample), plan, space, indices, lambda: run(trajectory))

    def finite(
        self,
        x: State,
        plan: SampleConfig,
        space: Space,
        indices: Sequence[int],
        again: Callable[[], Iterable[Step]] | None = None,
    ) -> State:
        """Return states; what is not finite, or absurdly far out, is an error, never an example.

        Nothing is looked at on the way while all is well. A run that breaks is made once more, which gives the same
        bits, and then each state is looked at.

        Arguments:
            x: States that a sampler made.
            plan: How.
            space: Where they live.
            indices: Numbers of the samples.
            again: Makes them once more, step by step; None: it cannot be told where it broke.
        """
        data = self.denoiser.sigma_data
        if sound(x, 0.0, data):
            return x
        what = "explode" if torch.isfinite(x).all() else "are not finite"
        message = (
            f"Samples of step {self.step} {what} (sampler {plan.sampler}, {plan.steps} steps, guidance "
            f"{plan.guidance:g}){'' if again is None else where(again(), space, indices, self.denoiser)}. "
        )
        raise UserError(message + "Use more steps, less guidance, or the sampler ddim.")

    def noise(self, n: int, *, seed: int = 0) -> Samples:
        """Return n decoded draws of pure noise, with conditions drawn as for samples: the floor of an evaluation."""
        space, cond = self.domain.blank(streams(seed, "blank", range(n)), {})
        return Samples(self.domain.decode(space.noise(streams(seed, "sample", range(n))), space), cond)

    def guided(
        self,
        plan: SampleConfig,
        rows: Sequence[Row] | None = None,
        guide: Model | None = None,
        negative: Condition | None = None,
        batch: int | None = None,
    ) -> Denoise:
        """Return the denoiser in the precision of sampling, guided where the scale is not 1; it serves one run.

        Arguments:
            plan: How samples are drawn.
            rows: The sampler's plan; None: the whole one.
            guide: A worse model (`guide`).
            negative: Conditions of the weak estimate (`weak`).
            batch: Samples computed at a time. Where twice as many make no call too large, one call of the network
                computes both estimates of guidance; None: two calls.
        """
        rows = self.rows(plan) if rows is None else rows
        if plan.sampler == "shortcut" and not self.config.backbone.step_size:
            raise UserError("The sampler shortcut needs a run with loss.objective=shortcut. Use ddim or dpmpp_2m here.")
        denoiser = self.stepping(plan, rows)
        if plan.guidance != 1:
            method = try_guidance(plan, rows, self.denoiser.schedule)
            weak = guide.stepping(plan, rows) if guide else None
            joined = batch is not None and weak is None and 2 * batch <= self.efficient
            denoiser = Guided(denoiser, method, weak, negative, plan.guidance_interval, joined)
        return SelfConditioned(denoiser) if self.config.backbone.self_condition else denoiser

    def guide(self, plan: SampleConfig) -> Model | None:
        """Return the worse model that a plan names; one of other data is a `UserError`."""
        if plan.guide is None:
            return None
        other = Model.load(plan.guide, device=str(self.device))
        if same_data(other) != same_data(self):
            raise UserError(f"The guide {plan.guide} was trained on other data: its states mean something else.")
        if other.config.backbone.self_condition != self.config.backbone.self_condition:
            raise UserError(f"The guide {plan.guide} and this model differ in backbone.self_condition, and must not.")
        return other

    def unwanted(self, plan: SampleConfig, seed: int, indices: Sequence[int]) -> Condition | None:
        """Return the conditions to guide away from, those that the plan does not name withheld; None: none named."""
        if not plan.negative:
            return None
        named = self.conditions(plan.negative, seed, indices)
        return withhold(named, named.keys() - plan.negative.keys())

    def asked_of(
        self,
        plan: SampleConfig,
        rows: Sequence[Row],
        cond: Condition | None,
        seed: int,
        indices: Sequence[int],
        guide: Model | None = None,
    ) -> Denoise:
        """Return the denoiser (`guided`) for samples of these conditions; where nothing is asked for, not guided."""
        weak = self.weak(plan, cond, seed, indices)
        if guide is None and same_conditions(cond, weak):
            plan = plan.model_copy(update={"guidance": 1.0})
        return self.guided(plan, rows, guide, condition_to(weak, self.device), len(indices))

    def weak(self, plan: SampleConfig, cond: Condition | None, seed: int, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of guidance's weak estimate: those to guide away from, the others withheld.

        What the task tells (a known part, a recording, a mel spectrogram) is no wish but what is known, and stays in
        both estimates. None where there are no conditions, or a guide is asked under the same ones.
        """
        unwanted = self.unwanted(plan, seed, indices)
        if cond is None or plan.guide is not None:
            return unwanted
        away = unwanted or withhold(cond, cond.keys())
        return {**away, **{name: value for name, value in cond.items() if name in told_names(self.domain)}}

    def asked(self, cond: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return conditions as the domain reads them: words, and arrays for the conditions that are sequences."""
        if cond is not None and not isinstance(cond, Mapping):
            raise UserError(f"Conditions are names with values, such as {{'label': 7}}, not {cond!r}.")
        for name in (cond or {}).keys() & told_names(self.domain) & self.domain.conditions.keys():
            raise UserError(
                f"{name} is what this model's task tells of a file or a held-out example, by the verbs inpaint, "
                "upsample and vocode, and in Python by polydiff.inpaint and polydiff.restoring.restore."
            )
        return as_words(cond or {}, conditions_of(self.domain))

    def conditions(self, cond: Mapping[str, Any], seed: int, indices: Sequence[int]) -> Condition:
        """Return the conditions of samples that are asked to be this; a name that is no condition is a `UserError`."""
        words = self.asked(cond)
        named = self.domain.blank(streams(seed, "blank", indices), words)[1] or {}
        for name in words:
            if name not in named:
                raise UserError(
                    f"{name}={words[name]}: this says the size of samples, for which new ones can be asked (cond). It "
                    "can be neither changed in a given example nor avoided."
                )
        group = self.domain.together if isinstance(self.domain, TellsTogether) else ()
        if words.keys() & set(group) and (lacking := [name for name in group if name not in words]):
            raise UserError(
                f"{', '.join(group)} are told all together, and none is drawn of what is given or avoided. Say "
                f"{', '.join(f'{name}=N' for name in lacking)} as well."
            )
        return named

    def stepping(self, plan: SampleConfig, rows: Sequence[Row]) -> Denoise:
        """Return the denoiser in the precision of sampling; by the sampler shortcut it is told each step, if it can be.

        A guide need not be a shortcut model to be worse than one.
        """
        network = copy.copy(self.compiled if plan.compile else self.denoiser)  # the same weights
        network.precision = plan.precision
        if plan.sampler != "shortcut" or not self.config.backbone.step_size:
            return network
        return Stepping(network, rows, int(self.config.loss.objective_options.get("finest", Shortcut.finest)))

    @cached_property
    def compiled(self) -> Denoiser:
        """The denoiser with a network of the same weights that is compiled; by CUDA graphs where there is a GPU."""
        network = copy.copy(self.denoiser)
        network._modules = {**network._modules, "backbone": copy.copy(self.denoiser.backbone)}
        network.compile(**({"mode": "reduce-overhead"} if self.device.type == "cuda" else {}))
        return network

    def plan(self, **changes: Any) -> SampleConfig:
        """Return how samples are drawn: the configuration's `sample` section with changes (None: no change)."""
        section = self.config.sample
        given = {name: value for name, value in changes.items() if value is not None}
        values = section.model_dump()
        for name, fresh in (("sampler", {"options": {}, "spacing": None}), ("spacing", {"spacing_options": {}})):
            if given.get(name, values[name]) != values[name]:
                given = fresh | given  # what suited another method means nothing to this one
        if given.get("guidance_method", section.guidance_method) != section.guidance_method:
            given.setdefault("guidance_options", {})
        if given.get("guidance") == 1:
            values |= {"guide": None, "negative": {}}  # they were for the scale that was configured
        how = checked(SampleConfig, values | given)
        check_sampling(self.config, how)
        check_guided(how, given)
        rows = self.rows(how)
        if how.guidance != 1:
            try_guidance(how, rows, self.denoiser.schedule)
        return how

    def rows(self, how: SampleConfig, start: float | None = None) -> list[Row]:
        """Return the sampler's plan, from a noise level on or from the highest."""
        return try_plan(how, self.denoiser.schedule, sigma_data=self.denoiser.sigma_data, start=start)

    def evaluations(self, how: SampleConfig) -> int | None:
        """Return how often sampling calls a network for a sample, None if that varies; guidance calls two."""
        rows = self.rows(how)
        plain = evaluations(rows)
        if plain is None or how.guidance == 1 or not (self.domain.conditions or how.guide or how.negative):
            return plain
        method = try_guidance(how, rows, self.denoiser.schedule)
        return sum(calls(method, how.guidance_interval, row.at) for row in rows if row.at is not None)


def same_data(model: Model) -> tuple[str, str, Conditions]:
    """Return what two models must share for their states to mean the same."""
    return model.config.domain, json.dumps(dict(model.domain.statistics)), conditions_of(model.domain)


load = Model.load
"""Read a model from a run's folder or a checkpoint's; see `Model.load`."""
