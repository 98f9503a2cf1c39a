"""Runs on molecules with bonds: training, resuming and sampling, whatever interrupts or joins them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

import polydiff
from polydiff.cli import main
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.bonds import bond_table, orders
from polydiff.model.parts.given import sample_given

WORDS = [
    "data.max_heavy=4", "backbone.hidden=16", "backbone.layers=2", "backbone.pair=8", "backbone.vectors=8",
    "train.batch_size=4", "train.checkpoint_every=2", "sample.steps=3", "device=cpu",
]  # fmt: skip
KINDS = {
    "placed": ["data.bonds=true"],
    "given": ["data.bonds=true", "data.types=given"],
    "graphs": ["data.positions=false"],
}


@pytest.fixture(scope="module", params=list(KINDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    words = [*KINDS[request.param], *WORDS]
    path = tmp_path_factory.mktemp(request.param) / "run"
    assert main(["train", "--domain", "molecule", *words, "train.steps=4", "--judge", "4", "-o", str(path)]) == 0
    return path, words


def test_a_resumed_run_has_the_same_weights(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    _, words = run
    part = tmp_path / "part"
    steps = ["train.steps=4", "optim.decay=constant"]
    whole = tmp_path / "whole"
    begin = ["train", "--domain", "molecule", *words, "--judge", "0"]
    assert main([*begin, *steps, "-o", str(whole)]) == 0
    assert main([*begin, "train.steps=2", "optim.decay=constant", "-o", str(part)]) == 0
    assert main(["resume", str(part), "train.steps=4"]) == 0
    ours, theirs = (polydiff.load(one).denoiser.state_dict() for one in (part, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_sample_does_not_depend_on_its_batch(run: tuple[Path, list[str]]) -> None:
    model = polydiff.load(run[0])
    alone, joined = (model.sample(5, batch_size=size, progress=False).examples for size in (1, 5))
    for a, b in zip(alone, joined, strict=True):
        assert a.numbers.tolist() == b.numbers.tolist()
        assert a.bonds.tolist() == b.bonds.tolist()
        assert abs(a.positions - b.positions).max() < 1e-3


def test_samples_are_saved_with_the_bonds_that_they_have(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    model = polydiff.load(run[0])
    samples = model.sample(3, progress=False)
    folder = samples.save(tmp_path / "made")
    for one, path in zip(samples.examples, sorted(folder.glob("*.sdf")), strict=True):
        read = Chem.MolFromMolBlock(path.read_text(), removeHs=False, sanitize=False)
        table = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble()), 0) for b in read.GetBonds()]
        kekulised = bond_table(read) if not table else torch.tensor(table).numpy()
        assert (orders(kekulised, len(one.numbers)) == one.bonds).all()


def test_an_evaluation_has_metrics_of_own_bonds(run: tuple[Path, list[str]]) -> None:
    found = json.loads(next(run[0].rglob("evaluation.json")).read_text())
    text = json.dumps(found)
    assert "own_valid" in text
    assert ("own_agreement" in text) == ("snn_train" not in text)


def test_kept_atoms_keep_their_elements_bonds_and_distances(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    (tmp_path / "one.smi").write_text("CCO\nCC#C\n")
    model = polydiff.load(run[0])
    given = polydiff.read(model, str(tmp_path / "one.smi"))
    before = model.domain.decode(given.x, given.space)
    made = polydiff.inpaint(model, given, model.domain.region("0,1", given)).examples
    for a, b in zip(before, made, strict=True):
        assert a.numbers[:2].tolist() == b.numbers[:2].tolist()
        assert b.bonds[0, 1] == a.bonds[0, 1] > 0
        lengths = [float(np.linalg.norm(one.positions[0] - one.positions[1])) for one in (a, b)]
        assert lengths[1] == pytest.approx(lengths[0], abs=1e-3)


def test_added_atoms_are_generated_around_the_given_ones(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    (tmp_path / "one.smi").write_text("CCO\n")
    model = polydiff.load(run[0])
    given = polydiff.read(model, str(tmp_path / "one.smi"))
    (before,) = model.domain.decode(given.x, given.space)
    n = len(before.numbers)
    everything = torch.ones(1, dtype=torch.bool)
    larger, masks = model.domain.grown(given, everything, "C2", streams(0, "grown", range(1)))
    (made,) = polydiff.inpaint(model, larger, masks).examples
    assert made.numbers.tolist() == [*before.numbers.tolist(), 6, 6]
    assert made.bonds[:n, :n].tolist() == before.bonds.tolist()
    assert not masks["bonds"][0, n:].any()


def test_given_parts_are_those_of_the_examples(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, words = run
    trained = tmp_path / "trained"
    coupling = ["coupling.given=0.5", "coupling.same=0.5"]
    assert (
        main(["train", "--domain", "molecule", *words, *coupling, "train.steps=2", "--judge", "0", "-o", str(trained)])
        == 0
    )
    folder = tmp_path / "out"
    (tmp_path / "one.smi").write_text("CC=O\n")
    assert main(["sample", str(trained), str(tmp_path / "one.smi"), "--given", "bonds", "-o", str(folder)]) == 0
    assert json.loads((folder / "made" / "manifest.json").read_text())["given"] == ["bonds"]
    model = polydiff.load(trained)
    given = model.domain.batch("test", range(3), streams(0, "augment", range(3)))
    before = model.domain.decode(given.x, given.space)
    made = sample_given(model, given, ["bonds"]).examples
    assert [one.bonds.tolist() for one in made] == [one.bonds.tolist() for one in before]
    given_elements = "atoms" not in model.config.parts
    assert ([one.numbers.tolist() for one in made] == [one.numbers.tolist() for one in before]) == given_elements
    with pytest.raises(polydiff.UserError, match="never trained with the part bonds given"):
        sample_given(polydiff.load(path), given, ["bonds"])


def test_the_bound_names_its_parts_and_counts_the_size(run: tuple[Path, list[str]]) -> None:
    from polydiff.judging.likelihood import likelihood

    model = polydiff.load(run[0])
    found = likelihood(model, 4, draws=4, progress=False)
    parts = found["likelihood"]["vlb"]["parts"]
    assert set(model.config.parts) <= parts.keys()
    assert ("size" in parts) == ("atoms" in parts)  # elements that are given give the size too
    assert ("positions" in parts) == ("part_units" in found)
    assert found["likelihood"]["vlb"]["nats"] == pytest.approx(sum(parts.values()), rel=1e-6)
    if "part_units" in found:
        assert found["part_units"]["positions"] == "density in Å"
        assert found["likelihood"]["vlb"]["nats_per_dim"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one.smi"], "Name the part of it that is given: --given PART"),
        (["--first", "1"], "Name the part of them: --given PART"),
        (["--given", "bonds"], "never trained with the part bonds given"),
        (["--given", "bonds", "--one-file"], "files of their own"),
        (["--given", "rings"], "Unknown part 'rings'"),
    ],
)
def test_wrong_requests_of_given_parts_are_errors(
    run: tuple[Path, list[str]], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(run[0]), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "caption"),
    [(["data.bonds=true"], "requested C2H7NO"), (["data.bonds=true", "data.types=given"], "given C2H7NO")],
)
def test_samples_have_exactly_the_atoms_of_a_requested_formula(tmp_path: Path, words: list[str], caption: str) -> None:
    """Whatever the network has learned: this one has seen 4 batches."""
    path = tmp_path / "run"
    own = [*WORDS, *words, "train.steps=4", "data.conditions=[composition]", "--judge", "0"]
    assert main(["train", "--domain", "molecule", *own, "-o", str(path)]) == 0
    model = polydiff.load(path)
    made = model.sample(4, cond={"formula": "C2H7NO"}, progress=False)
    for one in made.examples:
        assert sorted(one.numbers.tolist()) == [1] * 7 + [6, 6, 7, 8]
    assert model.domain.show(made).count(caption) == 4
    assert model.domain.show(made).count("measured C2H7NO") == (0 if "given" in caption else 4)
    assert model.domain.save(made, tmp_path / "made")[3].items() >= {"C": 2, "H": 7, "N": 1, "O": 1}.items()
    for one in model.sample(4, cond={"N": 2}, progress=False).examples:
        assert one.numbers.tolist().count(7) == 2
    assert {len(one.numbers) for one in model.sample(2, cond={"atoms": 9}, progress=False).examples} == {9}


@pytest.mark.parametrize("coupling", [[], ["coupling.same=0.5", "coupling.apart=0.5"]])
def test_letters_that_are_replaced_are_trained_and_sampled(tmp_path: Path, coupling: list[str]) -> None:
    """Their network is conditioned on two levels, of which one says the other unless training takes them apart."""
    words = [*WORDS, "data.bonds=true", "parts.atoms.process=uniform", *coupling, "train.steps=2", "--judge", "0"]
    assert main(["train", "--domain", "molecule", *words, "-o", str(tmp_path / "run")]) == 0
    model = polydiff.load(tmp_path / "run")
    assert model.denoiser.conditions == ({"_level_atoms"} if coupling else set())
    assert len(model.sample(2, progress=False).examples) == 2
