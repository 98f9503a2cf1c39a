r"""The space of molecules: positions whose mean is zero, and unconstrained features.

A state of a molecule of N atoms with K features per atom has N rows (x, y, z, f_1 .. f_K). It lies in

$$ \{ r \in \mathbb R^{N \times 3} : \textstyle\sum_i r_i = 0 \} \times \mathbb R^{N \times K}, \qquad
   \mathrm{dim} = 3 (N - 1) + N K, $$

where a density can be invariant under translation (Hoogeboom et al., 2022, https://arxiv.org/abs/2203.17003).
A batch has one of two layouts with the same noise, norms and dimensions. `DenseMolecules` pads to the largest molecule
and has a mask. `PackedMolecules` stacks the atoms of all molecules and holds the molecule index of each atom, as in
PyTorch Geometric.

Symbols: B molecules, N atoms of a molecule (if padded, of the largest), M atoms of all molecules, K features per atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from polydiff.core.space import Space, State, normal
from polydiff.core.streams import Device


@dataclass(frozen=True, eq=False)
class DenseMolecules:
    """Molecules padded to (B, N, 3 + K); states are 0 on padding.

    Arguments:
        mask: True at atoms, False at padding, shape (B, N).
        features: K.
        dtype: Precision of states.
        elements: Atomic numbers (B, N) if elements are given and not generated, with 0 on padding; else None.
    """

    mask: Tensor
    features: int
    dtype: torch.dtype = torch.float32
    elements: Tensor | None = None

    @classmethod
    def of_sizes(
        cls, sizes: Tensor, features: int, dtype: torch.dtype = torch.float32, multiple: int = 1
    ) -> DenseMolecules:
        """Return the space of molecules of given sizes.

        Arguments:
            sizes: Numbers of atoms, shape (B,).
            features: K.
            dtype: Precision of states.
            multiple: N is rounded up to a multiple of this.
        """
        places = torch.arange(-(-int(sizes.max()) // multiple) * multiple, device=sizes.device)
        return cls(places < sizes[:, None], features, dtype)

    @property
    def batch(self) -> int:
        return len(self.mask)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (B, N, 3 + K) of a state."""
        return *self.mask.shape, 3 + self.features

    @property
    def components(self) -> Mapping[str, slice]:
        return COMPONENTS

    @cached_property
    def sizes(self) -> Tensor:
        """N of each molecule, shape (B,)."""
        return self.mask.sum(1)

    @cached_property
    def counts(self) -> list[int]:
        """N of each molecule as integers, cached to read them from the device only once."""
        return self.sizes.tolist()

    @property
    def dim(self) -> Tensor:
        return degrees_of_freedom(self.sizes, self.features).to(self.dtype)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        x = self.mask.new_zeros((*self.mask.shape, 3 + self.features), dtype=self.dtype)
        for row, size, generator in zip(x, self.counts, generators, strict=True):
            row[:size] = normal([generator], (size, 3 + self.features), x.device, self.dtype)[0]
        return self.project(x)

    def project(self, x: State) -> State:
        mask = self.mask[..., None]
        positions, features = (x * mask).split([3, x.shape[-1] - 3], -1)
        centre = positions.sum(1, keepdim=True) / self.sizes.clamp(min=1)[:, None, None]
        return torch.cat([(positions - centre) * mask, features], -1)

    def restrict(self, x: State, mask: Tensor) -> State:
        keep = (mask.to(x) * self.mask[..., None]).expand_as(x)
        positions, features = (keep * x).split([3, x.shape[-1] - 3], -1)
        counts = keep[..., :3].sum(1, keepdim=True)
        centre = positions.sum(1, keepdim=True) / counts.clamp(min=1)
        return torch.cat([positions - keep[..., :3] * centre, features], -1)

    def expand(self, c: Tensor) -> Tensor:
        return c[:, None, None] if c.ndim else c

    def sum(self, x: State) -> Tensor:
        return (x * self.mask[..., None]).sum((1, 2))

    def matches(self, other: Space) -> bool:
        return same_elements(self, other)

    def with_features(self, features: int) -> DenseMolecules:
        return replace(self, features=features)

    def to(self, device: Device) -> DenseMolecules:
        return replace(self, mask=self.mask.to(device), elements=moved(self.elements, device))

    @cached_property
    def repeated(self) -> dict[int, DenseMolecules]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> DenseMolecules:
        if n not in self.repeated:
            elements = None if self.elements is None else self.elements.repeat(n, 1)
            self.repeated[n] = replace(self, mask=self.mask.repeat(n, 1), elements=elements)
        return self.repeated[n]


@dataclass(frozen=True, eq=False)
class PackedMolecules:
    """Molecules stacked to (M, 3 + K), PyTorch Geometric's layout.

    Arguments:
        batch_index: Molecule of each atom, non-decreasing, shape (M,).
        batch: Number of molecules B.
        features: K.
        dtype: Precision of states.
        elements: Atomic numbers (M,) if elements are given and not generated; else None.
    """

    batch_index: Tensor
    batch: int
    features: int
    dtype: torch.dtype = torch.float32
    elements: Tensor | None = None

    @classmethod
    def of_sizes(cls, sizes: Tensor, features: int, dtype: torch.dtype = torch.float32) -> PackedMolecules:
        """Return the space of molecules with numbers of atoms `sizes`, shape (B,)."""
        index = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
        return cls(index, len(sizes), features, dtype)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape (M, 3 + K) of a state."""
        return len(self.batch_index), 3 + self.features

    @property
    def components(self) -> Mapping[str, slice]:
        return COMPONENTS

    @cached_property
    def sizes(self) -> Tensor:
        """N of each molecule, shape (B,)."""
        return torch.bincount(self.batch_index, minlength=self.batch)

    @cached_property
    def counts(self) -> list[int]:
        """N of each molecule as integers, cached to read them from the device only once."""
        return self.sizes.tolist()

    @property
    def dim(self) -> Tensor:
        return degrees_of_freedom(self.sizes, self.features).to(self.dtype)

    def noise(self, generators: Sequence[torch.Generator]) -> State:
        shapes = [(size, 3 + self.features) for size in self.counts]
        device = self.batch_index.device
        draws = [normal([g], s, device, self.dtype)[0] for g, s in zip(generators, shapes, strict=True)]
        return self.project(torch.cat(draws))

    def project(self, x: State) -> State:
        positions, features = x.split([3, x.shape[-1] - 3], -1)
        centre = positions.new_zeros(self.batch, 3).index_add(0, self.batch_index, positions)
        centre = centre / self.sizes.clamp(min=1)[:, None]
        return torch.cat([positions - centre[self.batch_index], features], -1)

    def restrict(self, x: State, mask: Tensor) -> State:
        keep = mask.to(x).expand_as(x)
        positions, features = (keep * x).split([3, x.shape[-1] - 3], -1)
        totals = positions.new_zeros(self.batch, 6)
        totals = totals.index_add(0, self.batch_index, torch.cat([positions, keep[..., :3]], -1))
        centre = totals[:, :3] / totals[:, 3:].clamp(min=1)
        return torch.cat([positions - keep[..., :3] * centre[self.batch_index], features], -1)

    def expand(self, c: Tensor) -> Tensor:
        return c[self.batch_index, None] if c.ndim else c

    def sum(self, x: State) -> Tensor:
        return x.new_zeros(self.batch).index_add(0, self.batch_index, x.sum(-1))

    def matches(self, other: Space) -> bool:
        return same_elements(self, other)

    def with_features(self, features: int) -> PackedMolecules:
        return replace(self, features=features)

    def to(self, device: Device) -> PackedMolecules:
        return replace(self, batch_index=self.batch_index.to(device), elements=moved(self.elements, device))

    @cached_property
    def repeated(self) -> dict[int, PackedMolecules]:
        """n -> `repeat(n)`, cached because guidance repeats a batch at every evaluation."""
        return {}

    def repeat(self, n: int) -> PackedMolecules:
        if n not in self.repeated:
            first = self.batch * torch.arange(n, device=self.batch_index.device)
            index = (first[:, None] + self.batch_index).flatten()
            elements = None if self.elements is None else self.elements.repeat(n)
            self.repeated[n] = replace(self, batch_index=index, batch=n * self.batch, elements=elements)
        return self.repeated[n]


def same_elements(a: DenseMolecules | PackedMolecules, b: Space) -> bool:
    """Return whether two spaces hold the same elements in the same order, or neither holds any."""
    theirs = b.elements if isinstance(b, DenseMolecules | PackedMolecules) else None
    if a.elements is None or theirs is None:
        return a.elements is theirs
    return torch.equal(a.elements, theirs.to(a.elements.device))


def moved(x: Tensor | None, device: Device) -> Tensor | None:
    """Return a tensor on a device, or None for None."""
    return None if x is None else x.to(device)


COMPONENTS = {"positions": slice(0, 3), "features": slice(3, None)}
"""Parts of an atom's row."""


def degrees_of_freedom(sizes: Tensor, features: int) -> Tensor:
    """Return 3 (N - 1) + N K for each molecule of N >= 1 atoms, and 0 for N = 0."""
    return 3 * (sizes - 1).clamp(min=0) + sizes * features
