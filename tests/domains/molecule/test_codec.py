"""The codec: molecules to states and back, in two layouts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data import Library, open_library
from polydiff.domains.molecule.geometry import Molecule
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.random import streams
from polydiff.space import sqnorm


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def codec_of(library: Library, type_scale: float = 1.0, packed: bool = False) -> Codec:
    found = Codec.measure(library)
    return Codec(tuple(found["elements"]), tuple(found["frequencies"]), found["scale"], type_scale, packed)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("type_scale", [0.25, 1.0, 3.0])
def test_decoding_undoes_encoding_up_to_the_centre(library: Library, packed: bool, type_scale: float) -> None:
    molecules = [library[i] for i in range(len(library))]
    codec = codec_of(library, type_scale, packed)
    for before, after in zip(molecules, codec.decode(*codec.encode(molecules)), strict=True):
        assert np.array_equal(before.numbers, after.numbers)
        np.testing.assert_allclose(after.positions, before.positions - before.positions.mean(0), atol=1e-5)


def test_states_lie_on_their_space_with_positions_of_unit_variance(library: Library) -> None:
    codec = codec_of(library)
    x, space = codec.encode([library[i] for i in range(len(library))])
    assert isinstance(space, DenseMolecules)
    torch.testing.assert_close(space.project(x), x)
    assert float(x[space.mask][:, :3].std()) == pytest.approx(1, abs=0.01)
    assert x[space.mask][:, 3:].mean(0).abs().max() < 1e-5


def test_both_layouts_hold_the_same_numbers(library: Library) -> None:
    molecules = [library[i] for i in (0, 50, 90)]
    (dense, padded), (stacked, packed) = (codec_of(library, packed=p).encode(molecules) for p in (False, True))
    torch.testing.assert_close(dense[padded.mask], stacked)
    torch.testing.assert_close(sqnorm(padded, dense), sqnorm(packed, stacked))


def test_padded_sizes_are_few(library: Library) -> None:
    loose = replace(codec_of(library), pad_to=8)
    for i in (0, 50, 90):
        state, space = loose.encode([library[i]])
        assert state.shape[1] in (8, 16, 24)
        assert np.array_equal(loose.decode(state, space)[0].numbers, library[i].numbers)


def test_every_element_can_be_generated(library: Library) -> None:
    codec = codec_of(library)
    space = codec.space(torch.full((400,), 9))
    molecules = codec.decode(space.noise(streams(0, "noise", range(400))), space)
    shares = np.bincount(np.concatenate([m.numbers for m in molecules]), minlength=10)[[1, 6, 7, 8, 9]] / 3600
    assert shares.min() > 0.05


def test_a_single_atom_is_a_molecule() -> None:
    codec = Codec((1, 2), (0.5, 0.5), 1.0, 1.0)
    x, space = codec.encode([Molecule(np.array([2], np.uint8), np.array([[3.0, 4.0, 5.0]], np.float32))])
    assert space.dim.tolist() == [2]
    (helium,) = codec.decode(x, space)
    assert helium.numbers.tolist() == [2]
    assert helium.positions.tolist() == [[0, 0, 0]]
