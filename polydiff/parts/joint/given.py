"""Parts that are known as a whole, given which the others are sampled.

A network has learnt to sample given some parts if training met them clean beside others that are not: as a group of
`coupling.given`, or at any time by `coupling.apart`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from polydiff.contract.sections.parts import parts_in
from polydiff.core.parts.product import Product, unknown_in
from polydiff.parts.sampling.execute import Held, JointRow
from polydiff.parts.sampling.plan import PartsPlan
from polydiff.support.errors import UserError, unknown

if TYPE_CHECKING:
    from polydiff.contract.sections.run import Config


@dataclass(frozen=True)
class JointInpainting(PartsPlan):
    """A plan that keeps known values. Parts that are known as a whole are clean from the beginning, as in training."""

    def rows(self, sites: int, held: Held | None, space: Product) -> Sequence[JointRow]:
        rows, config = super().rows(sites, held, space), self.model.config
        whole = known_wholly(held, space) if held else set()
        if not covers(config, whole):
            if held and partly_known(held, space) - whole:  # of other parts too, as with added atoms of known elements
                whole = {name for name in whole if config.parts[name].process != "masked"}  # letters are simply open
            check_given(config, whole)
        clean = dict.fromkeys(whole, 0.0)
        return [
            replace(
                row,
                rows={name: move for name, move in row.rows.items() if name not in whole},
                levels={**row.levels, **clean},
            )
            for row in rows
        ]


def known_wholly(held: Held, space: Product) -> set[str]:
    """Return the parts of which all samples of a batch are known as a whole.

    Raises:
        UserError: A part is known as a whole in some samples and not in others, which need plans of their own.
    """
    found = set()
    for name, mask in held.masks.items():
        unknown = unknown_in(held.x_0[name], mask, space.parts[name]) > 0
        if bool(unknown.any()) and not bool(unknown.all()):
            raise UserError(
                f"The part {name} is known as a whole in some of the examples and not in others. Inpaint them apart."
            )
        if not bool(unknown.any()):
            found.add(name)
    return found


def partly_known(held: Held, space: Product) -> set[str]:
    """Return the parts of which anything is known in a sample of a batch."""
    return {
        name
        for name, mask in held.masks.items()
        if bool((unknown_in(held.x_0[name], ~mask, space.parts[name]) > 0).any())
    }


def covers(config: Config, parts: Collection[str]) -> bool:
    """Return whether training met these parts, and no others, clean beside parts that are not."""
    coupling = config.coupling
    groups = [set(parts_in(group)) for group in coupling.parts or config.parts] if coupling.given else []
    return not parts or coupling.apart > 0 or set(parts) in groups


def check_given(config: Config, parts: Collection[str]) -> None:
    """Raise UserError unless a network of this configuration has learnt to sample the other parts given these."""
    for name in parts:
        if name not in config.parts:
            raise unknown("part", name, config.parts)
    if set(parts) == config.parts.keys():
        raise UserError("All parts are given, so there is nothing to sample. Leave one of them open.")
    if covers(config, parts):
        return
    names = [name for name in config.parts if name in parts]
    what = f"part {names[0]} given" if len(names) == 1 else f"parts {' and '.join(names)} given together"
    chosen = "" if len(names) == 1 and not config.coupling.parts else f" coupling.parts=[{'+'.join(names)}]"
    raise UserError(
        f"This network was never trained with the {what}. Train with coupling.given=0.3 coupling.same=0.7{chosen}."
    )
