"""What was learned of data sets of samples, and judge.json, the file that holds it.

A file has one entry for each number of real examples and each setting: the runs, their data sets, the measure and the
number of seeds. A later judgement of the same number and settings takes the place of its entry; others stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.augmenting.verdict import ERRORS, Scores, best, verdict
from polydiff.metrics.standard_error import mean
from polydiff.support.errors import UserError
from polydiff.support.files import json_number, write_atomic

FILE = "judge.json"


@dataclass(frozen=True)
class Judged:
    """What was learned with k real examples.

    Arguments:
        k: Number of real examples, of each class if there are classes.
        classes: Whether the data have classes.
        runs: Name of each run whose samples were used -> digest of the manifest of its data set.
        measure: What was measured.
        better: "higher" or "lower".
        augmentation: How examples are changed, in words.
        synthetic: Number of synthetic examples of a run.
        scores: Values for each seed, by the name of the way to train.
    """

    k: int
    classes: bool
    runs: Mapping[str, str]
    measure: str
    better: str
    augmentation: str
    synthetic: int
    scores: Scores

    @property
    def verdict(self) -> str:
        """Whether synthetic examples help (`polydiff.augmenting.verdict`)."""
        return verdict(self.scores, self.better)

    def best(self, synthetic: bool) -> str:
        """Return the best way to train with synthetic examples, or without."""
        return best(self.scores, synthetic, self.better)

    @property
    def settings(self) -> dict[str, Any]:
        """All that the values depend on, as JSON."""
        return {
            "k": self.k,
            "classes": self.classes,
            "runs": dict(self.runs),
            "measure": self.measure,
            "better": self.better,
            "augmentation": self.augmentation,
            "synthetic": self.synthetic,
            "seeds": len(next(iter(self.scores.values()))),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the settings, and all values with means, standard errors and the verdict, as JSON."""
        numbers = {name: mean(values) for name, values in self.scores.items()}
        return {
            **self.settings,
            "scores": {name: list(values) for name, values in self.scores.items()},
            "mean": {name: json_number(number.value) for name, number in numbers.items()},
            "standard_error": {name: json_number(number.error) for name, number in numbers.items()},
            "interval": f"mean ± {ERRORS:g} standard errors",
            "best_without": self.best(False),
            "best_with": self.best(True),
            "verdict": self.verdict,
        }


def save(file: Path, found: Sequence[Judged]) -> None:
    """Add results to a file, whose other entries stay, in the order of k.

    Raises:
        UserError: The file holds something else.
    """
    new = [one.settings for one in found]
    kept = [entry for entry in entries(file) if {name: entry.get(name) for name in new[0]} not in new]
    every = sorted([*kept, *(one.as_json() for one in found)], key=lambda entry: int(entry["k"]))
    write_atomic(file, json.dumps(every, indent=1, ensure_ascii=False) + "\n")


def entries(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a file; [] if it is absent.

    Raises:
        UserError: The file holds something else.
    """
    if not file.exists():
        return []
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if all(isinstance(entry["k"], int) for entry in found):
            return list(found)
    except (ValueError, TypeError, KeyError):
        pass
    raise UserError(f"{file} holds no results of --judge. Move it away, or choose another -o.")
