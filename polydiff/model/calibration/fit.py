"""Fit the sampler of a trained model to its network: `polydiff.calibrate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from polydiff.core.process.abilities import Calibrates
from polydiff.core.process.process import lacks
from polydiff.core.process.sampling import Draw
from polydiff.model.calibration.use import DETERMINED
from polydiff.model.model import Model, check_model
from polydiff.model.origin import digest
from polydiff.model.request import Request
from polydiff.run.calibrations import Fitted, purpose
from polydiff.support.errors import UserError, check_whole
from polydiff.support.progress import showing
from polydiff.support.protocols import provides

FEWEST, MOST, NUMBERS = 12, 256, 3072
"""Least and largest number of samples to fit on, and how many numbers their states have in all in between."""
FIRST = 10**9
"""Number of the first sample to fit on, so that no usual request draws one of these."""


def calibrate(
    model: Model,
    *,
    steps: int = 8,
    guidance: float | None = None,
    cond: Mapping[str, Any] | None = None,
    n: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    **sampling: Any,
) -> Fitted:
    """Fit noise levels and coefficients of a sampler to a model, for one number of steps and one guidance.

    Samples are then as near as possible to those of many steps from the same noise. What is found is judged on as many
    further samples; if it is not better than the default sampler there, this one is kept (`Fitted.default`).

        fitted = calibrate(model, steps=8, guidance=2.0)
        samples = model.sample(16, **fitted.sampling)
        fitted.save("runs/image-001")                                # then sampler="calibrated" finds it

    Arguments:
        model: The model.
        steps: Number of sampling steps, each one evaluation of the network, or two with guidance.
        guidance: Guidance scale; 1: no guidance; None: as configured.
        cond: Conditions of the samples to fit on, as in `Model.sample`; those not given are drawn.
        n: Number of samples to fit on, and of those to judge on; None: 12 to 256, the more the smaller states are.
        seed: Random seed of both.
        progress: Whether to show progress, as in `Model.sample`.
        sampling: Further keys of the section `sample`, such as guidance_method="apg".

    Raises:
        UserError: The process cannot be calibrated, an option is wrong, or samples of the model explode.
    """
    check_model(model)
    check_whole("steps", steps)
    check_whole("seed", seed, least=0)
    if not provides(model.process, Calibrates):
        raise lacks(model.process, "calibrate its sampler")
    if set_here := [key for key in DETERMINED if sampling.get(key)]:
        raise UserError(f"{set_here[0]} is what calibration determines. Leave it out.")
    request = Request.of(model, {**sampling, "sampler": "auto", "steps": steps, "guidance": guidance}, cond)
    count = amount_for(request, seed) if n is None else n
    check_whole("n", count, least=2)
    draws = batch(request, seed, FIRST, count), batch(request, seed, FIRST + count, count)
    with showing(progress):
        found = model.process.calibrate(model, request.how, draws, request.guide)
    keys = {**purpose(request.section()), **found.sampling}
    errors, before = median(found.errors), median(found.before)
    return Fitted(keys, digest(model.denoiser), model.step, model.weights, count, errors, before, default=found.default)


def amount_for(request: Request, seed: int) -> int:
    """Return the number of samples to fit on: the states of all have at least `NUMBERS` numbers, within bounds."""
    space, _ = request.blank(range(FIRST, FIRST + FEWEST), seed)
    return min(max(FEWEST, math.ceil(NUMBERS / float(space.dim.double().mean()))), MOST)


def batch(request: Request, seed: int, first: int, count: int) -> Draw:
    """Return a batch of the samples `first` to `first` + count - 1."""
    indices = range(first, first + count)
    return request.draw(*request.blank(indices, seed), seed, indices, compile=False)
