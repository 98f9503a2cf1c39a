"""What a domain provides so that its runs can be sampled without polydiff.

Without `HasProgram`, samples are written as arrays in the scale of states. Without `HasSpaceTensors`, states live in
R^n, as images and sounds do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from polydiff.core.space import Space


class HasProgram(Protocol):
    """A domain with a program that draws sizes and conditions of new samples, and writes samples as files."""

    def exported_program(self) -> tuple[Path, Mapping[str, Any]]:
        """Return a file of Python, and the numbers and names that it reads, as JSON (`spec["values"]`).

        The file imports numpy and no polydiff, and has the function `write` of
        `polydiff/export/reference/states.py`. It may have `draw` and `noise`, with the arguments and results of
        `drawn` and `normal` in `polydiff/export/reference/sample.py`, if states differ in size or do not fill R^n.
        Conditions that are fields of the data are drawn by the program: the key "conditions" holds them
        (`polydiff.contract.fields.to_json`).
        """


class HasSpaceTensors(Protocol):
    """A domain whose spaces depend on tensors, such as the mask of atoms, which become inputs of a network."""

    def space_tensors(self, space: Space) -> dict[str, Tensor]:
        """Return the tensors (B, N) of a space by name; N differs between batches."""

    def space_of(self, tensors: Mapping[str, Tensor]) -> Space:
        """Return the space with these tensors, whose states are (B, N, ...)."""
