"""What a domain promises, checked with a handful of examples, two steps of training and a subprocess."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from polydiff.config.merge import resolve
from polydiff.contract.abilities import HasUnits
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain, Samples, conditions_of
from polydiff.contract.sections import Config
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, sqnorm
from polydiff.core.streams import streams
from polydiff.metrics.results import Metric
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.testing.backbone import check_backbone
from polydiff.testing.findings import Check, attempt
from polydiff.testing.space import check_space, close, hold
from polydiff.testing.spec import check_spec
from polydiff.training.data import batches
from polydiff.training.loop import fit
from polydiff.training.trainer import begin

FETCHED = re.compile(
    r"""(?:\b(?:src|href|poster|data)\s*=\s*["']?|url\(\s*["']?|@import\s+["'])\s*(?:https?:)?//""", re.I
)
"""What makes a page load something from elsewhere; a namespace or a sentence that names an address does not."""


def check_domain(domain: str | Config, examples: int = 16) -> list[Check]:
    """Check every promise of `polydiff.contract.domain.Domain` and return what was found, broken or kept.

    Arguments:
        domain: Name of an installed domain, whose default configuration is taken, or a configuration.
        examples: Examples that are judged, shown and saved.
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


@dataclass
class Subject:
    """A domain under examination.

    Arguments:
        config: Its configuration.
        n: Examples to take.
    """

    config: Config
    n: int

    @cached_property
    def domain(self) -> Domain:
        return build_domain(self.config)

    @cached_property
    def batch(self) -> Batch:
        """The first training examples."""
        return self.take("train", range(min(self.n, self.domain.size("train"))))

    def take(self, split: str, indices: range) -> Batch:
        return self.domain.batch(split, indices, streams(0, "augment", indices))

    @cached_property
    def real(self) -> Samples:
        return self.domain.examples("test", self.n)

    @cached_property
    def noise(self) -> Samples:
        space, cond = self.domain.blank(streams(0, "blank", range(self.n)), {})
        return Samples(self.domain.decode(space.noise(streams(0, "sample", range(self.n))), space), cond)


def check_construction(subject: Subject) -> str:
    """Check that the domain can be built and has examples."""
    domain = subject.domain
    sizes = {split: domain.size(split) for split in ("train", "test")}
    for split, size in sizes.items():
        hold(isinstance(size, int) and size > 0, f"size({split!r}) is {size!r}.")
    return f"{sizes['train']} training and {sizes['test']} test examples"


def check_batches(subject: Subject) -> str:
    """Check that batches are finite states on their space, and a function of index and generator alone."""
    for split in ("train", "test"):
        indices = range(min(subject.n, subject.domain.size(split)))
        x, space, cond = subject.take(split, indices)
        hold(space.batch == len(indices), f"A batch of {len(indices)} examples has a space of {space.batch}.")
        hold(torch.isfinite(x).all(), f"A {split} batch is not finite.")
        gap, size = sqnorm(space, space.project(x) - x), sqnorm(space, x)
        hold(close(gap, torch.zeros_like(gap), size), f"States of the {split} split do not lie on their space.")
        check_conditions(subject.domain, cond, len(indices))
        again = subject.take(split, indices)
        hold(torch.equal(x, again.x), f"The same {split} examples and generators give different states.")
        first = subject.take(split, indices[:1])
        for power in (1, 2, 3):  # these sums identify a state in any layout
            alone, among = first.space.sum(first.x**power)[0], space.sum(x**power)[0]
            scale = space.sum(x.abs() ** power)[0]
            hold(close(alone, among, scale), f"A {split} example depends on the others of its batch.")
    return f"states {tuple(subject.batch.x.shape)}"


def check_conditions(domain: Domain, cond: Condition | None, n: int) -> None:
    """Check that a batch's conditions are those that the domain declares, of their kinds."""
    kinds, cond = conditions_of(domain), cond or {}
    hold(cond.keys() == kinds.keys(), f"A batch has conditions {sorted(cond)}, the domain {sorted(kinds)}.")
    for name, kind in kinds.items():
        mismatch = kind.mismatch(cond[name], n)
        hold(mismatch is None, f"Condition {name} {mismatch}.")


def check_variance(subject: Subject) -> str:
    """Check that states are standardised: mean square per dimension about sigma_data^2."""
    indices = range(min(256, subject.domain.size("train")))
    x, space, _ = subject.take("train", indices)
    rms = math.sqrt(float(sqnorm(space, x).sum() / space.dim.sum()))
    expected = float(getattr(subject.domain, "sigma_data", 1.0))
    hold(0.5 <= rms / expected <= 2, f"The states' root mean square is {rms:.3f}; {expected:g} was promised.")
    return f"root mean square {rms:.3f}"


def check_blank(subject: Subject) -> str:
    """Check that a new sample's space depends only on its generator, and that unknown conditions raise an error."""
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


def check_decode(subject: Subject) -> str:
    """Check that data and noise become as many examples as there are states."""
    x, space, _ = subject.batch
    examples = subject.domain.decode(x, space)
    hold(len(examples) == space.batch, f"decode returns {len(examples)} examples for {space.batch} states.")
    hold(
        len(subject.noise) == subject.n, f"decode returns {len(subject.noise)} examples for {subject.n} draws of noise."
    )
    return type(examples[0]).__name__


def check_judges(subject: Subject) -> str:
    """Check that real data and noise have the same metrics, and that one metric separates them."""
    real, noise = subject.domain.evaluate(subject.real), subject.domain.evaluate(subject.noise)
    hold(bool(real), "evaluate returns no metric.")
    hold(set(real) == set(noise), f"Real data get metrics {sorted(real)}, noise {sorted(noise)}.")
    for name, metric in {**noise, **real}.items():
        hold(isinstance(metric, Metric), f"{name} is a {type(metric).__name__}, not a Metric.")
        hold(metric.better in ("higher", "lower"), f"{name}.better is {metric.better!r}, not 'higher' or 'lower'.")
        hold(bool(metric.meaning), f"{name} does not say what it means.")
    separating = [name for name in real if better(real[name], noise[name])]
    hold(bool(separating), "No metric is better on real data than on noise.")
    return f"real data beat noise in {', '.join(separating)}"


def better(a: Metric, b: Metric) -> bool:
    """Return whether a is better than b; a number is better than none."""
    if math.isnan(a.value) or math.isnan(b.value):
        return not math.isnan(a.value)
    return a.value > b.value if a.better == "higher" else a.value < b.value


def check_show(subject: Subject) -> str:
    """Check that pictures are HTML that fetches nothing, for data and noise."""
    sizes = []
    for samples in (subject.real, subject.noise):
        page = subject.domain.show(samples)
        hold(isinstance(page, str) and "<" in page, "show does not return HTML.")
        fetched = FETCHED.search(page)
        hold(fetched is None, f"show fetches something: {page[fetched.start() :][:80] if fetched else ''}")
        sizes.append(len(page))
    return f"{sizes[0] / 1e3:.0f} kB for {len(subject.real)} examples"


def check_save(subject: Subject) -> str:
    """Check that the manifest lists the written files, and that conditions can be described."""
    with tempfile.TemporaryDirectory() as folder:
        entries = subject.domain.save(subject.real, Path(folder))
        hold(len(entries) == len(subject.real), f"save returns {len(entries)} entries for {len(subject.real)} samples.")
        names = [entry.get("file", "") for entry in entries]
        hold(len(set(names)) == len(names), "save gives two samples the same file.")
        for name in names:
            path = Path(folder, name)
            hold(path.is_file() and path.stat().st_size > 0, f"save names {name!r} and does not write it.")
        json.dumps(entries, allow_nan=False)
    if subject.real.cond is not None:
        words = subject.domain.describe(subject.real.cond)
        hold(len(words) == len(subject.real), f"describe returns {len(words)} entries for {len(subject.real)} samples.")
        json.dumps(words)
    return str(names[0])


def check_statistics(subject: Subject) -> str:
    """Check that a domain built with saved statistics encodes as the one that measured them."""
    saved: Mapping[str, Any] = json.loads(json.dumps(dict(subject.domain.statistics), allow_nan=False))
    twin = build_domain(subject.config, statistics=saved)
    hold(json.loads(json.dumps(dict(twin.statistics))) == saved, "A domain built with statistics has others.")
    indices = range(len(subject.batch.space.dim))
    x = twin.batch("train", indices, streams(0, "augment", indices)).x
    hold(torch.equal(x, subject.batch.x), "A domain built with saved statistics encodes differently.")
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
    space = subject.take("train", range(min(4, len(subject.batch.space.dim)))).space
    check_space(space)
    return type(space).__name__


def check_backbone_of(subject: Subject) -> str:
    """Check the network on a small batch of training examples."""
    x, space, cond = subject.take("train", range(min(4, len(subject.batch.space.dim))))
    network = subject.domain.backbone()
    check_backbone(network, space, x, cond)
    return f"{type(network).__name__}, {sum(p.numel() for p in network.parameters())} parameters"


def check_units(subject: Subject) -> str:
    """Check that bins, if the domain has them, contain their states."""
    if not provides(subject.domain, HasUnits):
        return "likelihoods are densities of states"
    x, space, _ = subject.batch
    low, high, scale, name, category, size = subject.domain.units(x, space)
    hold(scale.shape == (space.batch,), f"units gives log_scale of shape {tuple(scale.shape)}.")
    hold(torch.isfinite(scale).all(), "units gives a log_scale that is not finite.")
    hold((low is None) == (high is None), "units gives one end of the bins.")
    hold(size is None or size.shape == (space.batch,), "The sizes' -log p of units has not the shape (B,).")
    if low is None or high is None:
        return f"densities in {name}"
    hold(low.shape == high.shape == x.shape, "The bins of units have not the states' shape.")
    hold(torch.equal(low.isnan(), high.isnan()), "Only one end of a bin is NaN.")
    inside = ((low < x) & (x < high)) | low.isnan()
    if category is not None:  # its bins are those of numbers that are on
        code = slice(*category)
        inside[..., code] = inside[..., code].gather(-1, x[..., code].argmax(-1, keepdim=True))
    hold((space.sum((~inside).to(x)) == 0).all(), "States lie outside of their bins.")
    return f"bins, densities in {name}" if bool(low.isnan().any()) else "bins"


CHECKS: dict[str, Callable[[Subject], str]] = {
    "batches": check_batches,
    "variance": check_variance,
    "units": check_units,
    "space": check_space_of,
    "backbone": check_backbone_of,
    "blank": check_blank,
    "decode": check_decode,
    "judges": check_judges,
    "show": check_show,
    "save": check_save,
    "statistics": check_statistics,
    "training": check_training,
}
