"""The tasks for which a network of molecules can be trained.

With task=inpaint the network is conditioned on a known part of each molecule. Known letters of atoms and bonds stay
open in the state. Of positions, the network gets those of the known atoms from their own mean: what fixes the frame is
the known part, since the mean of all atoms depends on the unknown ones. So an estimate is exact for the places of known
atoms relative to each other, and equivariant: if the known part is turned, so is the molecule that completes it.

Symbols: B molecules, N the largest number of atoms, K features of an atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.inpaint import known
from polydiff.contract.tasks.task import Generate, Task
from polydiff.core.conditions import KNOWN, Condition, Conditions, given
from polydiff.core.parts.known import KnownLetters, KnownRows, known_name
from polydiff.domains.molecule.chemistry.fragments import draw_known
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import ATOMS, BONDS, POSITIONS, MoleculeConfig
from polydiff.domains.molecule.graphs.codec import ORDERS, GraphCodec
from polydiff.domains.molecule.graphs.masks import part_masks
from polydiff.parts.known import check_open_letters

APART = 3.0
"""Distance in units of a state at which the simple baseline puts atoms that are not known, in a row."""


def open_task(config: Config, codec: Codec | GraphCodec) -> Task:
    """Return the task of a configuration.

    Raises:
        UserError: A part has a process whose letters cannot be known in training.
    """
    assert isinstance(config, MoleculeConfig)
    if config.task == "generate":
        return Generate()
    if isinstance(codec, Codec):
        return CompletePoints(codec.features)
    for name, part in config.parts.items():
        if name != POSITIONS:
            check_open_letters(part.process, f"parts.{name}.process")
    kinds: dict[str, KnownRows | KnownLetters] = {
        POSITIONS: KnownRows(3),
        ATOMS: KnownLetters(len(codec.letters)),
        BONDS: KnownLetters(ORDERS, grid=2),
    }
    return CompleteGraphs({name: kinds[name] for name in config.parts})


@dataclass(frozen=True)
class CompletePoints:
    """Inpainting of molecules without bonds of their own.

    Arguments:
        features: K.
    """

    features: int

    residual: ClassVar[bool] = False
    simple: ClassVar[str] = "the known atoms, the others in a row far apart"

    @property
    def conditions(self) -> Conditions:
        return {KNOWN: KnownRows(3 + self.features)}

    def observe(
        self, molecules: Sequence[Molecule], x: Any, space: Any, generators: Sequence[torch.Generator]
    ) -> dict[str, Tensor]:
        """Return the known rows of states (B, N, 3 + K) by name; of each molecule by its own generator."""
        atoms, named = drawn_masks(molecules, space.mask, generators)
        masks = [atoms[..., None].expand(-1, -1, 3), named[..., None].expand(-1, -1, self.features)]
        return {KNOWN: known(x, torch.cat(masks, -1))}

    def guess(self, observed: Condition, sizes: Sequence[int]) -> Tensor:
        rows = observed[KNOWN]
        return torch.cat([in_a_row(rows[..., :3]), rows[..., 3:].nan_to_num(0.0)], -1)

    def finish(self, x: Any, observed: Condition) -> Tensor:
        rows = observed[KNOWN].to(x)
        features = torch.where(given(rows), rows, x)[..., 3:]
        return torch.cat([put_back(x[..., :3], rows[..., :3]), features], -1)


@dataclass(frozen=True)
class CompleteGraphs:
    """Inpainting of molecules with bonds.

    Arguments:
        parts: Name of a part of the state -> kind of its known values.
    """

    parts: Mapping[str, KnownRows | KnownLetters]

    residual: ClassVar[bool] = False
    simple: ClassVar[str] = "the known part, other atoms of the first kind, if they are not given, without bonds"

    @property
    def conditions(self) -> Conditions:
        return {known_name(name): kind for name, kind in self.parts.items()}

    def observe(
        self, molecules: Sequence[Molecule], x: Any, space: Any, generators: Sequence[torch.Generator]
    ) -> dict[str, Tensor]:
        """Return the known values of all parts by name; of each molecule by its own generator."""
        atoms, named = drawn_masks(molecules, space.parts[BONDS].mask, generators)
        masks = {**part_masks(atoms[..., None], space), ATOMS: named}
        return {known_name(name): known(part, masks[name]) for name, part in x.items()}

    def guess(self, observed: Condition, sizes: Sequence[int]) -> Any:
        values = {name: observed[known_name(name)] for name in self.parts}
        return {name: in_a_row(y) if name == POSITIONS else y.clamp(min=0) for name, y in values.items()}

    def finish(self, x: Any, observed: Condition) -> Any:
        values = {name: observed[known_name(name)].to(part) for name, part in x.items()}
        return {
            name: put_back(x[name], y) if name == POSITIONS else torch.where(given(y), y, x[name])
            for name, y in values.items()
        }


def drawn_masks(
    molecules: Sequence[Molecule], mask: Tensor, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Return which atoms are known, and of which the element is known, booleans (B, N) each.

    Arguments:
        molecules: B molecules.
        mask: True at atoms, False at padding, (B, N).
        generators: One for each molecule.
    """
    atoms, named = torch.zeros_like(mask), torch.zeros_like(mask)
    for i, (molecule, generator) in enumerate(zip(molecules, generators, strict=True)):
        found = draw_known(molecule, generator)
        atoms[i, : len(found.atoms)] = torch.from_numpy(found.atoms)
        named[i] = mask[i] if found.named else atoms[i]
    return atoms, named


def put_back(x: Tensor, y: Tensor) -> Tensor:
    """Return positions (B, N, 3) whose known part is moved, as a whole, to where x has it: x + M (y - x).

    Arguments:
        x: Positions, (B, N, 3).
        y: Known positions, NaN where unknown.
    """
    here = given(y).all(-1, keepdim=True)
    own = torch.where(here, y, 0)
    shift = torch.where(here, x - own, 0).sum(1, keepdim=True) / here.sum(1, keepdim=True).clamp(min=1)
    return torch.where(here, own + shift, x)


def in_a_row(y: Tensor) -> Tensor:
    """Return known positions (B, N, 3) with the unknown ones in a row."""
    row = torch.zeros_like(y)
    row[..., 0] = APART * torch.arange(1, y.shape[1] + 1)
    return torch.where(given(y), y, row)
