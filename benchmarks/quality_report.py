"""The table and the picture of `time_to_quality.py`, from its files.

A library's number after a budget of minutes is that of the variant whose mean over seeds is best there. The minutes to
a quality are read off the best numbers so far, which are joined by straight lines over the logarithm of the minutes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from timing import markdown

METRICS: Mapping[str, Sequence[str]] = {
    "image": ("frechet_judge", "frechet_filters", "precision", "recall"),
    "audio": ("log_mel_fd", "voiced", "in_tune"),
    "molecule": ("neutral_rdkit", "valid_connected_rdkit", "edm_molecule_stable"),
}
"""Domain -> metrics in the table, those that the data have; the first that they have decides."""


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Arguments:
        runs: Results of trainings.
        real: Metrics of real data.
    """

    runs: Sequence[Mapping[str, Any]]
    real: Mapping[str, Mapping[str, Any]]

    def metrics(self, domain: str) -> list[str]:
        """Return the metrics in the table."""
        return [name for name in METRICS[domain] if name in self.real]

    @property
    def systems(self) -> list[str]:
        """Names of the libraries, polydiff first."""
        return sorted({one["system"] for one in self.runs}, key=lambda name: (name != "polydiff", name))


@dataclass(frozen=True)
class Point:
    """A library after a budget: its best variant.

    Arguments:
        variant: Name of the variant.
        minutes: Mean of the minutes that it trained.
        values: The deciding metric of each seed.
        runs: The results of each seed.
    """

    variant: str
    minutes: float
    values: Sequence[float]
    runs: Sequence[Mapping[str, Any]]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return fmean(self.values)


def results_in(folder: Path) -> Results:
    """Return the results that a folder keeps."""
    files = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    files.pop("comparison.json", None)
    real = files.pop("real_data.json")
    return Results(list(files.values()), real)


def curve(results: Results, system: str, metric: str) -> list[Point]:
    """Return the best variant of a library after each budget; variants without a number are left out."""
    groups: dict[float, dict[str, list[Mapping[str, Any]]]] = {}
    for one in results.runs:
        if one["system"] == system and one["metrics"][metric]["value"] is not None:
            groups.setdefault(one["minutes"], {}).setdefault(one["variant"], []).append(one)
    sign = 1 if results.real[metric]["better"] == "lower" else -1
    found = []
    for budget in sorted(groups):
        points = [
            Point(name, fmean(r["took"] for r in runs), [r["metrics"][metric]["value"] for r in runs], runs)
            for name, runs in groups[budget].items()
        ]
        found.append(min(points, key=lambda point: sign * point.mean))
    return found


def minutes_to(points: Sequence[tuple[float, float]], quality: float, better: str) -> float:
    """Return the minutes after which a curve of (minutes, value) first has a quality.

    Straight lines over log minutes join the best values so far. The first budget's minutes are an upper bound if the
    curve has the quality there already; inf: it never has it.
    """
    sign = 1 if better == "lower" else -1
    best: list[tuple[float, float]] = []
    for minutes, value in points:
        best.append((minutes, min(sign * value, best[-1][1] if best else math.inf)))
    for i, (minutes, value) in enumerate(best):
        if value <= sign * quality:
            if i == 0:
                return minutes
            before, old = best[i - 1]
            share = (old - sign * quality) / (old - value)
            return math.exp(math.log(before) + share * (math.log(minutes) - math.log(before)))
    return math.inf


def number(values: Sequence[float]) -> str:
    """Return a mean over seeds, with its standard error if there are several."""
    error = f" ± {stdev(values) / math.sqrt(len(values)):.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.3g}{error}"


def values_of(point: Point, metric: str) -> list[float]:
    """Return the values of a metric that seeds have."""
    found = (one["metrics"][metric]["value"] for one in point.runs)
    return [value for value in found if value is not None]


def quality_table(domain: str, results: Results) -> str:
    """Return the quality after each budget, of the best variant of each library."""
    metrics = results.metrics(domain)
    rows = [["library", "variant", "minutes", "trained", "steps", "weights", "evaluations", *metrics, "seeds"]]
    for system in results.systems:
        for point in curve(results, system, metrics[0]):
            first = point.runs[0]
            facts = [f"{first['minutes']:g}", f"{point.minutes:.2f}", f"{fmean(r['steps'] for r in point.runs):.0f}"]
            cells = [number(values) if (values := values_of(point, name)) else "-" for name in metrics]
            size = f"{first['parameters'] / 1e6:.2f} M"
            rows.append([system, point.variant, *facts, size, str(first["evaluations"]), *cells, str(len(point.runs))])
    real = ["-" if results.real[name]["value"] is None else f"{results.real[name]['value']:.3g}" for name in metrics]
    return markdown([*rows, ["real data", *[""] * 6, *real, ""]])


def ratio_table(domain: str, results: Results) -> str:
    """Return how soon polydiff has the best quality that each peer reached."""
    metric = results.metrics(domain)[0]
    better = results.real[metric]["better"]
    curves = {name: [(p.minutes, p.mean) for p in curve(results, name, metric)] for name in results.systems}
    ours = curves.pop("polydiff", [])
    rows = [["peer", f"its best {metric}", "its minutes", "polydiff's minutes", "ratio"]]
    for name, theirs in curves.items():
        if not theirs:
            continue
        quality = (min if better == "lower" else max)(value for _, value in theirs)
        their, own = minutes_to(theirs, quality, better), minutes_to(ours, quality, better)
        early = bool(ours) and own == ours[0][0]
        reached = "not reached" if math.isinf(own) else f"{'at most ' * early}{own:.2g}"
        ratio = "-" if math.isinf(own) else f"{'at least ' * early}{their / own:.2g}"
        rows.append([name, f"{quality:.3g}", f"{their:.2g}", reached, ratio])
    return markdown(rows)


def tables(domain: str, results: Results) -> str:
    """Return both tables, or a sentence if nothing has a number of the deciding metric."""
    metric = results.metrics(domain)[0]
    if not any(curve(results, name, metric) for name in results.systems):
        return f"No result has a {metric}: it needs more samples (-n).\n"
    return f"{quality_table(domain, results)}\n{ratio_table(domain, results)}"


def picture(domain: str, results: Results, path: Path) -> None:
    """Draw the deciding metric over minutes: lines of means, bands from the least to the greatest of the seeds."""
    from matplotlib.figure import Figure

    metric = results.metrics(domain)[0]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in results.systems:
        points = curve(results, name, metric)
        if not points:
            continue
        minutes = [point.minutes for point in points]
        (line,) = axes.plot(minutes, [point.mean for point in points], marker="o", label=name)
        low, high = ([edge(point.values) for point in points] for edge in (min, max))
        axes.fill_between(minutes, low, high, color=line.get_color(), alpha=0.2)
    if results.real[metric]["value"] is not None:
        axes.axhline(results.real[metric]["value"], color="grey", linestyle=":", label="real data")
    axes.set_xscale("log")
    if results.real[metric]["better"] == "lower":
        axes.set_yscale("log")
    ticks = sorted({one["minutes"] for one in results.runs})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(f"{metric} ({results.real[metric]['better']} is better)")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(path)
