"""The data set of molecules, opened on first use, and its split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from polydiff.contract.quarantine import Quarantine
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.library import Library, split
from polydiff.domains.molecule.data.source import open_library, quarantine_of


@dataclass(frozen=True)
class DataSet:
    """The geometries that a configuration names.

    Arguments:
        data: Section of the configuration.
    """

    data: MoleculeData

    @cached_property
    def library(self) -> Library:
        """All geometries, read or computed on first use."""
        return open_library(self.data)

    @cached_property
    def splits(self) -> dict[str, Library]:
        """Geometries to train on and held-out ones."""
        return split(self.library, self.data.test_share)

    @property
    def quarantine(self) -> Quarantine | None:
        """What was found in the data and what of it is left out; None where molecules are enumerated."""
        enumerated = self.data.name == "organic"
        return None if enumerated else quarantine_of(self.library, str(self.data.path or self.data.name))
