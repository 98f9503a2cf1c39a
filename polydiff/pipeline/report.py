"""The page of a pipeline: what its stages make, its numbers beside those of each stage alone, the pages of all stages.

The page fetches nothing; it links the pages of the stages' runs by relative paths.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from polydiff.gallery.names import MANIFEST, SHOW
from polydiff.gallery.page import keep_scripts, script
from polydiff.gallery.sets import SCRIPTS, write_samples
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.folder import PipelineFolder
from polydiff.report.page import KINDS, newest_state, settings, words
from polydiff.report.tables import Score, evaluation, read_evaluation, score
from polydiff.report.templates import rendered
from polydiff.run.folder import PIPELINE, Run, check_own
from polydiff.run.reading import read_text
from polydiff.support.files import quoted, read_json, write_atomic

SHOWN = 16
"""Samples of the page."""
DRAWN = "shown"
"""Folder, in `samples/`, of what the page shows: a set for each stage, and real examples."""
REAL = ".real"


class Row(NamedTuple):
    """A stage on the page.

    Attributes:
        name: Its name.
        kind: What its run is.
        copies: Which stages it keeps older copies of, in words; "": none.
        step: Training steps that are done.
        page: Relative path of its page; "": none.
        scores: Its numbers alone; [] if it was not evaluated.
        what: What these numbers are of.
        html: What it makes; "" if nothing was drawn.
    """

    name: str
    kind: str
    copies: str
    step: int
    page: str
    scores: list[Score]
    what: str
    html: Markup


def draw_stages(chain: Chain, folder: PipelineFolder, seed: int = 0) -> None:
    """Draw what the page shows: the same samples after each stage, and real examples.

    Arguments:
        chain: The pipeline.
        folder: Its folder.
        seed: Of the samples.
    """
    request = chain.request()
    made = request.shown(SHOWN, seed)
    place = folder.samples(DRAWN)
    for name, samples in made.items():
        domain = chain.stages[name].domain
        write_samples(place / name, domain, samples, {**chain.facts, "seed": seed})
    write_samples(place / REAL, chain.domain, chain.domain.examples("test", SHOWN), {"split": "test"})
    keep_scripts(chain.domain, place / SCRIPTS)


def write_report(path: Path | str) -> Path:
    """Write FOLDER/report.html of a pipeline, from the files in its folder, and return its path."""
    check_own(path)
    folder = PipelineFolder.open(path)
    place = folder.samples(DRAWN)
    result = read_evaluation(folder)
    parts = {
        "name": folder.path.resolve().name,
        "domain": folder.pipeline.domain,
        "rows": [row(folder, name, result) for name in folder.runs],
        "real": fragment(place / REAL),
        "whole": evaluation(folder),
        "changed_since_eval": since_evaluation(folder),
        "changed_since_drawn": trained_further(folder, drawn_steps(folder)),
        "place": quoted(folder.path),
        "file": read_text(folder.path / PIPELINE),
        "commands": commands(folder.path, result),
        "scripts": [script(read_text(file)) for file in sorted((place / SCRIPTS).glob("*.js"))],
    }
    write_atomic(folder.report, rendered("polydiff.pipeline", parts))
    return folder.report


def trained_further(folder: PipelineFolder, steps: Mapping[str, int]) -> str:
    """Return which stages were trained further, in words, such as "up was at step 500 and has reached step 900".

    Arguments:
        folder: The pipeline.
        steps: Name of a stage -> its training steps then.
    """
    now = folder.steps
    changed = [
        f"{name} was at step {then:,} and has reached step {now[name]:,}"
        for name, then in steps.items()
        if now.get(name, then) != then
    ]
    return "; ".join(changed)


def since_evaluation(folder: PipelineFolder) -> str:
    """Return which stages were trained further since the pipeline was evaluated, in words; "" for none."""
    return trained_further(folder, read_evaluation(folder).get("stage_steps", {}))


def drawn_steps(folder: PipelineFolder) -> dict[str, int]:
    """Return the training steps of the stages when the samples of the page were drawn, by name; {} before that."""
    manifests = (read_json(folder.samples(DRAWN) / name / MANIFEST) for name in folder.runs)
    return {name: facts["step"] for found in manifests for name, facts in found.get("stages", {}).items()}


def older_copies(folder: PipelineFolder, run: Path) -> str:
    """Return which earlier stages the run of a stage has copies of that were since trained further, in words."""
    names = {path.resolve(): name for name, path in folder.runs.items()}
    steps = {
        name: int(record["step"])
        for record in newest_state(Run(run)).get("parents", {}).values()
        if (name := names.get((run.resolve() / record["relative"]).resolve()))
    }
    return trained_further(folder, steps)


def row(folder: PipelineFolder, name: str, result: Mapping[str, Any]) -> Row:
    """Return a stage as the page shows it.

    Arguments:
        folder: The pipeline.
        name: Name of the stage.
        result: evaluation.json of the pipeline; {}: none.
    """
    run, found = folder.runs[name], result.get("stages", {}).get(name, {})
    config = settings(Run(run))
    kind = KINDS[learn].what if (learn := words(config, "learn")) in KINDS else "A diffusion model"
    page = Run(run).report
    return Row(
        name=name,
        kind=kind,
        copies=older_copies(folder, run),
        step=folder.steps[name],
        page=os.path.relpath(page, folder.path.resolve()) if page.is_file() else "",
        scores=scores_of(found),
        what=str(found.get("what") or "samples"),
        html=fragment(folder.samples(DRAWN) / name),
    )


def scores_of(found: Mapping[str, Any]) -> list[Score]:
    """Return the table of an evaluation of one stage."""
    return [score(name, metric) for name, metric in found.get("metrics", {}).items()]


def fragment(folder: Path) -> Markup:
    """Return the picture of a set of samples; "" if there is no such set."""
    return Markup(read_text(folder / SHOW))  # noqa: S704 - the domain's own HTML


def commands(path: Path, result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the commands that reproduce pipeline, evaluation, samples and page, each with its effect."""
    place = path.absolute()
    name, again = quoted(place), quoted(place.with_name(f"{place.name}-again"))
    judged = [(f"polydiff eval {name} -n {result['n']} --seed {result['seed']}", "the numbers above")] if result else []
    return [
        (f"polydiff train -c {quoted(place / PIPELINE)} -o {again}", "the same pipeline"),
        *judged,
        (f"polydiff sample {name} -n 16", "more samples"),
        (f"polydiff report {name}", "this page"),
    ]
