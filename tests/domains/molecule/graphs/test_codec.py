"""Molecules with bonds as states: round trips, configuration, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from polydiff.config.merge import resolve
from polydiff.core.parts.letters import PAD
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.bonds import molecule_of, sanitised
from polydiff.domains.molecule.chemistry.identity import graph_smiles
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.graphs.codec import GraphCodec
from polydiff.support.errors import UserError


def test_states_are_the_molecules_of_the_data(placed: MoleculeDomain, graphs: MoleculeDomain) -> None:
    for domain in (placed, graphs):
        part, chosen = domain.dataset.splits["train"], range(0, domain.size("train"), 7)
        batch = domain.batch("train", chosen, streams(0, "example", chosen))
        made = domain.decode(batch.x, batch.space)
        keys = [graph_smiles(sanitised(one)) for one in made]
        assert keys == [part.smiles[i] for i in chosen]
        for one, i in zip(made, chosen, strict=True):
            assert one.numbers.tolist() == part[i].numbers.tolist()
            assert np.allclose(one.positions, part[i].positions - part[i].positions.mean(0), atol=1e-5)


def test_statistics_count_atoms_and_pairs(placed: MoleculeDomain) -> None:
    train = placed.dataset.splits["train"]
    pairs = sum(n * (n - 1) // 2 for n in train.sizes.tolist())
    singles = sum(int((np.triu(train[i].bonds) == 1).sum()) for i in range(len(train)))
    assert placed.statistics["bonds"]["frequencies"][1] == pytest.approx(singles / pairs)
    hydrogen = placed.statistics["atoms"]["letters"].index([1, 0])
    assert placed.statistics["atoms"]["frequencies"][hydrogen] == pytest.approx((train.numbers == 1).mean())


def test_charges_are_part_of_the_letters() -> None:
    codec = GraphCodec(((6, 0), (7, 1), (8, -1), (8, 0)), 1.0, placed=False)
    nitro = molecule_of(Chem.MolFromSmiles("C[N+](=O)[O-]"), implicit=True)
    x, space = codec.encode([nitro])
    assert x["atoms"].tolist() == [[0, 1, 3, 2]]
    assert x["bonds"][0].tolist() == [[PAD, 1, 0, 0], [1, PAD, 2, 1], [0, 2, PAD, 0], [0, 1, 0, PAD]]
    assert graph_smiles(sanitised(codec.decode(x, space)[0])) == "C[N+](=O)[O-]"
    with pytest.raises(UserError, match=r"the atom N, but this model was trained on C, N\+, O-, O"):
        codec.encode([molecule_of(Chem.MolFromSmiles("CN"), implicit=True)])


def test_charges_of_given_elements_follow_from_their_bonds(tmp_path: Path) -> None:
    (tmp_path / "some.smi").write_text("C[N+](=O)[O-]\nCN\nCCO\nCC\nCCC\nCOC\n" * 3)
    values = {"data.path": str(tmp_path / "some.smi"), "data.bonds": True, "data.types": "given", "data.conformers": 1}
    domain = MoleculeDomain(resolve("molecule", values=values).config)
    table = {tuple(row[:2]): row[2] for row in domain.statistics["atoms"]["valences"]}
    assert {key: charge for key, charge in table.items() if charge} == {(7, 4): 1, (8, 1): -1}
    assert table[7, 3] == table[8, 2] == table[6, 4] == table[1, 1] == 0
    library = domain.dataset.splits["train"]
    batch = domain.batch("train", range(len(library)), streams(0, "example", range(len(library))))
    assert list(batch.x) == ["positions", "bonds"]
    for i, made in enumerate(domain.decode(batch.x, batch.space)):
        assert made.numbers.tolist() == library[i].numbers.tolist()
        assert made.charges.tolist() == library[i].charges.tolist()
        assert graph_smiles(sanitised(made)) == library.smiles[i]


def test_charges_that_training_lacks_are_refused_with_given_elements_too() -> None:
    codec = GraphCodec(((1, 0), (6, 0), (7, 0)), 1.0, given=True, charges={(7, 3): 0})
    ammonium = molecule_of(Chem.AddHs(Chem.MolFromSmiles("C[NH3+]")))
    with pytest.raises(UserError, match=r"the atom N\+, but this model was trained on H, C, N"):
        codec.encode([ammonium])


def test_statistics_without_valences_do_not_suffice_for_given_elements(placed: MoleculeDomain) -> None:
    values = {"data.max_heavy": 4, "data.bonds": True, "data.types": "given"}
    own = {name: value for name, value in placed.statistics["atoms"].items() if name != "valences"}
    with pytest.raises(ValueError, match=r"atoms\.valences are missing, which data\.types=given"):
        MoleculeDomain(resolve("molecule", values=values).config, {**placed.statistics, "atoms": own})


def test_a_ring_is_drawn_in_several_forms(placed: MoleculeDomain) -> None:
    benzene = resolve("molecule", values={"data.max_heavy": 6, "data.positions": False}).config
    domain = MoleculeDomain(benzene)
    split = next(name for name, part in domain.dataset.splits.items() if "c1ccccc1" in part.smiles)
    place = domain.dataset.splits[split].smiles.index("c1ccccc1")
    batch = domain.batch(split, [place] * 12, streams(0, "example", range(12)))
    assert len({tuple(bonds.flatten().tolist()) for bonds in batch.x["bonds"]}) == 2


def test_one_key_of_a_part_changes_that_key_alone() -> None:
    usual = resolve("molecule", words={"data.bonds": "true"}).config
    changed = resolve("molecule", words={"data.bonds": "true", "parts.bonds.weight": "0.25"}).config
    assert usual.process == changed.process == "joint"
    assert list(changed.parts) == ["positions", "atoms", "bonds"]
    assert changed.parts["bonds"] == usual.parts["bonds"].model_copy(update={"weight": 0.25})
    assert changed.parts["atoms"] == usual.parts["atoms"]


def test_another_schedule_of_a_part_leaves_the_options_of_the_usual_one() -> None:
    words = {"data.bonds": "true", "parts.bonds.schedule": "cosine", "parts.atoms.sampler": "ancestral"}
    parts = resolve("molecule", words=words).config.parts
    assert parts["bonds"].schedule_options == parts["atoms"].options == {}
    assert parts["atoms"].schedule_options == {"middle": 0.1, "power": 1.4}
    assert parts["bonds"].options == {"eta": 20}


def test_graphs_alone_have_no_conditions_of_positions() -> None:
    config = resolve("molecule", words={"data.positions": "false"}).config
    assert list(config.parts) == ["atoms", "bonds"]
    assert config.data.conditions == ("logp", "composition")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data.types": "given", "parts.atoms.weight": 1.0}, "with data.types=given, atoms are no part of the state"),
        ({"data.layout": "sparse"}, r"data.bonds=true needs data.layout=dense"),
        ({"data.types": "given", "data.positions": False}, r"data.positions=false needs data.types=generated"),
    ],
)
def test_keys_that_contradict_bonds_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve("molecule", values={"data.bonds": True, **values})


def test_a_network_without_pairs_is_refused() -> None:
    config = resolve("molecule", values={"data.bonds": True, "data.max_heavy": 4, "backbone.name": "egnn"}).config
    with pytest.raises(UserError, match=r"egnn: this network has no state of pairs .* Take graph_transformer"):
        MoleculeDomain(config).backbone()


def test_another_process_is_refused() -> None:
    config = resolve("molecule", values={"data.bonds": True, "data.max_heavy": 4, "process": "gaussian"}).config
    with pytest.raises(UserError, match="need process=joint"):
        MoleculeDomain(config)


def test_padding_does_not_change_a_state(placed: MoleculeDomain) -> None:
    part = placed.dataset.splits["train"]
    small, large = part[0], part[len(part) - 1]
    (alone, _), (both, _) = placed.codec.encode([small]), placed.codec.encode([small, large])
    n = len(small.numbers)
    assert torch.equal(both["bonds"][0, :n, :n], alone["bonds"][0])
    assert (both["bonds"][0, n:] == PAD).all()
    assert torch.equal(both["positions"][0, :n], alone["positions"][0])


def test_a_space_of_known_atoms_counts_elements_whatever_their_charges() -> None:
    codec = GraphCodec(((1, 0), (6, 0), (7, 0), (7, 1), (8, -1), (8, 0)), 1.0)
    space = codec.space(torch.tensor([3, 4]), torch.tensor([1, 6, 8, 6, 7, 8, 8]))
    totals = space.parts["atoms"].totals
    assert totals.groups.tolist() == [0, 1, 2, 2, 3, 3]
    assert totals.counts.tolist() == [[1, 1, 0, 1], [0, 1, 1, 2]]
    assert codec.space(torch.tensor([3])).parts["atoms"].totals is None
