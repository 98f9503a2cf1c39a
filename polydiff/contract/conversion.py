"""Conversion of samples to objects of other libraries, for `Samples.to`."""

from __future__ import annotations

import warnings
from typing import Any

from polydiff.contract.abilities import Converts
from polydiff.contract.domain import Domain, Samples
from polydiff.support.errors import UserError, attempt, nearest
from polydiff.support.protocols import provides


def convert(domain: Domain, name: str, kind: str, samples: Samples) -> Any:
    """Return samples as objects of another library.

    Arguments:
        domain: Converts them.
        name: Its name, for messages.
        kind: Name of the conversion, such as "pil".
        samples: What to convert.

    Raises:
        UserError: The domain has no such conversion.
    """
    if not provides(domain, Converts):
        raise UserError(
            f"The domain {name} converts samples to no other form. `samples.examples` holds them in its own form; a "
            "domain adds conversions with a method `converters` (docs/domains.md)."
        )
    converters = domain.converters()
    if kind not in converters:
        near = nearest(kind, converters)
        raise UserError(
            f"The domain {name} converts samples to {', '.join(sorted(converters))}, not to {kind}."
            f"{f' Did you mean {near!r}?' if near else ''} `samples.save(folder)` writes them as files."
        )
    found = attempt(f"Conversion to {kind}", lambda: converters[kind](samples.examples))
    if isinstance(found, list) and (missing := sum(one is None for one in found)):
        warnings.warn(
            f"Conversion to {kind}: {missing} of {len(found)} samples cannot be converted; they are None.", stacklevel=4
        )
    return found
