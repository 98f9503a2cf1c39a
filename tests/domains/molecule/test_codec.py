"""The codec: molecules to states and back, in two layouts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from polydiff.core.space import sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.codec import Codec
from polydiff.domains.molecule.config import MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.schedule.tables import polynomial_2
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def library() -> Library:
    return open_library(MoleculeData(max_heavy=4))


def codec_of(library: Library, type_scale: float = 1.0, packed: bool = False, **further: float) -> Codec:
    found = Codec.measure(library) | {key: further.pop(key) for key in ("scale",) if key in further}
    return Codec(tuple(found["elements"]), tuple(found["frequencies"]), found["scale"], type_scale, packed, **further)  # type: ignore[arg-type]


EDM: dict[str, float] = {"scale": 1.0, "type_scale": 0.25, "number_scale": 0.1, "centred": False}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("how", [{"type_scale": 0.25}, {"type_scale": 3.0}, EDM, {**EDM, "centred": True}])
def test_decoding_undoes_encoding_up_to_the_centre(library: Library, packed: bool, how: dict[str, float]) -> None:
    molecules = [library[i] for i in range(len(library))]
    codec = codec_of(library, packed=packed, **how)
    for before, after in zip(molecules, codec.decode(*codec.encode(molecules)), strict=True):
        assert np.array_equal(before.numbers, after.numbers)
        np.testing.assert_allclose(after.positions, before.positions - before.positions.mean(0), atol=1e-5)


@pytest.mark.parametrize("given", [False, True])
def test_an_unknown_element_is_an_error(library: Library, given: bool) -> None:
    codec = replace(codec_of(library), given=given)
    sulphur = Molecule(np.array([16, 1, 1]), np.eye(3, dtype=np.float32))
    with pytest.raises(UserError, match="contains S, but this model was trained on H, C, N, O, F"):
        codec.encode([library[0], sulphur])


def test_states_lie_on_their_space_with_positions_of_unit_variance(library: Library) -> None:
    codec = codec_of(library)
    x, space = codec.encode([library[i] for i in range(len(library))])
    assert isinstance(space, DenseMolecules)
    torch.testing.assert_close(space.project(x), x)
    assert float(x[space.mask][:, :3].std()) == pytest.approx(1, abs=0.01)
    assert x[space.mask][:, 3:].mean(0).abs().max() < 1e-5


def test_states_with_edm_settings(library: Library) -> None:
    """Positions in Å, one-hot elements times 0.25, atomic numbers times 0.1."""
    molecule = library[50]
    x, space = codec_of(library, packed=True, **EDM).encode([molecule])
    onehot = 0.25 * (molecule.numbers[:, None] == np.array([1, 6, 7, 8, 9]))
    plain = np.concatenate(
        [molecule.positions - molecule.positions.mean(0), onehot, 0.1 * molecule.numbers[:, None]], 1
    )
    np.testing.assert_allclose(x, plain, atol=1e-6)
    assert space.dim.tolist() == [3 * (len(onehot) - 1) + 6 * len(onehot)]


def test_centred_features_have_the_mean_zero(library: Library) -> None:
    x, _ = codec_of(library, packed=True, **{**EDM, "centred": True}).encode([library[i] for i in range(len(library))])
    assert x.mean(0).abs().max() < 1e-5


def test_an_atomic_number_is_decoded_as_the_nearest_integer(library: Library) -> None:
    for centred in (False, True):
        codec = codec_of(library, packed=True, **{**EDM, "centred": centred})
        x, space = codec.encode([library[50]])
        clean, noisy = codec.units(x, space), codec.units(x + 0.04, space)
        for units in (clean, noisy):
            assert units.low is not None
            assert units.high is not None
            middle = (units.low + units.high)[:, -1] / 2
            torch.testing.assert_close(middle, x[:, -1].double(), atol=1e-6, rtol=0)
            torch.testing.assert_close(units.high - units.low, clean.high - clean.low, equal_nan=True)
        assert clean.category == (3, 8)


def test_signal_equals_noise_at_the_stated_times() -> None:
    """gamma' = gamma - 2 ln c: signal equals noise where the noise level is c."""
    schedule = polynomial_2()
    for c, t in {1.0: 0.54, 0.25: 0.173, 0.125: 0.088, 0.1: 0.070}.items():
        (at,) = schedule.time(torch.tensor([-2 * math.log(c)])).tolist()
        assert at == pytest.approx(t, abs=5e-4 if c < 1 else 5e-3)
        alpha, sigma = schedule(torch.tensor([at]))
        torch.testing.assert_close(c * alpha, sigma)


def test_both_layouts_hold_the_same_numbers(library: Library) -> None:
    molecules = [library[i] for i in (0, 50, 90)]
    (dense, padded), (stacked, packed) = (codec_of(library, packed=p).encode(molecules) for p in (False, True))
    torch.testing.assert_close(dense[padded.mask], stacked)
    torch.testing.assert_close(sqnorm(padded, dense), sqnorm(packed, stacked))


def test_padding_to_a_multiple(library: Library) -> None:
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


@pytest.mark.parametrize("size", [30.0, 9999.0, 1e6])
def test_one_record_does_not_determine_the_scale(size: float) -> None:
    library = open_library(MoleculeData(max_heavy=4))
    scale = Codec.measure(library)["scale"]
    positions = library.positions.copy()
    positions[library.first[7]] += np.float32(size)
    assert Codec.measure(replace(library, positions=positions))["scale"] == pytest.approx(scale, rel=0.02)


def test_the_scale_of_usual_geometries_is_the_standard_deviation_of_their_coordinates() -> None:
    library = open_library(MoleculeData(max_heavy=4))
    centred = np.concatenate([library[i].positions - library[i].positions.mean(0) for i in range(len(library))])
    assert Codec.measure(library)["scale"] == pytest.approx(centred.std(), rel=1e-6)
