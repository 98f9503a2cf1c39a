"""Checks of the states of a domain, part by part, and of the kernels that diffuse the parts.

A state that is one tensor is one part, without a name in messages.

Symbols: B number of samples, R rows of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.config.processes import process_of
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.parts.letters import Letters
from polydiff.core.parts.product import WHOLE, as_parts, as_product, as_state, part_streams, unknown_in
from polydiff.core.process.sampling import Draw, Known
from polydiff.core.space import Batch, sqnorm
from polydiff.core.streams import streams
from polydiff.model.model import Model
from polydiff.parts.estimates import EstimatesByPart
from polydiff.parts.kernel import Kernel
from polydiff.support.protocols import provides
from polydiff.testing.parts.kernel import check_kernel
from polydiff.testing.space import close, hold
from polydiff.testing.subject import Subject

SAMPLES, STEPS = 16, 4
"""Numbers of samples, and of steps of a sampler, with which kernels are checked."""


class Part(NamedTuple):
    """A part of a batch of states.

    Attributes:
        name: Its name; `WHOLE`: the state is one tensor.
        x: States (R, ...).
        space: Where they live.
    """

    name: str
    x: Tensor
    space: Any

    @property
    def beside(self) -> str:
        """Words that name the part in a message; "" if it is the whole state."""
        return "" if self.name == WHOLE else f" (part {self.name})"


def parts_of(batch: Batch) -> list[Part]:
    """Return the parts of a batch, after a check that its states and its space have the same ones."""
    x, space = as_parts(batch.x), as_product(batch.space)
    hold(x.keys() == space.parts.keys(), f"States have the parts {sorted(x)}, their space has {sorted(space.parts)}.")
    found = [Part(name, x[name], own) for name, own in space.parts.items()]
    for part in found:
        hold(part.space.batch == space.batch, f"The space of {part.name} has {part.space.batch} samples.")
    return found


@contextmanager
def named(part: Part) -> Iterator[None]:
    """Add the name of a part to the message of a check that fails within."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}{part.beside}") from error


def check_on_space(part: Part, split: str) -> None:
    """Check that a part is finite and lies on its space."""
    hold(torch.isfinite(part.x).all(), f"A {split} batch is not finite{part.beside}.")
    gap, size = sqnorm(part.space, part.space.project(part.x) - part.x), sqnorm(part.space, part.x)
    near = close(gap, torch.zeros_like(gap), size)
    hold(near, f"States of the {split} split do not lie on their space{part.beside}.")


def check_alone(alone: Part, among: Part, sentence: str) -> None:
    """Check that the first sample of a batch is the one of a batch of its own.

    Arguments:
        alone: The sample by itself.
        among: The batch.
        sentence: What is wrong otherwise, without its full stop.
    """
    for power in (1, 2, 3):  # three sums that differ if two states differ, in every layout
        one, other = (part.space.sum(part.x**power)[0] for part in (alone, among))
        scale = among.space.sum(among.x.abs() ** power)[0]
        hold(close(one, other, scale), f"{sentence}{among.beside}.")


def check_kernels(subject: Subject) -> str:
    """Check the kernels of a process of parts: exact ends, independent samples, finite losses, known letters stay."""
    process, config = process_of(subject.config), subject.config
    if not isinstance(process, EstimatesByPart):
        return "the process has no kernels"
    batch = subject.take("train", range(min(SAMPLES, subject.domain.size("train"))))
    model = Model(config, subject.domain, process.network(config, subject.domain, torch.device("cpu")).eval())
    how = config.sample.model_copy(update={"steps": min(STEPS, config.sample.steps), "guidance": 1.0})
    check_each_kernel(process, model, how, batch)
    check_independence(subject, model.denoiser.kernels, batch)
    kept = check_known(process, model, how, batch)
    return f"{', '.join(type(kernel).__name__ for kernel in model.denoiser.kernels.values())}; {kept}"


def check_each_kernel(process: Any, model: Model, how: SampleConfig, batch: Batch) -> None:
    """Check the rules of `polydiff.parts.kernel.Kernel` with the states and outputs of this domain."""
    level = process.levels(model, 2)[0]
    noisy = batch._replace(x=process.noisy(model, batch, level, streams(0, "kernel", range(batch.space.batch))))
    with torch.no_grad():
        f = process.outputs(model, noisy, level).f
    sites = max(int(part.space.dim.max()) for part in parts_of(batch))
    rows = process.plan(model, how).grid.rows(sites)
    weightings = process.objective(model.config).weightings
    for part in parts_of(batch):
        name, x, space = part
        own = [row.rows[name] for row in rows if name in row.rows]
        with named(part):
            check_kernel(model.denoiser.kernels[name], space, x, own, f[name], weightings[name])


def check_independence(subject: Subject, kernels: Mapping[str, Kernel], batch: Batch) -> None:
    """Check that noise and the prior of a sample depend on its own generator alone, not on its batch."""
    first = subject.take("train", range(1))
    draws: dict[str, Callable[[Kernel, Part, Any], Tensor]] = {
        "The noise": lambda kernel, part, own: kernel.corrupt(part.x, half(kernel, part), part.space, own),
        "The prior": lambda kernel, part, own: kernel.prior(part.space, own),
    }
    for what, draw in draws.items():
        for alone, among in zip(parts_of(first), parts_of(batch), strict=True):
            one, other = (
                part._replace(x=draw(kernels[part.name], part, own_streams(kernels, part))) for part in (alone, among)
            )
            check_alone(one, other, f"{what} of a sample depends on the others of its batch")


def half(kernel: Kernel, part: Part) -> Tensor:
    """Return half of the highest level for each sample, (B,)."""
    return torch.full((part.space.batch,), kernel.top / 2, dtype=torch.float64)


def own_streams(kernels: Mapping[str, Kernel], part: Part) -> Any:
    """Return the random streams of a part, one a sample."""
    return part_streams(streams(0, "alone", range(part.space.batch)), kernels)[part.name]


def check_known(process: Any, model: Model, how: SampleConfig, batch: Batch) -> str:
    """Check that sampling keeps known letters, about half of those of each part, and fills all others."""
    masks = {part.name: known_half(part) for part in parts_of(batch) if has_letters(part)}
    if not masks:
        return "no letters that could be known"
    plan, n = process.inpainting(model, how, 1, 1), batch.space.batch
    made = as_parts(
        plan.run(
            Draw(space=batch.space, cond=batch.cond, seed=0, indices=range(n), known=Known(batch.x, as_state(masks)))
        )
    )
    for part in parts_of(batch):
        model.denoiser.kernels[part.name].check(made[part.name], part.space, f"The sample{part.beside}")
        if part.name in masks:
            changed = (made[part.name] != part.x) & masks[part.name]
            hold(not changed.any(), f"Sampling changes letters that are known{part.beside}.")
    return f"known letters of {', '.join(masks)} stay" if WHOLE not in masks else "known letters stay"


def has_letters(part: Part) -> bool:
    """Return whether all samples of a part have letters, some of which can be known while others are not."""
    return provides(part.space, Letters) and bool((part.space.dim > 1).all())


def known_half(part: Part) -> Tensor:
    """Return a mask of about half of the letters of each sample, never of all."""
    mask = part.space.uniforms(streams(0, "known", range(part.space.batch))) < 0.5
    open_somewhere = unknown_in(part.x, mask, part.space) > 0
    found: Tensor = mask & part.space.expand(open_somewhere)
    return found
