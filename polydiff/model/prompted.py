"""Samples under the conditions of held-out examples, for domains that judge agreement with a condition.

Only such samples stand beside real examples of the same captions, in an evaluation and on the page of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polydiff.contract.abilities import HasPrompts
from polydiff.contract.domain import Samples
from polydiff.gallery.draws import SampleRequest
from polydiff.model.request import Request
from polydiff.support.protocols import provides

SHOWN = 16
"""Samples in each set that a run keeps during training, and real examples beside them."""


def prompts(request: SampleRequest, cond: Mapping[str, Any] | None = None) -> Mapping[str, str]:
    """Return the splits under whose conditions samples are judged, and the prefixes of their metrics; {}: none."""
    domain = request.model.domain
    return domain.prompts if provides(domain, HasPrompts) and not cond and not request.model.restores else {}


def prompted(request: SampleRequest, split: str, n: int, seed: int) -> Samples:
    """Return samples under the conditions of the examples of a split, at most n."""
    given = request.model.domain.examples(split, n)
    return request.under(given.cond).joined(range(len(given)), seed)


def shown_request(request: Request, n: int = SHOWN) -> tuple[Request, int]:
    """Return a request for samples to show, and their number, at most n.

    They are under the conditions of held-out examples, those of `Domain.examples(split, n)`, if the domain judges them
    so; then their number is at most that of these examples.
    """
    split = next(iter(prompts(request)), "")
    if not split:
        return request, n
    given = request.model.domain.examples(split, n)
    return request.under(given.cond), len(given)
