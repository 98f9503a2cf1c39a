r"""The highest noise level that a data set needs, as a default that the data give.

Sampling begins with N(0, s^2), s = sigma_max, where training ends with the data plus this noise. Along a direction in
which the data have the standard deviation d, the two differ by a Kullback-Leibler divergence of

$$ (r - \log(1 + r)) / 2, \qquad r = d^2 / s^2 . $$

At s = 4 d, it is 0.0009 nats, and the standard deviation of the noise is 3 % too low. The direction of the largest d,
the first principal component, decides: photographs vary most in their brightness, by a standard deviation that grows
with the number of pixels. At s = 0.6 d the noise is half as wide as it should be, and samples differ too little in
brightness.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from typing import Any

from polydiff.contract.sections import Config

MARGIN = 4.0
"""Least ratio of sigma_max to the largest principal standard deviation of the data."""
OPTIONS, TIMES = "schedule_options", "loss.times_options"
HIGHEST, LOG_NORMAL = "sigma_max", {"mean", "std"}


def needed(principal: float) -> float:
    """Return the least sigma_max for data of this largest principal standard deviation, to three digits."""
    return float(f"{MARGIN * principal:.3g}")


def suited_range(config: Config, principal: float, free: Collection[str]) -> dict[str, Any]:
    """Return the noise range that data need where the configuration's is too small, as key -> value; {} if it is not.

    Log-normal training times are stretched with the range: their quantiles at its old upper end and at the mirrored
    lower level move to the new upper end and stay. Otherwise the levels at which the largest directions of the data are
    decided would hardly be trained.

    Arguments:
        config: The configuration.
        principal: Largest principal standard deviation of the states of training.
        free: Dotted keys whose values come from defaults and presets; the others are the user's and stay.
    """
    highest = config.schedule_options.get(HIGHEST)
    if highest is None or highest >= needed(principal):
        return {}
    if OPTIONS not in free:
        warnings.warn(
            f"{OPTIONS}.{HIGHEST}={highest:g} is less than {MARGIN:g} times {principal:.3g}, the largest principal "
            "standard deviation of the data, so samples begin with too little noise. Leave it out, or set "
            f"{OPTIONS}.{HIGHEST}={needed(principal):g}.",
            stacklevel=2,
        )
        return {}
    found: dict[str, Any] = {OPTIONS: {**config.schedule_options, HIGHEST: needed(principal)}}
    options = config.loss.times_options
    if config.loss.times == "log_normal" and {"loss.times", TIMES} <= set(free) and options.keys() >= LOG_NORMAL:
        rise = math.log(needed(principal) / highest) / 2
        reach = math.log(highest) - options["mean"]
        stretched = {"mean": options["mean"] + rise, "std": options["std"] * (reach + rise) / reach}
        found[TIMES] = {**options, **{name: float(f"{value:.4g}") for name, value in stretched.items()}}
    return found
