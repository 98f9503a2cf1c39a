"""Inspection of a folder of images, for `polydiff data check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.contract.abilities import Inspection
from polydiff.contract.data.noise_range import PRINCIPAL, range_facts
from polydiff.contract.domain import Domain, conditions_of
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.source import Source
from polydiff.domains.image.network import QUICK, SMALL, levels_in_words, tokens_in_words
from polydiff.support.errors import UserError

MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "colour",
    "RGBA": "colour with transparency",
    "CMYK": "ink colours",
    **dict.fromkeys(("I", "I;16", "I;16B", "I;16L", "I;16N"), "grey, 16 bits"),
}
"""Pillow's mode -> words."""
NAMED = 20
"""Classes that are named."""
LARGE = 2
"""Ratio of the images' shorter sides to data.size from which on a larger data.size is mentioned."""


class Opened(Domain, Protocol):
    """A domain with its images."""

    @property
    def source(self) -> Source: ...


def inspect_images(config: ImageConfig, set_keys: Collection[str], opened: Callable[[], Opened]) -> Inspection:
    """Return a summary of the images of a configuration.

    Arguments:
        config: The configuration.
        set_keys: Dotted keys that the user set.
        opened: Opens the data as training does. A `UserError` becomes a problem of the data.
    """
    found = Inspection()
    try:
        domain = opened()
        found.facts = facts_of(domain.source, config, domain.statistics[PRINCIPAL], set_keys)
        found.facts["conditions"] = {name: kind.words for name, kind in conditions_of(domain).items()}
        found.quarantine = domain.source.quarantine
    except UserError as error:
        found.problems.append(str(error))
    return found


def facts_of(source: Source, config: ImageConfig, principal: float, set_keys: Collection[str] = ()) -> dict[str, Any]:
    """Return the facts on a folder of images, name -> JSON value, in the order of printing.

    Arguments:
        source: The images.
        config: The configuration with which they were read.
        principal: Largest principal standard deviation of their states.
        set_keys: Dotted keys that the user set.
    """
    facts = list(source.facts.values())
    sides = quantiles([one.shorter for one in facts])
    return {
        "formats": count(one.format for one in facts),
        "pixels": count(MODES.get(one.mode, one.mode) for one in facts),
        "shorter sides in pixels": sides,
        "longer sides in pixels": quantiles([max(one.width, one.height) for one in facts]),
        "classes": listed(source.names),
        **{f"{side} examples": len(split) for side, split in source.splits.items()},
        "read as": in_words(config, sides["half"]),
        **network_in_words(config),
        **range_facts(config, principal, set_keys),
    }


def in_words(config: ImageConfig, side: float) -> str:
    """Return the size of examples, and what to set where it is far below that of the images.

    Arguments:
        config: The configuration.
        side: Median of the shorter sides of the images.
    """
    size, data = config.data.square, config.data
    text = f"{data.side} x {data.side} pixels, {'grey' if data.planes == 1 else 'colour'} (data.size, data.channels)"
    if data.shrink > 1:
        text += f", means of blocks of {data.shrink} x {data.shrink} of {size} x {size} pixels (data.shrink)"
    if side >= LARGE * size:
        text += f"; the images are {side / size:.3g} times larger"
    return text


def network_in_words(config: ImageConfig) -> dict[str, str]:
    """Return {"network": its grid, the batch size, and the preset of a larger network}, {} for another backbone."""
    size, network = config.data.side, config.backbone
    if isinstance(network, UNetConfig):
        text, larger = levels_in_words(size, network), "small"
    elif isinstance(network, DiTConfig):
        text, larger = tokens_in_words(size, network), "dit-s"
    else:
        return {}
    text += f", batches of {config.train.batch_size}"
    if size > SMALL and config.preset in QUICK:
        text += f"; for first tests on a CPU. --preset {larger} data.size={size} is a larger one, for a GPU"
    return {"network": text}


def listed(names: Sequence[str]) -> str:
    """Return the names of classes, the first `NAMED` of many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more or "none"


def count(values: Iterable[str]) -> dict[str, int]:
    """Return the frequency of each value, in descending order."""
    return dict(Counter(values).most_common())


def quantiles(values: Sequence[int]) -> dict[str, float]:
    """Return the least, the median and the greatest value, by name."""
    return dict(zip(("least", "half", "greatest"), map(float, np.quantile(values, (0, 0.5, 1))), strict=True))
