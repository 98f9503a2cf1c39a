"""What the domain of molecules shows and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from polydiff.contract.domain import DataSamples, Samples
from polydiff.core.conditions import Condition
from polydiff.domains.molecule.chemistry.composition import count_elements
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.conditions import ConditionScaler
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.described import DescribedConditions
from polydiff.domains.molecule.metrics.evaluation import Evaluation
from polydiff.domains.molecule.metrics.examine import PerceivedSample, perceive_all, read_all
from polydiff.domains.molecule.output.sdf import records, write_records
from polydiff.domains.molecule.output.show import SHOWN, script, sheet, show
from polydiff.domains.molecule.output.weights import relations, show_weights


class MoleculeOutput:
    """Molecules as drawings, files and objects of other libraries, with their conditions; the domain derives from it.

    Attributes:
        data: Section of the configuration.
        data_conditions: Conditions that are text or classes.
        scaler: Standardises the conditions that are numbers.
        evaluation: Writes captions of samples.
    """

    data: MoleculeData
    data_conditions: DescribedConditions
    scaler: ConditionScaler
    evaluation: Evaluation

    def read_all(self, molecules: Sequence[Molecule]) -> list[PerceivedSample]:
        """Return molecules as RDKit's: by their own bonds if these are part of the state, else as it perceives them."""
        return (read_all if self.data.bonded else perceive_all)(molecules)

    def show(self, samples: Samples) -> str:
        shown = samples.head(SHOWN)
        perceived, described = self.read_all(shown.examples), self.described(shown)
        if isinstance(samples, DataSamples):
            return show(perceived, [self.scaler.caption(one) for one in described])
        return show(perceived, [self.evaluation.caption(*pair) for pair in zip(perceived, described, strict=True)])

    def show_weights(self, samples: Samples, weights: Tensor, captions: Sequence[str]) -> str:
        """Return molecules with weights of their atoms (`polydiff.contract.likeness.ShowsWeights`)."""
        return show_weights(self.read_all(samples.examples), weights, captions)

    def relations(self, samples: Samples) -> Sequence[Mapping[str, Tensor]]:
        """Return pairs of atoms by the bonds between them (`polydiff.contract.likeness.RelatesPlaces`)."""
        return [relations(one) for one in self.read_all(samples.examples)]

    def scripts(self) -> Mapping[str, str]:
        return {"molecules.js": script()}

    def save(self, samples: Samples, directory: Path) -> list[dict[str, Any]]:
        return write_records(self.read_all(samples.examples), self.described(samples), directory)

    def archive(self, samples: Samples) -> Mapping[str, NDArray[Any] | str]:
        return {"samples.sdf": records(self.read_all(samples.examples))}

    def converters(self) -> Mapping[str, Callable[[Sequence[Any]], Any]]:
        """Return the conversions of molecules (`abilities.Converts`).

        "numpy": pairs of atomic numbers (A,) and positions (A, 3) in Å. "rdkit": molecules with these positions and
        perceived bonds, or with bonds of their own, None where RDKit perceives no molecule. "png": drawings of these.
        """
        return {
            "numpy": lambda molecules: [(one.numbers, one.positions) for one in molecules],
            "rdkit": lambda molecules: [one.mol for one in self.read_all(molecules)],
            "png": lambda molecules: sheet(self.read_all(molecules)),
        }

    def described(self, samples: Samples) -> list[dict[str, Any]]:
        """Return the conditions of each sample as a user writes them; {} for each if the samples have none.

        With given elements, they include the number of atoms of each, which the space holds.
        """
        rows = [{} for _ in samples.examples] if samples.cond is None else self.describe(samples.cond)
        wanted = self.scaler.condition_set
        if not wanted.given:
            return rows
        counts = count_elements(samples.examples, wanted.elements).astype(int).tolist()
        return [row | dict(zip(wanted.symbols, own, strict=True)) for row, own in zip(rows, counts, strict=True)]

    def describe(self, cond: Condition) -> list[dict[str, Any]]:
        texts = self.data_conditions.describe(cond)
        numbers = self.scaler.describe(cond) or [{} for _ in texts]
        return [one | other for one, other in zip(numbers, texts, strict=True)]
