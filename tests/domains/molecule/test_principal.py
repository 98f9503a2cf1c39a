"""The largest standard deviation of states of molecules, over all orders of atoms and orientations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.codec import Codec, codec_of
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.data.dataset import open_library
from polydiff.domains.molecule.data.library import Library
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.principal import measured, principal_std

FREE = {"schedule_options", "loss.times", "loss.times_options"}


def library_of(molecules: Sequence[Molecule]) -> Library:
    n, sizes = len(molecules), [len(one.numbers) for one in molecules]
    return Library(
        smiles=["C"] * n,
        numbers=np.concatenate([one.numbers for one in molecules]).astype(np.uint8),
        positions=np.concatenate([one.positions for one in molecules]).astype(np.float32),
        first=np.concatenate([[0], np.cumsum(sizes)]),
        properties=np.full((n, 0), np.nan),
        places=np.arange(n),
        sides=np.full(n, -1),
        found=n,
        perceived=[""] * n,
    )


def codec(library: Library, **keys: object) -> Codec:
    return codec_of(MoleculeData.model_validate({"layout": "dense", **keys}), Codec.measure(library))


def empirical(library: Library, codec: Codec, n: int = 20_000) -> float:
    """Return the largest root mean square of states in random order and orientation, which all have one size."""
    g = np.random.default_rng(1)
    turned = []
    for i, rotation in zip(g.integers(0, len(library), n), Rotation.random(n, rng=g).as_matrix(), strict=True):
        one, order = library[int(i)], g.permutation(library.sizes[i])
        turned.append(Molecule(one.numbers[order], (one.positions @ rotation.T).astype(np.float32)[order]))
    x = codec.encode(turned)[0].flatten(1).double().numpy()
    return float(np.linalg.eigvalsh(x.T @ x / n)[-1] ** 0.5)


@pytest.mark.parametrize("shape", [(1.0, 1.0, 1.0), (3.0, 0.1, 0.1)])
@pytest.mark.parametrize("keys", [{}, {"type_scale": 0.25}, {"number_scale": 0.1}, {"centred": False}])
def test_it_is_that_of_states_in_any_order_and_orientation(shape: Sequence[float], keys: dict[str, object]) -> None:
    g = np.random.default_rng(0)
    made = []
    for _ in range(400):
        oxygens = g.choice([0.1, 0.9])  # molecules differ in composition
        made.append(Molecule(np.where(g.random(5) < oxygens, 8, 6), g.normal(size=(5, 3)) * shape))
    library = library_of(made)
    assert principal_std(library, codec(library, **keys)) == pytest.approx(
        empirical(library, codec(library, **keys)), rel=0.05
    )


def test_composition_grows_with_the_root_of_the_number_of_atoms() -> None:
    g = np.random.default_rng(0)
    found = {}
    for n in (10, 40):
        library = library_of([Molecule(np.full(n, 6 + 2 * (i % 2)), g.normal(size=(n, 3))) for i in range(100)])
        found[n] = principal_std(library, codec(library, type_scale=2.0))
        assert found[n] == pytest.approx(2 * (n / 2) ** 0.5, rel=1e-6)  # features (1, -1) for C, (-1, 1) for O


def test_the_largest_molecules_decide_where_sizes_differ() -> None:
    g = np.random.default_rng(0)
    small = [Molecule(np.array([6, 6]), g.normal(size=(2, 3))) for _ in range(900)]
    large = [Molecule(np.full(60, 6), 5 * g.normal(size=(60, 3))) for _ in range(100)]
    library = library_of([*small, *large])
    spread, how = principal_std(library, codec(library)), codec(library)
    assert spread == pytest.approx(measured(library_of(large), how), rel=1e-6)
    assert spread > 1.02 * measured(library, how)


def test_one_broken_geometry_and_geometries_not_computed_do_not_count() -> None:
    g = np.random.default_rng(0)
    made = [Molecule(np.array([6, 6, 6]), g.normal(size=(3, 3))) for _ in range(100)]
    library = library_of(made)
    usual = principal_std(library, codec(library))
    broken = library_of([*made, Molecule(np.array([6, 6, 6]), 1e4 * g.normal(size=(3, 3)))])
    assert principal_std(broken, codec(broken)) == pytest.approx(usual, rel=0.01)
    absent = library_of([*made, *(Molecule(np.array([6, 6, 6]), np.zeros((3, 3))) for _ in range(50))])
    assert principal_std(absent, codec(library)) == pytest.approx(usual, rel=0.2)


def test_atoms_of_given_elements_are_distinguished() -> None:
    g = np.random.default_rng(0)
    made = [
        Molecule(np.array([8, 6, 6, 6, 6]), g.normal(size=(5, 3)) * np.array([[5.0], *[[0.1]] * 4])) for _ in range(99)
    ]
    library = library_of(made)
    given = codec(library, types="given")
    far = np.concatenate([one.positions[:1] - one.positions.mean(0) for one in made]) / given.scale
    assert principal_std(library, given) == pytest.approx(float(np.square(far).mean() ** 0.5), rel=0.15)
    assert principal_std(library, given) > 1.5 * principal_std(library, replace(given, given=False, type_scale=0.01))


def test_the_range_of_the_enumerated_molecules_stays_and_a_range_that_is_too_small_is_raised() -> None:
    domain = MoleculeDomain(MoleculeConfig(data=MoleculeData(max_heavy=4, conditions=())))
    assert 1 < domain.statistics["principal_std"] < 2
    assert domain.suited(FREE) == {}
    wide = MoleculeDomain(MoleculeConfig(data=MoleculeData(max_heavy=4, conditions=(), type_scale=20.0)))
    needed = wide.suited(FREE)["schedule_options"]["sigma_max"]
    assert needed == pytest.approx(4 * wide.statistics["principal_std"], rel=0.01)
    x, space = wide.codec.encode([open_library(wide.data)[i] for i in range(20)])
    assert needed > 4 * float((space.sum(x**2) / space.dim).mean().sqrt())
    before = {name: value for name, value in wide.statistics.items() if name != "principal_std"}
    assert MoleculeDomain(wide.config, before).suited(FREE) == {}
