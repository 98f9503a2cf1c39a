"""One request of a trained model: everything that all of its batches share, made once.

A request holds the checked section `sample`, the plan of the process (its noise levels and what is done at each), the
conditions in words and a guide. Each batch then only draws its space and conditions and runs the plan.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from polydiff.contract.abilities import task_conditions
from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.following import SpaceUnderConditions
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.condition_batch import condition_to, same_conditions, withhold
from polydiff.core.conditions import Condition
from polydiff.core.process.sampling import Draw, Known, Observed, Plan, generating
from polydiff.core.space import Space, State, state_to
from polydiff.core.streams import streams
from polydiff.model.batches import WINDOW, Memory, Window, drawn_windows, windows
from polydiff.model.calibration.use import with_fitted
from polydiff.model.origin import digest, drawn
from polydiff.model.sample_section import section
from polydiff.model.user_conditions import conditions, parse_conditions
from polydiff.run.parents import open_parent
from polydiff.support.errors import UserError
from polydiff.support.progress import Counting
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.model.model import Model

Blank = tuple[Space, Condition | None]


@dataclass(frozen=True)
class Request:
    """What all batches of one call share.

    Arguments:
        model: What draws.
        how: How, the configuration's section `sample` with changes.
        plan: The process's plan, made of `how`.
        requested: Conditions as the domain reads them (`polydiff.model.user_conditions.parse_conditions`).
        guide: A worse model to guide away from; None: none.
        given: Conditions of samples `first` to `first` + N - 1, tensors (N, ...), in place of drawn ones; None: none.
        first: Number of the first sample with given conditions.
    """

    model: Model
    how: SampleConfig
    plan: Plan
    requested: Mapping[str, Any]
    guide: Model | None
    given: Condition | None = None
    first: int = 0

    @classmethod
    def of(
        cls,
        model: Model,
        sampling: Mapping[str, Any],
        cond: Mapping[str, Any] | None = None,
        plan: Callable[[SampleConfig], Plan] | None = None,
    ) -> Request:
        """Return a request; what does not work, such as an unknown sampler, is a `UserError`.

        Arguments:
            model: What draws.
            sampling: Changes of the section `sample`; None as a value: no change.
            cond: Conditions, in the domain's words.
            plan: Makes the plan; None: that of new samples.
        """
        how = with_fitted(model, section(model.config, sampling))
        made = generating(model.process).plan(model, how) if plan is None else plan(how)
        warn_of_untrained_guidance(model, how)
        return cls(model, how, made, parse_conditions(model.domain, cond), guide_of(model, how))

    @property
    def batch_size(self) -> int:
        """Samples computed at a time."""
        return self.model.batch_size(self.how)

    def with_batch_size(self, batch_size: int) -> Request:
        """Return the same request, computed this many samples at a time."""
        return replace(self, how=self.how.model_copy(update={"batch_size": batch_size}))

    def under(self, given: Condition | None, first: int = 0) -> Request:
        """Return the same request for samples `first` to `first` + N - 1 with these conditions, tensors (N, ...)."""
        return replace(self, given=given, first=first)

    def section(self) -> dict[str, Any]:
        """Return how samples are drawn, the section `sample`, as JSON."""
        return self.how.model_dump(mode="json")

    def digests(self) -> dict[str, Any]:
        """Return digests of the weights of the model, and of a guide."""
        guide = {"guide_digest": digest(self.guide.denoiser)} if self.guide else {}
        return {"weights_digest": digest(self.model.denoiser), **guide}

    def evaluations(self) -> int | None:
        """Return how often a network is called for a sample, None if that varies; guidance calls two."""
        return self.plan.evaluations(bool(self.model.domain.conditions or self.how.guide or self.how.negative))

    def samples(self, indices: range, seed: int) -> Iterator[Samples]:
        """Yield samples in order. If their sizes differ, batches are of like sizes, within windows of many.

        Within `polydiff.machine.ranks.joined`, all processes call this, batches are dealt out to them, and each yields
        all samples.
        """
        self.model.agree_on_batches()
        size = self.batch_size
        memory = Memory(size)
        origin = drawn(self.model, self.how, seed, self.requested)
        planned = (self.window(part, seed, size, memory, indices.stop) for part in windows(indices, WINDOW * size))
        yield from (replace(samples, origin=origin) for samples in drawn_windows(planned))

    def joined(self, indices: range, seed: int) -> Samples:
        """Return samples, and show the progress of drawing them."""
        parts: list[Samples] = []
        with Counting("samples drawn", len(indices)) as show:
            for part in self.samples(indices, seed):
                parts.append(part)
                show(sum(map(len, parts)))
        return Samples.join(parts)

    def at(self, numbers: Sequence[int], seed: int) -> Samples:
        """Return the samples of any numbers, in their order, as `samples` draws them."""
        size = self.batch_size
        memory, last = Memory(size), max(numbers) + 1
        parts = (numbers[first : first + WINDOW * size] for first in range(0, len(numbers), WINDOW * size))
        return Samples.join(list(drawn_windows(self.window(part, seed, size, memory, last) for part in parts)))

    def window(self, window: Sequence[int], seed: int, size: int, memory: Memory, stop: int) -> Window:
        """Return one window, planned.

        Arguments:
            window: Numbers of the samples.
            seed: Random seed.
            size: Samples in a batch; each batch is the work of one process.
            memory: Computes a batch, in smaller ones if memory does not suffice.
            stop: Number after the request's last sample.
        """
        whole = self.blank(window, seed)
        sizes = whole[0].dim

        def compute(numbers: Sequence[int]) -> Samples:
            space, cond = whole if list(numbers) == list(window) else self.blank(numbers, seed)
            full = len(numbers) == min(memory.most, stop)  # a last, smaller batch is not worth compiling for
            x = self.states(space, cond, seed, numbers, compile=self.how.compile and full)
            return Samples(self.model.domain.decode(state_to(x, "cpu"), space), cond)

        even = bool((sizes == sizes[0]).all())
        order = sizes.argsort(stable=True)
        numbers = window if even else [window[i] for i in order.tolist()]
        batches = [numbers[first : first + size] for first in range(0, len(numbers), size)]
        return Window(batches, partial(memory, compute=compute), None if even else order.argsort().tolist())

    def blank(self, numbers: Sequence[int], seed: int) -> Blank:
        """Return the space and the conditions of samples, which follow from the seed and each sample's number."""
        domain = self.model.domain
        space, cond = domain.blank(streams(seed, "blank", numbers), self.requested)
        if not self.given:
            return space, cond
        places = [number - self.first for number in numbers]
        cond = {**(cond or {}), **{name: value[places] for name, value in self.given.items()}}
        return domain.space_under(space, cond) if provides(domain, SpaceUnderConditions) else space, cond

    def states(
        self,
        space: Space,
        cond: Condition | None,
        seed: int,
        indices: Sequence[int],
        *,
        compile: bool | None = None,
        init: State | None = None,
        known: Known | None = None,
        observed: Observed | None = None,
    ) -> State:
        """Return the sampled states of one batch, before decoding; arguments as in `draw`."""
        draw = self.draw(space, cond, seed, indices, compile=compile, init=init, known=known, observed=observed)
        return self.plan.run(draw, self.guide)

    def draw(
        self,
        space: Space,
        cond: Condition | None,
        seed: int,
        indices: Sequence[int],
        *,
        compile: bool | None = None,
        init: State | None = None,
        known: Known | None = None,
        observed: Observed | None = None,
    ) -> Draw:
        """Return one batch for the plan to draw, on the model's device.

        Arguments:
            space: Where they live.
            cond: Their conditions.
            seed: Of their noise.
            indices: Their numbers.
            compile: Whether the compiled network computes them; None: as in the section.
            init: Clean states to begin from, if the plan is for that.
            known: The part of the states that is known, if the plan is for that.
            observed: A measurement of the states, if the plan is for that.
        """
        model, device = self.model, self.model.device
        cond = condition_to(cond, device)
        guided, weak = self.guidance(cond, seed, indices)
        return Draw(
            space=space.to(device),
            cond=cond,
            seed=seed,
            indices=indices,
            guided=guided,
            weak=weak,
            joined=guided and self.guide is None and 2 * len(indices) <= model.efficient,
            compile=self.how.compile if compile is None else compile,
            init=None if init is None else state_to(init, device),
            known=None if known is None else Known(*(state_to(part, device) for part in known)),
            observed=None
            if observed is None
            else Observed(observed.measurement.to(device), observed.y.to(device), observed.noise),
        )

    def guidance(self, cond: Condition | None, seed: int, indices: Sequence[int]) -> tuple[bool, Condition | None]:
        """Return whether the weak estimate differs from the strong one, and the conditions of the weak one."""
        if self.how.guidance == 1:
            return False, None
        weak = condition_to(self.weak(cond, seed, indices), self.model.device)
        return self.guide is not None or not same_conditions(cond, weak), weak

    def weak(self, cond: Condition | None, seed: int, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of guidance's weak estimate: those to guide away from, the others withheld.

        Conditions of the task (a known part, a recording, a mel spectrogram) stay in both estimates. None if there are
        no conditions, or if a guide estimates under the same ones.
        """
        unwanted = self.unwanted(seed, indices)
        if cond is None or self.how.guide is not None:
            return unwanted
        away = unwanted or withhold(cond, cond.keys())
        return {**away, **{name: value for name, value in cond.items() if name in task_conditions(self.model.domain)}}

    def unwanted(self, seed: int, indices: Sequence[int]) -> Condition | None:
        """Return the conditions to guide away from, those that `how` does not name withheld; None: none named."""
        negative = self.how.negative
        if not negative:
            return None
        named = conditions(self.model.domain, negative, seed, indices)
        return withhold(named, named.keys() - negative.keys())


def warn_of_untrained_guidance(model: Model, how: SampleConfig) -> None:
    """Warn if guidance compares two estimates of which training taught the network one only."""
    dropout = model.config.train.condition_dropout
    withheld = model.domain.conditions.keys() - task_conditions(model.domain) - how.negative.keys()
    if how.guidance == 1 or how.guide is not None or not withheld or 0 < dropout < 1:
        return
    never = "without conditions" if dropout == 0 else "with conditions"
    warnings.warn(
        f"guidance={how.guidance:g} compares estimates with and without {', '.join(sorted(withheld))}, but this "
        f"network was trained with train.condition_dropout={dropout:g}, so never {never}. "
        "Set sample.guidance=1, or train with train.condition_dropout=0.1.",
        stacklevel=2,
    )


def guide_of(model: Model, how: SampleConfig) -> Model | None:
    """Return the worse model that a section `sample` names; one of other data is a `UserError`."""
    if how.guide is None:
        return None
    parent = open_parent("sample.guide", how.guide)
    parent.check_domain(model.config.domain)
    parent.check_same_data(model.domain.statistics)
    parent.warn_if_changed(model.parents)
    other = type(model).load(parent.checkpoint, device=str(model.device))
    if other.config.process != model.config.process:
        raise UserError(f"{parent} has process={other.config.process}, this model {model.config.process}.")
    theirs, ours = (conditions_of(each.domain) for each in (other, model))
    if theirs != ours:
        raise UserError(f"{parent} was trained on other data: it has the conditions {theirs}, this model {ours}.")
    its, own = (each.config.backbone.self_condition for each in (other, model))
    if its != own:
        raise UserError(f"{parent} has backbone.self_condition={its}, this model {own}: they must agree.")
    return other
