"""An evaluation, ready for the page: the table of metrics, confusion matrices, scatter plots and histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from polydiff.report.heatmap import heatmap
from polydiff.report.histograms import histogram, scatter
from polydiff.report.numbers import DASH, number, with_error
from polydiff.run.folder import ResultsFolder
from polydiff.support.errors import UserError
from polydiff.support.files import read_json

WEIGHTS = {"ema": "averaged weights", "model": "weights as trained"}
SAMPLING = ("sampler", "steps", "guidance")
EARLIER = "asked"
"""Key of the requested classes in evaluations of earlier versions."""
ABOUT = ("n", "n_data", "step", "weights", "seed", *SAMPLING, "evaluations")


class Score(NamedTuple):
    """One row of the table of metrics; `place` is the value's position on the scale from noise (0) to real data (1)."""

    name: str
    value: str
    baseline: str
    data: str
    noise: str
    unit: str
    better: str
    meaning: str
    place: float | None


class Picture(NamedTuple):
    """A picture with its title and note."""

    title: str
    note: str
    svg: Markup


class Lenient(BaseModel):
    """A part of evaluation.json; further keys are allowed."""

    model_config = ConfigDict(extra="allow")


class ConfusionPart(Lenient):
    """Counts of requested classes (rows) and classes predicted by the judge (columns)."""

    requested: list[str] = Field(validation_alias=AliasChoices("requested", EARLIER))
    seen: list[str]
    value: list[list[int]]
    data: list[list[int]]


class MeasurePart(Lenient):
    """Histograms of a measured number over samples and real data, with pairs (requested, measured)."""

    unit: str
    meaning: str
    edges: list[float]
    value: list[int]
    data: list[int]
    pairs: list[tuple[float, float | None]]


class WeightPart(Lenient):
    """Numbers of the samples at one guidance weight, by the name of the metric."""

    guidance: float
    evaluations: int | None
    metrics: dict[str, dict[str, Any]]


class EvaluationFile(Lenient):
    """The keys of evaluation.json that the page needs."""

    metrics: dict[str, dict[str, Any]] = {}
    confusions: dict[str, ConfusionPart] = {}
    measures: dict[str, MeasurePart] = {}
    by_guidance: list[WeightPart] = []
    cond: dict[str, Any] = {}
    weights: str = ""
    environment: dict[str, Any] = {}
    options: dict[str, Any] = {}
    spacing_options: dict[str, Any] = {}
    guidance_options: dict[str, Any] = {}
    negative: dict[str, Any] = {}
    guidance_interval: tuple[float, float] | None = None
    stage_steps: dict[str, int] = {}


def read_evaluation(folder: ResultsFolder) -> dict[str, Any]:
    """Return evaluation.json of a run or a pipeline; {} if it was not evaluated.

    Raises:
        UserError: The file is not JSON, or lacks the structure that `polydiff eval` writes.
    """
    result = read_json(folder.evaluation)
    try:
        EvaluationFile.model_validate(result)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{folder.evaluation} is not an evaluation written by polydiff ({where}: {first['msg']}). Write it again "
            "with `polydiff eval`, or delete it."
        ) from error
    return result


def evaluation(folder: ResultsFolder) -> dict[str, Any] | None:
    """Return the evaluation of a run or a pipeline as the template needs it; None if it was not evaluated."""
    result = read_evaluation(folder)
    if not result:
        return None
    about = {name: result.get(name, "unknown") for name in ABOUT}
    about["cond"] = ", ".join(f"{key} = {value}" for key, value in result.get("cond", {}).items())
    about["options"] = result.get("options", {})
    about["what"] = str(result.get("what") or "generated samples")
    about["baseline"] = str(result.get("baseline") or "")
    about["weights"] = WEIGHTS.get(about["weights"], about["weights"])
    about["versions"] = ", ".join(f"{k} {v}" for k, v in result.get("environment", {}).get("versions", {}).items())
    scores = [score(name, row) for name, row in result.get("metrics", {}).items()]
    maps = [
        Picture(which, name, heatmap(found.get("requested", found.get(EARLIER)), found["seen"], found[row]))
        for name, found in result.get("confusions", {}).items()
        for row, which in (("value", "Generated"), ("data", "Real"))
    ]
    measures = list(result.get("measures", {}).items())
    return {
        **about,
        "scores": scores,
        "by_guidance": by_guidance(result),
        "maps": maps,
        "scatters": drawn(measures, scatter),
        "histograms": drawn(measures, histogram),
        "dash": DASH if any(DASH in s for s in scores) else "",
        "sure": any("±" in s.value for s in scores),
    }


def by_guidance(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns and rows of the table of metrics by guidance weight; {} for an evaluation at one weight."""
    weights = result.get("by_guidance", [])
    if not weights:
        return {}
    rows = [
        (name.replace("_", " "), str(row.get("better", "")), [cell(at["metrics"].get(name, {})) for at in weights])
        for name, row in result.get("metrics", {}).items()
    ]
    return {"columns": [f"{at['guidance']:g}" for at in weights], "rows": rows}


def cell(row: Mapping[str, Any]) -> str:
    """Return a value with its error as text."""
    return with_error(row.get("value"), row.get("value_error"))


def drawn(measures: list[tuple[str, dict[str, Any]]], draw: Any) -> list[Picture]:
    """Return the pictures of all measures that `draw` can draw (it returns None for the others)."""
    found = [(name, measure, draw(measure, name)) for name, measure in measures]
    return [
        Picture(title := name.replace("_", " "), note(title, measure), svg)
        for name, measure, svg in found
        if svg is not None
    ]


def note(title: str, measure: Mapping[str, Any]) -> str:
    """Return the meaning and unit of a measure, without what its title already states."""
    return ", ".join(words for words in (measure["meaning"], measure["unit"]) if words and words != title)


def score(name: str, row: Mapping[str, Any]) -> Score:
    """Return the row of one metric."""
    value, data, noise = (number(row.get(key)) for key in ("value", "data", "noise"))
    better = str(row.get("better", ""))
    ends = data > noise if better == "higher" else data < noise  # else noise scores better: no scale
    place = (value - noise) / (data - noise) if ends else math.nan
    shown = {key: with_error(row.get(key), row.get(f"{key}_error")) for key in ("value", "baseline", "data", "noise")}
    return Score(
        name=name.replace("_", " "),
        value=shown["value"],
        baseline=shown["baseline"] if "baseline" in row else "",
        data=shown["data"],
        noise=shown["noise"],
        unit=str(row.get("unit", "")),
        better=better,
        meaning=str(row.get("meaning", "")).replace(" %", "\N{NO-BREAK SPACE}%"),
        place=min(max(place, 0.0), 1.0) if math.isfinite(place) else None,
    )
