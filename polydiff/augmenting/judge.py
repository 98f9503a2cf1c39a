"""Judge data sets of samples by what a small model learns of them: `polydiff augment RUN ... --judge 5,20,80`.

For each k, a small model is trained on k real examples of each class, or k in all if there are no classes, with and
without plain augmentation, and with and without synthetic ones, and tested on held-out real examples. A generator that
saw more real examples than this model is given would bring them in through the back door: so each k needs a run that
was trained with `data.per_class` of at most k, and the small model is given the same choice (`data.subset`), which
contains all that the run saw. Of several runs that fit, those with the most examples are taken; if they are several,
such as with different subsets, seeds are dealt out to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.augmenting.augment import with_class
from polydiff.augmenting.folder import SYNTHETIC
from polydiff.augmenting.results import Judged
from polydiff.augmenting.verdict import WAYS
from polydiff.contract.data.augmenting import JudgesData, WritesData
from polydiff.contract.data.identity import digest_of
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Samples
from polydiff.core.conditions import ANY
from polydiff.core.streams import stream_seed
from polydiff.gallery.names import MANIFEST
from polydiff.model.model import Model
from polydiff.run.parents import open_parent
from polydiff.support.errors import UserError
from polydiff.support.files import read_json
from polydiff.support.progress import counted
from polydiff.support.protocols import provides

SEEDS = 5
"""Number of trainings of each way."""


@dataclass(frozen=True)
class Generated:
    """A run and the data set of its samples.

    Arguments:
        name: The run, for messages.
        model: Its model.
        folder: Data set that `polydiff.augmenting.augment.augment` wrote of it.
    """

    name: str
    model: Model
    folder: Path

    @property
    def per_class(self) -> int | None:
        """Number of real examples of each class that the run, and all that it stands on, saw; None: all."""
        seen = [self.model.config.data.per_class]
        for key, record in self.model.parents.items():
            seen.append(open_parent(key, Path(record["path"])).config["data"].get("per_class"))
        return None if None in seen else max(n for n in seen if n is not None)


def check(ks: Sequence[int], runs: Sequence[tuple[str, Model]]) -> None:
    """Raise UserError unless each k has a run that saw no more real examples, and data of which k can be judged.

    Arguments:
        ks: Numbers of real examples.
        runs: Name and model of each run.
    """
    for name, model in runs:
        judge_of(name, model)
        if other := different(runs[0][1], model):
            raise UserError(f"--judge compares runs of the same data: {runs[0][0]} and {name} differ in {other}.")
    for k in ks:
        for run in chosen_runs(k, [Generated(name, model, Path()) for name, model in runs]):
            domain_with(run.model, k).size("train")  # raises if a class has fewer


def different(a: Model, b: Model) -> str:
    """Return the first key in which the data of two runs differ but for the choice of examples; "" if none does."""
    if a.config.domain != b.config.domain:
        return "domain"
    ours, theirs = (model.config.data.model_dump(mode="json") for model in (a, b))
    keys = [key for key in ours if key not in ("per_class", "subset") and ours[key] != theirs.get(key)]
    return f"data.{keys[0]}" if keys else ""


def judge_of(name: str, model: Model) -> JudgesData:
    """Return the domain of a model as what judges data; raise UserError if it cannot, or has nothing to learn."""
    domain = model.domain
    if not provides(domain, JudgesData):
        raise UserError(
            f"The domain {model.config.domain} cannot judge examples: it lacks `learned`, `read_data`, `learns`, "
            "`better` and `plain_augmentation` (`polydiff.contract.data.augmenting.JudgesData`). Leave --judge out."
        )
    if not domain.learns:
        raise UserError(f"--judge trains a classifier, and {name} has no classes. Leave --judge out.")
    return domain


def chosen_runs(k: int, runs: Sequence[Generated]) -> list[Generated]:
    """Return the runs that are judged with k real examples: of those that saw at most k, the ones that saw the most.

    Raises:
        UserError: All saw more.
    """
    fitting = [run for run in runs if run.per_class is not None and run.per_class <= k]
    if not fitting:
        seen = ", ".join(f"{run.name}: {run.per_class or 'all'}" for run in runs)
        domain = runs[0].model.config.domain
        examples = "real examples of each class" if has_classes(runs[0].model.domain) else "real examples"
        raise UserError(
            f"--judge {k}: a run must have been trained on at most {k} {examples}, or its samples hold more real data "
            f"than the model that judges is given ({seen}). Train one: polydiff train --domain {domain} "
            f"data.per_class={k}"
        )
    most = max(run.per_class or 0 for run in fitting)
    return [run for run in fitting if run.per_class == most]


def judge(ks: Sequence[int], runs: Sequence[Generated], seeds: int = SEEDS) -> list[Judged]:
    """Return what is learned with each number of real examples, with progress.

    Arguments:
        ks: Numbers of real examples.
        runs: Runs with the data sets of their samples.
        seeds: Number of trainings of each way, at least 2.
    """
    return list(counted("numbers of real examples judged", len(ks), (judged(k, runs, seeds) for k in ks)))


def judged(k: int, runs: Sequence[Generated], seeds: int) -> Judged:
    """Return what is learned with k real examples; arguments as of `judge`."""
    used = chosen_runs(k, runs)[:seeds]
    domains = [domain_with(run.model, k) for run in used]
    sets = [
        (with_class(domain.examples("train", domain.size("train")), domain), synthetic_examples(domain, run))
        for domain, run in zip(domains, used, strict=True)
    ]
    first, scores = domains[0], dict[str, list[float]]()
    ways = {name: way for name, way in WAYS.items() if first.plain_augmentation or not way.augmented}
    trainings = [(name, seed) for seed in range(seeds) for name in ways]
    for name, seed in counted(f"trainings with {k} real examples", len(trainings), iter(trainings)):
        place = seed % len(used)
        domain, (real, synthetic), way = domains[place], sets[place], ways[name]
        given = [real] * way.real + [synthetic] * way.synthetic
        value = domain.learned(given, stream_seed(seed, "augment/judge", k), way.augmented)
        if math.isnan(value):
            raise UserError(f"--judge {k}: no held-out example has a label, so nothing can be judged.")
        scores.setdefault(name, []).append(value)
    return Judged(
        k,
        has_classes(first),
        {run.name: digest_of([(run.folder / MANIFEST).read_text(encoding="utf-8")]) for run in used},
        first.learns,
        first.better,
        first.plain_augmentation,
        len(sets[0][1]),
        scores,
    )


def has_classes(domain: object) -> bool:
    """Return whether the examples of a domain have classes, so that numbers of examples are those of each class."""
    return provides(domain, WritesData) and bool(domain.class_condition)


def domain_with(model: Model, k: int) -> Any:
    """Return the domain of a model with k training examples of each class, seen through no other run."""
    config = model.config
    data = config.data.model_copy(update={"per_class": k})
    inner: Any = model.domain
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    return build_domain(config.model_copy(update={"data": data}), inner.statistics)


def synthetic_examples(domain: JudgesData, run: Generated) -> Samples:
    """Return the synthetic examples in the data set of a run."""
    entries = [entry for entry in read_json(run.folder / MANIFEST)["samples"] if entry["origin"] == SYNTHETIC]
    words = [{name: value for name, value in entry["cond"].items() if value != ANY} for entry in entries]
    return domain.read_data([run.folder / entry["file"] for entry in entries], words)
