"""Defaults that an objective brings with it: a layer just below the source that chooses the objective.

An objective lists them as `suits` (`polydiff.core.objective.Objective`). Values from the same source or a later one
override them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polydiff.config.layers import Layer, last, without_keys
from polydiff.contract.sections import OPTIONS_OF, LossConfig
from polydiff.support.nested import get_dotted


def objective_defaults(objective: str) -> Mapping[str, Any]:
    """Return the defaults of an objective, as dotted key -> value; {} for the default one and for an unknown name."""
    if objective == LossConfig().objective:
        return {}  # the registry of objectives imports torch, which most commands do not need
    from polydiff.gaussian.objective.base import OBJECTIVES

    return getattr(OBJECTIVES[objective], "suits", {}) if objective in OBJECTIVES else {}


def with_objective_defaults(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers with the defaults of the objective inserted before the last layer that chooses one.

    If that layer changes the objective of an earlier one, such as a run's config.resolved.yaml, the defaults of the old
    objective are removed from the earlier layers.
    """
    choosing = [i for i, layer in enumerate(layers) if get_dotted(layer.values, "loss.objective") is not None]
    if not choosing:
        return list(layers)
    before, rest = list(layers[: choosing[-1]]), layers[choosing[-1] :]
    objective, old = (str(last(part, "loss.objective") or LossConfig().objective) for part in (rest[:1], before))
    if old != objective:
        before = [layer._replace(values=without_objective_defaults(layer.values, old)) for layer in before]
    return [*before, Layer(f"objective {objective}", objective_defaults(objective)), *rest]


def without_objective_defaults(values: Mapping[str, Any], objective: str) -> dict[str, Any]:
    """Return the values of a layer without those equal to an objective's defaults, and without the options of these."""
    removed = [key for key, value in objective_defaults(objective).items() if get_dotted(values, key) == value]
    removed += [OPTIONS_OF[key] for key in removed if key in OPTIONS_OF]
    return without_keys(values, removed)
