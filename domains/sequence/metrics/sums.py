"""Judge of sums: an exact reader."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polydiff.metrics.results import Metric
from polydiff.metrics.standard_error import share

NUMBER = "(0|[1-9][0-9]*)"
SUM = re.compile(rf"{NUMBER}\+{NUMBER}={NUMBER}")


def read_sum(text: str) -> tuple[int, int, int] | None:
    """Return a, b and c of a text of the form a+b=c, with numbers as the data write them; None for another form."""
    match = SUM.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def is_true(text: str, largest: int) -> bool:
    """Return whether a text is one of the data's: a+b=c with a and b up to `largest`, and c their sum."""
    found = read_sum(text)
    return found is not None and max(found[:2]) <= largest and found[0] + found[1] == found[2]


def sum_metrics(texts: Sequence[str], largest: int) -> dict[str, Metric]:
    """Return the shares of samples that are equations, and true ones.

    Arguments:
        texts: The samples.
        largest: Largest number that the data add.
    """
    n = len(texts)
    return {
        "parses": Metric.of(
            share(sum(read_sum(text) is not None for text in texts), n),
            "",
            "higher",
            "Share of samples of the form a+b=c, with whole numbers without leading zeros.",
        ),
        "true": Metric.of(
            share(sum(is_true(text, largest) for text in texts), n),
            "",
            "higher",
            f"Share of samples a+b=c that are true, with a and b up to {largest} as in the data. Of numbers drawn at "
            f"random about 1 in {2 * largest} sums is true.",
        ),
    }
