"""Checks of a domain, with a handful of examples, two training steps and a subprocess.

To add a check, write a function of a `Subject` that raises AssertionError or returns what it found, and enter it in
`CHECKS`. `output` holds the checks of what a domain does with samples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from polydiff.config.merge import resolve
from polydiff.contract.abilities import HasUnits
from polydiff.contract.domain import Domain, conditions_of
from polydiff.contract.editing import HasMeasurements
from polydiff.contract.sections.run import Config
from polydiff.core.conditions import Condition
from polydiff.core.parts.letters import PAD, Letters
from polydiff.core.parts.manifolds import Manifold
from polydiff.core.parts.product import WHOLE, as_parts
from polydiff.core.space import Batch, Measurement, sqnorm
from polydiff.core.streams import streams
from polydiff.parts.geodesic import OUTSIDE
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.testing.backbone import check_backbone
from polydiff.testing.findings import Check, attempt
from polydiff.testing.output import check_decode, check_judges, check_save, check_show
from polydiff.testing.parts.manifold import check_manifold
from polydiff.testing.parts.state import Part, check_alone, check_kernels, check_on_space, named, parts_of
from polydiff.testing.space import check_space, hold
from polydiff.testing.spec import check_spec
from polydiff.testing.subject import Subject
from polydiff.training.data import batches
from polydiff.training.loop import fit
from polydiff.training.steps import begin

ADJOINT = 1e-5
"""Largest difference of <A x, y> and <x, A* y>, relative to |A x| |y|."""


def check_domain(domain: str | Config, examples: int = 16) -> list[Check]:
    """Check all rules for `polydiff.contract.domain.Domain` and return the outcomes.

    If the spec or the construction of the domain fails, the checks after it are left out.

    Arguments:
        domain: A configuration, or the name of an installed domain for its default configuration.
        examples: Number of examples to judge, show and save.
    """
    name = domain if isinstance(domain, str) else domain.domain
    found = [attempt("spec", lambda: check_spec(name))]
    if not found[0].passed:
        return found
    config = resolve(domain).config if isinstance(domain, str) else domain
    subject = Subject(config, examples)
    found.append(attempt("construction", lambda: check_construction(subject)))
    if found[-1].passed:
        found += [attempt(check_name, lambda check=check: check(subject)) for check_name, check in CHECKS.items()]  # type: ignore[misc]
    return found


def check_construction(subject: Subject) -> str:
    """Check that the domain can be built and that both splits have examples."""
    domain = subject.domain
    sizes = {split: domain.size(split) for split in ("train", "test")}
    for split, size in sizes.items():
        hold(isinstance(size, int) and size > 0, f"size({split!r}) is {size!r}.")
    return f"{sizes['train']} training and {sizes['test']} test examples"


def check_batches(subject: Subject) -> str:
    """Check that states are finite, lie on their space, and depend only on the example's index and generator."""
    for split in ("train", "test"):
        indices = range(min(subject.n, subject.domain.size(split)))
        batch = subject.take(split, indices)
        n = batch.space.batch
        hold(n == len(indices), f"A batch of {len(indices)} examples has a space of {n}.")
        check_conditions(subject.domain, batch.cond, len(indices))
        again, first = subject.take(split, indices), subject.take(split, indices[:1])
        for part, other, alone in zip(parts_of(batch), parts_of(again), parts_of(first), strict=True):
            check_on_space(part, split)
            same = torch.equal(part.x, other.x)
            hold(same, f"The same {split} examples and generators give different states{part.beside}.")
            check_alone(alone, part, f"A {split} example depends on the others of its batch")
    return f"states {', '.join(str(tuple(part.x.shape)) for part in parts_of(subject.batch))}"


def check_conditions(domain: Domain, cond: Condition | None, n: int) -> None:
    """Check that a batch has the conditions that the domain declares, each of its kind, and perhaps internal ones."""
    kinds = conditions_of(domain)
    cond = {name: value for name, value in (cond or {}).items() if not name.startswith("_")}
    hold(
        cond.keys() == kinds.keys(), f"A batch has the conditions {sorted(cond)}, the domain declares {sorted(kinds)}."
    )
    for name, kind in kinds.items():
        mismatch = kind.mismatch(cond[name], n)
        hold(mismatch is None, f"Condition {name} {mismatch}.")


def check_variance(subject: Subject) -> str:
    """Check that states have root mean square sigma_data per dimension, within a factor of 2; or letters or points."""
    batch = subject.take("train", range(min(256, subject.domain.size("train"))))
    expected = float(getattr(subject.domain, "sigma_data", 1.0))
    return ", ".join(check_scale(part, expected) for part in parts_of(batch))


def check_scale(part: Part, expected: float) -> str:
    """Check that a part has about the expected root mean square per dimension; or holds letters or points."""
    _, x, space = part
    if provides(space, Letters):
        hold(x.dtype == torch.int64, f"Letters are {x.dtype}, not int64{part.beside}.")
        inside = ((x < space.letters) & (x >= PAD)).all()
        hold(inside, f"States hold letters outside of 0 to {space.letters - 1}{part.beside}.")
        return f"{len(x[x > PAD].unique())} of {space.letters} letters"
    if provides(space, Manifold):
        off = float(space.off(x).max())
        hold(off <= OUTSIDE, f"States are off the manifold by up to {off:.3g}{part.beside}.")
        return f"points of a {space.kind}"
    rms = math.sqrt(float(sqnorm(space, x).sum() / space.dim.sum()))
    hold(
        0.5 <= rms / expected <= 2,
        f"The states' root mean square is {rms:.3f}{part.beside}; it must be near sigma_data = {expected:g}.",
    )
    return f"root mean square {rms:.3f}"


def check_blank(subject: Subject) -> str:
    """Check that the size and conditions of a new sample depend only on its generator and on what is requested."""
    domain, n = subject.domain, max(subject.n // 2, 2)
    space, cond = domain.blank(streams(0, "blank", range(n)), {})
    again, cond_again = domain.blank(streams(0, "blank", range(n)), {})
    hold(torch.equal(space.dim, again.dim), "The same generators give samples of different sizes.")
    check_conditions(domain, cond, n)
    last, cond_last = domain.blank(streams(0, "blank", range(1, n)), {})
    hold(torch.equal(space.dim[1:], last.dim), "A sample's size depends on the other samples of its batch.")
    for name in cond or {}:
        values = [c[name] for c in (cond, cond_again, cond_last) if c is not None]
        hold(torch.equal(values[0].nan_to_num(), values[1].nan_to_num()), f"Condition {name} is not repeatable.")
        equal = torch.equal(values[0][1:].nan_to_num(), values[2].nan_to_num())
        hold(equal, f"A sample's condition {name} depends on the other samples of its batch.")
    try:
        domain.blank(streams(0, "blank", range(1)), {"no such condition": "1"})
    except UserError:
        return f"sizes of {int(space.dim.min())} to {int(space.dim.max())} dimensions"
    raise AssertionError("An unknown condition does not raise a UserError.")


def check_statistics(subject: Subject) -> str:
    """Check that a domain built with saved statistics encodes as the domain that measured them."""
    saved: Mapping[str, Any] = json.loads(json.dumps(dict(subject.domain.statistics), allow_nan=False))
    twin = open_domain(subject.config, statistics=saved)
    hold(
        json.loads(json.dumps(dict(twin.statistics))) == saved,
        "A domain built with saved statistics has other statistics.",
    )
    indices = range(len(subject.batch.space.dim))
    encoded = twin.batch("train", indices, streams(0, "augment", indices))
    for ours, theirs in zip(parts_of(subject.batch), parts_of(encoded), strict=True):
        same = torch.equal(ours.x, theirs.x)
        hold(same, f"A domain built with saved statistics encodes differently{ours.beside}.")
    return ", ".join(saved) or "none"


def check_training(subject: Subject) -> str:
    """Check that two steps of training give finite losses."""
    config, size = subject.config, min(4, subject.domain.size("train"))
    training = begin(config, subject.domain)
    source = batches(subject.domain, size, config.seed, config.train.condition_dropout)
    losses = [r.loss for r in fit(training, source, steps=2, batch_size=size, seed=config.seed)]
    hold(all(map(math.isfinite, losses)), f"The losses of two steps are {losses}.")
    return f"losses {losses[0]:.3f}, {losses[1]:.3f}"


def check_space_of(subject: Subject) -> str:
    """Check the space of a small batch of training examples."""
    parts = parts_of(subject.take("train", range(min(4, subject.batch.space.batch))))
    for part in parts:
        with named(part):
            check_manifold(part.space) if provides(part.space, Manifold) else check_space(part.space)
    return ", ".join(type(part.space).__name__ for part in parts)


def check_backbone_of(subject: Subject) -> str:
    """Check the network on a small batch of training examples."""
    x, space, cond = subject.take("train", range(min(4, subject.batch.space.batch)))
    network = subject.domain.backbone()
    check_backbone(network, space, x, cond)
    return f"{type(network).__name__}, {sum(p.numel() for p in network.parameters())} parameters"


def check_units(subject: Subject) -> str:
    """Check that bins, if the domain has them, contain the states."""
    if not provides(subject.domain, HasUnits):
        return "likelihoods are densities of states"
    x, space, _ = subject.batch
    low, high, scale, name, category, size = subject.domain.units(x, space)
    hold(scale.shape == (space.batch,), f"units gives log_scale of shape {tuple(scale.shape)}.")
    hold(torch.isfinite(scale).all(), "units gives a log_scale that is not finite.")
    hold((low is None) == (high is None), "units gives only one end of the bins.")
    hold(
        size is None or size.shape == (space.batch,),
        f"units gives size of shape {tuple(size.shape) if size is not None else ()}.",
    )
    if low is None or high is None:
        return f"densities in {name}"
    if WHOLE not in as_parts(x):
        return "probabilities of letters"
    hold(low.shape == high.shape == x.shape, "The bins of units do not have the states' shape.")
    hold(torch.equal(low.isnan(), high.isnan()), "Only one end of a bin is NaN.")
    inside = ((low < x) & (x < high)) | low.isnan()
    if category is not None:  # in a one-hot code only the number that is on has a bin
        code = slice(*category)
        inside[..., code] = inside[..., code].gather(-1, x[..., code].argmax(-1, keepdim=True))
    hold((space.sum((~inside).to(x)) == 0).all(), "States lie outside their bins.")
    return f"bins, densities in {name}" if bool(low.isnan().any()) else "bins"


def check_measurements(subject: Subject) -> str:
    """Check that each measurement, if the domain has any, is linear and fits its adjoint: <A x, y> = <x, A* y>."""
    domain, batch = subject.domain, subject.batch
    if not provides(domain, HasMeasurements):
        return "the domain has no measurements"
    if not torch.is_floating_point(next(iter(as_parts(batch.x).values()))):
        return "states are letters, which are not measured"
    texts = list(domain.measurements)
    hold(bool(texts), "measurements is empty: give one text for each kind of measurement.")
    for text in texts:
        check_measurement(domain.measurement(text, batch), batch, text)
    try:
        domain.measurement("no such measurement", batch)
    except UserError:
        return ", ".join(texts)
    raise AssertionError("An unknown measurement does not raise a UserError.")


def check_measurement(operator: Measurement, batch: Batch, text: str) -> None:
    """Check one measurement of a batch, sample by sample, in float64.

    Arguments:
        operator: The measurement.
        batch: The states that it is of, which give the space.
        text: Its name, for messages.
    """
    n, space = batch.space.batch, batch.space
    u, v = (space.noise(streams(seed, "measured", range(n))).double() for seed in (0, 1))
    y = operator.space.noise(streams(2, "measured", range(n))).double()
    measured = operator.forward(u)
    hold(measured.shape == y.shape, f"{text} gives {tuple(measured.shape)}, its space has {tuple(y.shape)}.")
    lifted = operator.adjoint(y)
    hold(lifted.shape == u.shape, f"The adjoint of {text} gives {tuple(lifted.shape)} for {tuple(u.shape)}.")
    both = operator.forward(u + 2 * v) - operator.forward(2 * v)
    size = sqnorm(operator.space, measured)
    hold((sqnorm(operator.space, both - measured) <= 1e-10 * size).all(), f"{text} is not linear.")
    gap = operator.space.sum(measured * y) - space.sum(u * space.project(lifted))
    bound = ADJOINT * (size * sqnorm(operator.space, y)).sqrt()
    hold((gap.abs() <= bound).all(), f"The adjoint of {text} is wrong: <A x, y> and <x, A* y> differ.")
    hold(operator.unit > 0, f"unit of {text} is {operator.unit}.")
    estimate = operator.estimate(operator.forward(batch.x))
    hold(estimate.shape == batch.x.shape, f"The simple estimate of {text} has the shape {tuple(estimate.shape)}.")
    hold(torch.isfinite(estimate).all(), f"The simple estimate of {text} is not finite.")


CHECKS: dict[str, Callable[[Subject], str]] = {
    "batches": check_batches,
    "variance": check_variance,
    "units": check_units,
    "measurements": check_measurements,
    "space": check_space_of,
    "backbone": check_backbone_of,
    "blank": check_blank,
    "decode": check_decode,
    "judges": check_judges,
    "show": check_show,
    "save": check_save,
    "statistics": check_statistics,
    "kernels": check_kernels,
    "training": check_training,
}
