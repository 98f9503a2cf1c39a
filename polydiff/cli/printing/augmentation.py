"""The table of `polydiff augment --judge`, on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polydiff.cli.printing.tables import table
from polydiff.report.numbers import with_error
from polydiff.support.errors import amount

if TYPE_CHECKING:
    from polydiff.augmenting.results import Judged


def judged_table(found: Sequence[Judged]) -> None:
    """Print what is learned with each number of real examples, as mean ± standard error over seeds, and the verdict."""
    from polydiff.augmenting.verdict import ERRORS, WAYS

    first = found[0]
    seeds = len(next(iter(first.scores.values())))
    for measure in dict.fromkeys(one.measure for one in found):  # several if the held-out examples depend on k
        print(f"{measure}, mean ± standard error over {seeds} seeds; {first.better} is better")
    ways = [name for name in WAYS if any(name in one.scores for one in found)]
    rows = [(name, *(cell(one, name) for one in found)) for name in ways]
    columns = [f"{one.k} real a class" if one.classes else f"{one.k} real" for one in found]
    print()
    table(("trained on", *columns), [*rows, ("", *(one.verdict for one in found))], right=columns)
    print()
    for one in found:
        compared = ", ".join(f"{name} {cell(one, name)}" for name in (one.best(True), one.best(False)))
        made = f"{amount(one.synthetic, 'synthetic example')} of {', '.join(one.runs)}"
        print(f"{one.k}: {one.verdict}. Best with and without: {compared}; {made}.")
    side = "above" if first.better == "higher" else "below"
    print(f"gain: the mean ± {ERRORS:g} standard errors with synthetic examples lies {side} that without.")
    if first.augmentation:
        print(f"augmented: {first.augmentation}.")
    if all(len(one.runs) == 1 for one in found):
        print(
            "One run for each number: errors hold the variation between trainings of the small model, not between real "
            "examples or runs. Several runs with other data.subset and seed hold that as well."
        )


def cell(one: Judged, name: str) -> str:
    """Return a mean with its standard error; "" if this way was not trained."""
    from polydiff.metrics.standard_error import mean

    return with_error(*mean(one.scores[name])) if name in one.scores else ""
