"""What an evaluation says, ready for the page: a table, and pictures of what was asked and what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from polydiff.report.heatmap import heatmap
from polydiff.report.histograms import histogram, scatter
from polydiff.report.numbers import DASH, number, with_error
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.files import read_json

WEIGHTS = {"ema": "averaged weights", "model": "weights as trained"}
SAMPLING = ("sampler", "steps", "guidance")
ABOUT = ("n", "n_data", "step", "weights", "seed", *SAMPLING, "evaluations")


class Score(NamedTuple):
    """One row of the table of metrics; `place` is where the value lies from noise, 0, to real data, 1."""

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
    """A part of evaluation.json; what else it holds is left alone."""

    model_config = ConfigDict(extra="allow")


class ConfusionPart(Lenient):
    """Counts of what was asked and seen."""

    asked: list[str]
    seen: list[str]
    value: list[list[int]]
    data: list[list[int]]


class MeasurePart(Lenient):
    """Numbers of samples beside data (`polydiff.metrics.histogram`)."""

    unit: str
    meaning: str
    edges: list[float]
    value: list[int]
    data: list[int]
    pairs: list[tuple[float, float | None]]


class EvaluationFile(Lenient):
    """The shape of evaluation.json, as far as a page needs it."""

    metrics: dict[str, dict[str, Any]] = {}
    confusions: dict[str, ConfusionPart] = {}
    measures: dict[str, MeasurePart] = {}
    cond: dict[str, Any] = {}
    weights: str = ""
    environment: dict[str, Any] = {}
    options: dict[str, Any] = {}
    spacing_options: dict[str, Any] = {}
    guidance_options: dict[str, Any] = {}
    negative: dict[str, Any] = {}
    guidance_interval: tuple[float, float] | None = None


def read_evaluation(run: Run) -> dict[str, Any]:
    """Return a run's evaluation.json, {} where there is none.

    Raises:
        UserError: It is not JSON, or not of the shape that `polydiff eval` writes.
    """
    result = read_json(run.evaluation)
    try:
        EvaluationFile.model_validate(result)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{run.evaluation} is no evaluation as polydiff writes them ({where}: {first['msg']}). Write it again with "
            "`polydiff eval`, or delete it."
        ) from error
    return result


def evaluation(run: Run) -> dict[str, Any] | None:
    """Return evaluation.json with its rows ready for the table and its pictures, None where there is none."""
    result = read_evaluation(run)
    if not result:
        return None
    about = {name: result.get(name, "unknown") for name in ABOUT}
    about["cond"] = ", ".join(f"{key} = {value}" for key, value in result.get("cond", {}).items())
    about["baseline"] = str(result.get("baseline") or "")
    about["weights"] = WEIGHTS.get(about["weights"], about["weights"])
    about["versions"] = ", ".join(f"{k} {v}" for k, v in result.get("environment", {}).get("versions", {}).items())
    scores = [score(name, row) for name, row in result.get("metrics", {}).items()]
    maps = [
        Picture(which, name, heatmap(found["asked"], found["seen"], found[row]))
        for name, found in result.get("confusions", {}).items()
        for row, which in (("value", "Generated"), ("data", "Real"))
    ]
    told = [(name, found) for name, found in result.get("measures", {}).items()]
    return {
        **about,
        "scores": scores,
        "maps": maps,
        "scatters": drawn(told, scatter),
        "histograms": drawn(told, histogram),
        "dash": DASH if any(DASH in s for s in scores) else "",
        "sure": any("±" in s.value for s in scores),
    }


def drawn(told: list[tuple[str, dict[str, Any]]], draw: Any) -> list[Picture]:
    """Return a picture of each measure of which one can be drawn."""
    found = [(name, measure, draw(measure, name)) for name, measure in told]
    return [
        Picture(title := name.replace("_", " "), note(title, measure), svg)
        for name, measure, svg in found
        if svg is not None
    ]


def note(title: str, measure: Mapping[str, Any]) -> str:
    """Return what a number is and its unit, as far as the title does not say it."""
    return ", ".join(words for words in (measure["meaning"], measure["unit"]) if words and words != title)


def score(name: str, row: Mapping[str, Any]) -> Score:
    """Return a row of the table."""
    value, data, noise = (number(row.get(key)) for key in ("value", "data", "noise"))
    better = str(row.get("better", ""))
    ends = data > noise if better == "higher" else data < noise  # else noise is no end of the scale
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
