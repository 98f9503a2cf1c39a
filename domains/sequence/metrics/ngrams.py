r"""Counts of letters: how the n-grams of two sets of texts differ.

$$ \mathrm{TV} = \tfrac 1 2 \textstyle\sum_g |p(g) - q(g)| $$

is the total variation between the shares p and q of all sequences g of n letters: 0 for equal counts, 1 if no sequence
occurs in both sets. It does not vanish for two sets from one law: with N sequences counted and G about equally likely
ones it is near sqrt(G / (2 pi N)) for a comparison with the law itself. The row of real data shows this floor.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from polydiff.metrics.standard_error import Number, jackknife

EDGE = "\0"
"""Letter before and after each text, so that n-grams also say how texts begin and end."""
GROUPS = 20
"""Groups of texts of which each is left out once for the standard error."""


def ngrams(text: str, n: int, edges: bool) -> list[str]:
    """Return the sequences of n letters of a text.

    Arguments:
        text: The text.
        n: Letters of a sequence.
        edges: Whether the text has a beginning and an end, rather than being cut from a longer one.
    """
    whole = f"{EDGE}{text}{EDGE}" if edges and n > 1 else text
    return [whole[i : i + n] for i in range(len(whole) - n + 1)]


def count(texts: Sequence[str], n: int, edges: bool) -> Counter[str]:
    """Return how often each sequence of n letters occurs in texts; arguments as of `ngrams`."""
    return Counter(gram for text in texts for gram in ngrams(text, n, edges))


def variation(a: Counter[str], b: Counter[str]) -> float:
    """Return the total variation between the shares of two counts; NaN if one is empty."""
    of_a, of_b = a.total(), b.total()
    if not (of_a and of_b):
        return math.nan
    return 0.5 * math.fsum(abs(a[gram] / of_a - b[gram] / of_b) for gram in a.keys() | b.keys())


def distance(texts: Sequence[str], known: Counter[str], n: int, edges: bool) -> Number:
    """Return the total variation between the n-grams of texts and known counts, with a jackknife error over groups.

    Arguments:
        texts: The texts.
        known: Counts of the n-grams of other texts.
        n: Letters of a sequence.
        edges: As of `ngrams`.
    """
    parts = [count(texts[i::GROUPS], n, edges) for i in range(min(GROUPS, len(texts)))]
    whole = sum(parts, Counter[str]())
    return Number(variation(whole, known), jackknife([variation(whole - part, known) for part in parts]))
