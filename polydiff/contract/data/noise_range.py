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
from collections.abc import Collection, Mapping
from statistics import NormalDist
from typing import Any

from polydiff.contract.sections.run import Config

MARGIN = 4.0
"""Least ratio of sigma_max to the largest principal standard deviation of the data."""
OPTIONS, TIMES = "schedule_options", "loss.times_options"
HIGHEST, MEAN, STD = "sigma_max", "mean", "std"
PER_SIGMA = {"log_normal": (1.0, 1.0), "log_snr_normal": (-0.5, 0.5)}
"""Normal training times -> factors that turn their mean and standard deviation into those of log sigma."""
PRINCIPAL = "principal_std"
"""Name of the largest principal standard deviation among a domain's statistics."""


def needed(principal: float) -> float:
    """Return the least sigma_max for data of this largest principal standard deviation, to three digits."""
    return float(f"{MARGIN * principal:.3g}")


def suited_range(config: Config, principal: float, free: Collection[str], above: float | None = None) -> dict[str, Any]:
    """Return the noise range that data need where the configuration's is too small, as key -> value; {} if it is not.

    Normal training times are stretched with the range, since the levels at which the largest directions of the data are
    decided would hardly be trained otherwise: `stretched`, or with `above` `raised`.

    Arguments:
        config: The configuration.
        principal: Largest principal standard deviation of the states of training.
        free: Dotted keys whose values come from defaults and presets; the others are the user's and stay.
        above: Share of the training levels that should lie above the largest principal standard deviation; None: their
            share at the upper end of the range stays instead.
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
    times, options = config.loss.times, config.loss.times_options
    if times in PER_SIGMA and {"loss.times", TIMES} <= set(free) and options.keys() >= {MEAN, STD}:
        per = PER_SIGMA[times]
        new = (
            stretched(options, per, highest, needed(principal))
            if above is None
            else raised(options, per, highest, principal, above)
        )
        found[TIMES] = {**options, **new}
    return found


def stretched(options: Mapping[str, float], per: tuple[float, float], old: float, new: float) -> dict[str, float]:
    """Return mean and standard deviation of normal training times for a range up to `new` instead of `old`.

    Their quantile at the old upper end moves to the new one, that at the mirrored lower level stays.

    Arguments:
        options: The present mean and standard deviation.
        per: Factors that turn them into those of log sigma (`PER_SIGMA`).
        old: Highest noise level that they were chosen for.
        new: Highest noise level of the data.
    """
    mean, std = per[0] * options[MEAN], per[1] * options[STD]
    rise, reach = math.log(new / old) / 2, math.log(old) - mean
    return four_digits((mean + rise) / per[0], std * (reach + rise) / reach / per[1])


def raised(
    options: Mapping[str, float], per: tuple[float, float], old: float, principal: float, above: float
) -> dict[str, float]:
    """Return mean and standard deviation of normal training times of which a share lies above a level.

    Their quantile at the mirrored lower level of the old upper end stays, as with `stretched`. If as many lie above the
    level already, both stay.

    Arguments:
        options: The present mean and standard deviation.
        per: Factors that turn them into those of log sigma (`PER_SIGMA`).
        old: Highest noise level that they were chosen for.
        principal: The level.
        above: The share, in (0, 1/2).
    """
    mean, std = per[0] * options[MEAN], per[1] * options[STD]
    reach, z = math.log(old) - mean, NormalDist().inv_cdf(1 - above)
    if math.log(principal) <= mean + z * std:
        return {}
    new = (math.log(principal) - mean + reach) / (z + reach / std)
    return four_digits((math.log(principal) - z * new) / per[0], new / per[1])


def four_digits(mean: float, std: float) -> dict[str, float]:
    """Return options of normal training times, to four digits."""
    return {MEAN: float(f"{mean:.4g}"), STD: float(f"{std:.4g}")}


def suited_to(
    config: Config, statistics: Mapping[str, Any], free: Collection[str], above: float | None = None
) -> dict[str, Any]:
    """Return `suited_range` for a domain's statistics, {} if they lack the entry, as those of earlier runs do.

    Arguments:
        config: The configuration.
        statistics: Those of the domain.
        free: As in `suited_range`.
        above: As in `suited_range`.
    """
    principal = statistics.get(PRINCIPAL)
    return suited_range(config, principal, free, above) if principal else {}


def range_facts(config: Config, principal: float, set_keys: Collection[str]) -> dict[str, Any]:
    """Return what `polydiff data check` shows: the deviation, and the highest noise level with its source.

    Arguments:
        config: The configuration.
        principal: Largest principal standard deviation of the states.
        set_keys: Dotted keys that the user set.
    """
    return {
        "largest principal standard deviation": round(principal, 3),
        HIGHEST: range_in_words(config, principal, any(key.startswith("schedule") for key in set_keys)),
    }


def range_in_words(config: Config, principal: float, chosen: bool) -> str:
    """Return the highest noise level of a new run and where it comes from.

    Arguments:
        config: The configuration.
        principal: Largest principal standard deviation of the states.
        chosen: Whether the user set the schedule or its options.
    """
    highest = config.schedule_options.get(HIGHEST)
    if highest is None:
        return f"that of schedule={config.schedule}; at least {needed(principal):g} suits the data"
    if highest >= needed(principal):
        return f"{highest:g}, as configured"
    if chosen:
        return f"{highest:g}, which is too low: leave it out, or set {OPTIONS}.{HIGHEST}={needed(principal):g}"
    own = f"{highest:g} of preset {config.preset} is too low"
    return f"{needed(principal):g}, {MARGIN:g} times that deviation, set automatically: {own}"
