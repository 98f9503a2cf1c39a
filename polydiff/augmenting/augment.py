"""Write a data set of samples that a domain can train on: `polydiff augment RUN -o DIR --per-class N`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polydiff.augmenting.drawing import ClassDraw, Drawing, class_draws
from polydiff.augmenting.folder import REAL, SYNTHETIC, DataFolder, complete
from polydiff.contract.data.augmenting import WritesData
from polydiff.contract.domain import Samples
from polydiff.contract.likeness import FindsNearest
from polydiff.core.process.abilities import Embeds, Reconstructs
from polydiff.gallery.journal import opened
from polydiff.gallery.writer import Progress, plain
from polydiff.judging.copies import CopyTest
from polydiff.model.model import Model, check_model
from polydiff.support.disk import writing
from polydiff.support.errors import UserError, as_path, check_whole
from polydiff.support.files import json_number
from polydiff.support.protocols import provides

MOST_REAL = 50_000
"""Largest number of training examples that are added to a data set."""


def augment(
    model: Model,
    folder: Path | str,
    per_class: int,
    *,
    mix: bool = False,
    seed: int = 0,
    cond: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **sampling: Any,
) -> Path:
    """Write samples as a data set to train on, `data.path=folder`, and return its path.

    Near copies of training examples are drawn again, and so are samples that cannot be compared with these. A drawing
    of the same settings that was stopped is resumed; a folder that is complete stays as it is.

        polydiff.augment(polydiff.load("runs/image-001"), "more", per_class=100)

    Arguments:
        model: What draws.
        folder: Target folder: absent, empty, or with a part of the same data set.
        per_class: Number of samples of each class, or of all if there are no classes.
        mix: Whether the training examples of the model are added.
        seed: Random seed; a sample depends on it, its number, and how often it was drawn again.
        cond: Conditions of all samples, as of `Model.sample`; a class there is the only one.
        facts: Further entries of manifest.json.
        progress: Called with the numbers of examples that are written and that are due.
        sampling: steps, sampler, guidance, batch_size, ..., as of `Model.sample`.

    Raises:
        UserError: The domain lacks an ability that this needs, most samples are copies, or the folder holds other
            files.
    """
    check_model(model)
    check_whole("per_class", per_class)
    place, domain = as_path("folder", folder), model.domain
    writer, finder = able(model)
    draws = class_draws(model, writer, cond, sampling)
    test = CopyTest.of(domain, finder)
    real = training_examples(model, writer) if mix else None
    request = draws[0].request
    head = {
        **(facts or {}),
        **model.facts,
        "seed": seed,
        "requested": {name: plain(value) for name, value in (cond or {}).items()},
        **request.section(),
        "batch_size": request.batch_size,
        "per_class": per_class,
        "mix": mix,
        "copy_threshold": json_number(test.threshold),
        **request.digests(),
    }
    batch_given = sampling.get("batch_size") not in (None, "auto")
    if complete(place, head, batch_given):
        return place
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    with writing(place), opened(place, head, batch_given) as journal:
        data, total = DataFolder(place, domain, writer, journal), per_class * len(draws) + len(real or ())
        parts = schedule(draws, per_class, int(journal.head["batch_size"]), len(real or ()))
        for begin, end, one, first in parts:
            if end <= journal.done:
                continue
            if one is None:
                assert real is not None
                data.write(real.take(range(begin, end)), REAL, range(begin, end))
            else:
                drawn = Drawing(test, seed).samples(one, first, first + end - begin)
                data.write(drawn.samples, SYNTHETIC, one.numbers(first, first + end - begin), drawn.again)
            if progress:
                progress(journal.done, total)
        data.finish()
    return place


def schedule(
    draws: list[ClassDraw], per_class: int, size: int, real: int
) -> list[tuple[int, int, ClassDraw | None, int]]:
    """Return the parts of a data set in order: begin and end among all examples, class, first sample of the class.

    Arguments:
        draws: The classes.
        per_class: Samples of each.
        size: Largest number of examples of a part.
        real: Number of real examples, which come first; their parts have no class.
    """
    parts: list[tuple[int, int, ClassDraw | None, int]] = []
    for one, start, n in [(None, 0, real), *((one, real + i * per_class, per_class) for i, one in enumerate(draws))]:
        parts += [(start + j, start + min(j + size, n), one, j) for j in range(0, n, size)]
    return parts


def able(model: Model) -> tuple[WritesData, FindsNearest]:
    """Return the domain of a model as what writes data sets, and as what finds nearest training examples.

    Raises:
        UserError: It cannot do one of these (the message names what is missing), or the model draws no new samples.
    """
    domain, name = model.domain, model.config.domain
    if provides(model.process, Reconstructs) or provides(model.process, Embeds):
        raise UserError(f"A run with learn={model.config.learn} draws no samples. Name a run that does.")
    if model.restores:
        raise UserError("This run restores given examples and draws no new ones. Name a run with task=generate.")
    if not provides(domain, WritesData):
        raise UserError(
            f"The domain {name} cannot write samples as a data set: it lacks `write_data` and `class_condition` "
            "(`polydiff.contract.data.augmenting.WritesData`). `polydiff sample` writes them as files."
        )
    if not provides(domain, FindsNearest):
        raise UserError(
            f"The domain {name} cannot tell copies from new examples: it lacks `nearest` "
            "(`polydiff.contract.likeness.FindsNearest`)."
        )
    return domain, domain


def training_examples(model: Model, writer: WritesData) -> Samples:
    """Return the training examples of a model that have a class; all, if there are no classes.

    Raises:
        UserError: There are too many.
    """
    n = model.domain.size("train")
    if n > MOST_REAL:
        raise UserError(
            f"The run has {n:,} training examples; --mix adds at most {MOST_REAL:,}. Leave --mix out, and add the "
            "files yourself."
        )
    return with_class(model.domain.examples("train", n), writer)


def with_class(examples: Samples, writer: WritesData) -> Samples:
    """Return the examples that have a class; all, if the domain has no classes."""
    if not writer.class_condition or examples.cond is None:
        return examples
    labels = examples.cond[writer.class_condition].tolist()
    return examples.take([i for i, label in enumerate(labels) if label >= 0])
