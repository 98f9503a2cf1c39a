"""Between molecules and states: of the data set, of a user's files, and with further atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polydiff.contract.sections import Config
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Condition, Conditions
from polydiff.core.space import Batch, Space, State
from polydiff.core.units import Units
from polydiff.domains.molecule.chemistry.composition import symbols
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.chemistry.sizes import FARTHEST, check_atoms, size_nats
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.conditions import Wishes
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.inputs import further, longer, named, read_molecules
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class States:
    """States of molecules.

    Arguments:
        data: Section of the configuration.
        codec: Between molecules and states.
        wishes: Conditions, in their units.
        conditions: Their kinds by name.
        sizes: Histogram of the sizes of training, [[atoms, molecules], ...]; None where it is unknown.
    """

    data: MoleculeData
    codec: Codec
    wishes: Wishes
    conditions: Conditions
    sizes: Sequence[Sequence[int]] | None

    def placed(self, sizes: Tensor, values: Tensor) -> tuple[Space, Condition | None]:
        """Return the space of molecules of these sizes (B,), and conditions (B, C) as the network takes them."""
        asking = self.wishes.asking
        return self.codec.space(sizes, asking.spelled(values) if asking.given else None), self.wishes.cond(values)

    def blank(self, batch: int) -> Condition | None:
        """Return "not given" for all conditions; None where there are none."""
        return blank_conditions(self.conditions, batch, ()) or None

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return a user's own molecules, whole or in part, without conditions."""
        known, most = symbols(self.codec.elements), FARTHEST * self.wishes.largest
        x, space = self.codec.encode(read_molecules(paths, self.data, known, most))
        return Batch(x, space, self.blank(space.batch))

    def region(self, text: str, given: Batch) -> Tensor:
        """Return which atoms a SMARTS pattern or numbers name in each molecule."""
        assert isinstance(given.space, DenseMolecules | PackedMolecules)
        chosen = np.concatenate([named(text, molecule) for molecule in self.codec.decode(given.x, given.space)])
        return self.codec.laid_out(torch.from_numpy(chosen)[:, None], given.space)

    def grown(
        self, given: Batch, mask: Tensor, add: str, generators: Sequence[torch.Generator]
    ) -> tuple[Batch, Tensor]:
        """Return molecules with further atoms of unknown positions, and the mask of what is known.

        The elements of new atoms are known where they are named or given by the space, then as in training. The
        conditions of the molecules do not hold for the larger ones, so none is given.
        """
        x, space, _ = given
        assert isinstance(space, DenseMolecules | PackedMolecules)
        count, counts = further(add, self.codec.elements)
        check_atoms(int(space.sizes.max()) + count, self.wishes.largest)
        molecules = self.codec.decode(x, space)
        new = self.new_atoms(molecules, count, counts, generators)
        y, larger = self.codec.encode([longer(m, numbers) for m, numbers in zip(molecules, new, strict=True)])
        fresh = torch.full((count, y.shape[-1]), counts is not None)
        fresh[:, :3] = False
        known = [torch.cat([rows, fresh]) for rows in self.codec.rows(mask.to(torch.bool).expand(x.shape), space)]
        return Batch(y, larger, self.blank(space.batch)), self.codec.laid_out(torch.cat(known), larger)

    def new_atoms(
        self,
        molecules: Sequence[Molecule],
        count: int,
        counts: dict[int, int] | None,
        generators: Sequence[torch.Generator],
    ) -> list[list[int]]:
        """Return the atomic numbers of the atoms that each molecule gets: `counts` by element, or `count` of any."""
        if counts is None and self.wishes.asking.given:
            return [self.wishes.further(m, count, g) for m, g in zip(molecules, generators, strict=True)]
        # where only their number is known, any element holds their place
        places = {self.codec.elements[0]: count} if counts is None else counts
        return [[z for z, n in places.items() for _ in range(n)]] * len(molecules)

    def units(self, x: State, space: Space) -> Units:
        """Return the bins and units of likelihoods, with that of sizes unless the space gives the elements."""
        units = self.codec.units(x, space)
        assert isinstance(space, DenseMolecules | PackedMolecules)
        if self.sizes is None or self.wishes.asking.given:
            return units
        return units._replace(size=size_nats(space.sizes, self.sizes))


def check_scales(config: Config) -> None:
    """Raise a `UserError` for features that the lowest noise level would blur: 8 times it must fit into one."""
    assert isinstance(config.data, MoleculeData)
    lowest = SCHEDULES[config.schedule](**config.schedule_options).sigma_min
    for key in ("type_scale", "number_scale"):
        scale = getattr(config.data, key)
        if scale and 8 * lowest >= scale:
            raise UserError(
                f"data.{key}={scale:g} cannot be read back: the schedule's lowest noise level is {lowest:.3g}, and 8 "
                "times that must be less. Make it larger, or the schedule's lowest level smaller."
            )
