"""The section `sample` of a request for the sampler "calibrated": its numbers are those fitted to the model.

What is returned holds the numbers themselves, so that manifests and exported programs need no further file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from polydiff.contract.sections.sampling import SampleConfig
from polydiff.core.process.abilities import Calibrates
from polydiff.core.process.process import lacks
from polydiff.model.origin import digest
from polydiff.run.calibrations import GUIDANCE, Fitted, purpose
from polydiff.support.errors import UserError, amount
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.model.model import Model

NAME = "calibrated"
"""Name of the sampler."""
DETERMINED = ("sampler", "options", "spacing", "spacing_options")
"""Keys of the section `sample` that calibration determines."""
SHOWN = 4
"""Number of other calibrations that a message names."""


def with_fitted(model: Model, how: SampleConfig) -> SampleConfig:
    """Return a section `sample`, of the sampler "calibrated" with the numbers that were fitted to the model.

    Arguments:
        model: The model.
        how: The section.

    Raises:
        UserError: The model has none for these steps and this guidance, or its weights have changed.
    """
    if how.sampler != NAME or how.options:
        return how
    if how.spacing or how.spacing_options:
        raise UserError("The sampler calibrated has noise levels of its own. Leave the spacing out.")
    if not provides(model.process, Calibrates):
        raise lacks(model.process, "calibrate its sampler")
    wanted = purpose(how.model_dump(mode="json"))
    weights = digest(model.denoiser)
    own = [one for one in model.fitted if one.weights_digest == weights]
    found = next((one for one in own if purpose(one.sampling) == wanted), None)
    if found is None:
        raise UserError(f"{missing(model, own, wanted)} Fit one: {command(wanted)}")
    return how.model_copy(update={key: found.sampling[key] for key in DETERMINED})


def missing(model: Model, own: Sequence[Fitted], wanted: Mapping[str, Any]) -> str:
    """Return the sentence that says what there is instead of a wanted sampler.

    Arguments:
        model: The model.
        own: What was fitted to its weights.
        wanted: Steps and guidance.
    """
    if own:
        nearest = sorted(own, key=lambda one: distance(one, wanted))[:SHOWN]
        others = "; ".join(words(purpose(one.sampling)) for one in nearest)
        return f"No sampler was calibrated for {words(wanted)}. There are some for {others}."
    if model.fitted:
        last = model.fitted[-1]
        return (
            f"The weights are not those that a sampler was calibrated for: these are {model.weights} of step "
            f"{model.step}, those were {last.weights} of step {last.step}."
        )
    return "No sampler was calibrated for this model."


def distance(fitted: Fitted, wanted: Mapping[str, Any]) -> tuple[float, float]:
    """Return how far the steps and the guidance of a fitted sampler are from wanted ones."""
    own = fitted.sampling
    return abs(own["steps"] - wanted["steps"]), abs(own["guidance"] - wanted["guidance"])


def words(wanted: Mapping[str, Any]) -> str:
    """Return steps and guidance as text, such as "8 steps, guidance 2"."""
    plain = SampleConfig().model_dump(mode="json")
    further = [f"{key}={value}" for key, value in wanted.items() if key in GUIDANCE and value != plain[key]]
    return ", ".join([amount(wanted["steps"], "step"), f"guidance {wanted['guidance']:g}", *further])


def command(wanted: Mapping[str, Any]) -> str:
    """Return the command that fits a sampler for steps and a guidance."""
    return f"polydiff calibrate RUN --steps {wanted['steps']} --guidance {wanted['guidance']:g}"
