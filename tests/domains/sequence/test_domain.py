"""Texts as a domain: states, conditions, files, and the promises of every domain."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from polydiff.config.merge import resolve
from polydiff.contract.domain import Samples
from polydiff.core.streams import streams
from polydiff.domains.sequence import SPEC
from polydiff.domains.sequence.domain import SequenceDomain
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain

Opened = Callable[..., SequenceDomain]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"process": "gaussian"},
        {"process": "marginal", "data.name": "smiles", "data.conditions": ["heavy_atoms"]},
        {"task": "inpaint", "data.largest": 9},
    ],
    ids=["masked", "gaussian", "marginal", "inpaint"],
)
def test_the_domain_keeps_its_promises(keys: dict[str, object]) -> None:
    found = check_domain(resolve("sequence", values=keys).config)
    assert not [check for check in found if not check.passed], found


@pytest.mark.parametrize("preset", SPEC.presets)
def test_presets_make_networks(preset: str, sums: SequenceDomain) -> None:
    config = resolve("sequence", preset).config
    assert SequenceDomain(config, sums.statistics).backbone() is not None


def test_the_quick_network_is_small(sums: SequenceDomain) -> None:
    assert sum(p.numel() for p in sums.backbone().parameters()) < 1e6


@pytest.mark.parametrize("process", ["masked", "gaussian"])
def test_decoding_undoes_encoding(opened: Opened, process: str) -> None:
    domain = opened(process=process, **{"data.largest": 12})
    x, space, cond = domain.batch("train", range(169), streams(0, "augment", range(169)))
    assert cond is None
    assert domain.decode(x, space) == [f"{a}+{b}={a + b}" for a in range(13) for b in range(13)]


def test_the_entropy_is_known_of_sums_alone(
    sums: SequenceDomain, names: SequenceDomain, smiles: SequenceDomain
) -> None:
    assert sums.entropy() == pytest.approx(2 * math.log(100))
    assert names.entropy() is smiles.entropy() is None


def test_a_likelihood_has_one_bin_a_letter(sums: SequenceDomain) -> None:
    x, space, _ = sums.batch("test", range(4), streams(0, "augment", range(4)))
    units = sums.units(x, space)
    assert units.low is not None
    assert units.high is not None
    assert (units.high - units.low == 1).all()
    assert space.dim.tolist() == [10] * 4


def test_conditions_are_requested_in_their_own_units(smiles: SequenceDomain) -> None:
    space, cond = smiles.blank(streams(0, "blank", range(3)), {"heavy_atoms": "5"})
    assert cond is not None
    assert smiles.describe(cond) == [{"heavy_atoms": 5.0}] * 3
    assert tuple(space.noise(streams(0, "noise", range(3))).shape) == (3, 19)
    with pytest.raises(UserError, match="Unknown condition 'heavy'"):
        smiles.blank(streams(0, "blank", range(1)), {"heavy": "5"})


def test_saved_files_are_read_again(names: SequenceDomain, tmp_path: Path) -> None:
    samples = names.examples("test", 3)
    entries = names.save(samples, tmp_path)
    assert [entry["file"] for entry in entries] == [f"sample-{i:05d}.txt" for i in range(3)]
    batch = names.read([tmp_path / entry["file"] for entry in entries])
    assert names.decode(batch.x, batch.space) == samples.examples


def test_saved_crops_are_read_again(novel: Path, opened: Opened, tmp_path: Path) -> None:
    novel.write_text(novel.read_text().replace("e", "\n"))
    domain = opened(**{"data.path": novel, "data.crops": True, "data.length": 10})
    samples = domain.examples("test", 4)
    for entry, text in zip(domain.save(samples, tmp_path), samples.examples, strict=True):
        batch = domain.read([tmp_path / entry["file"]])
        assert domain.decode(batch.x, batch.space) == [text]
    (line, *_) = domain.archive(samples)["samples.jsonl"].splitlines()  # type: ignore[union-attr]
    assert json.loads(line) == {"text": samples.examples[0]}
    for name, text in {"a": "000\n", "b": "0000a0001b0002"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    assert domain.read([tmp_path / "a.txt"]).x.shape == (1, 3)
    with pytest.raises(UserError, match="the text has 14 letters, more than the 10"):
        domain.read([tmp_path / "b.txt"])
    with pytest.raises(UserError, match="differ in length"):
        domain.read([tmp_path / "a.txt", tmp_path / entry["file"]])


def test_an_archive_has_a_text_a_line(smiles: SequenceDomain) -> None:
    samples = Samples(["CCO", "C"])
    assert smiles.archive(samples) == {"samples.smi": "CCO\nC\n"}
    assert [mol.GetNumAtoms() for mol in smiles.converters()["rdkit"](samples.examples)] == [3, 1]
    assert np.array_equal(smiles.converters()["numpy"](["a", "bc"]), np.array(["a", "bc"]))


def test_lengths_are_measured(names: SequenceDomain) -> None:
    assert list(names.measures(Samples(["Zoë", ""]))["length"].values) == [3, 0]


def test_the_nearest_training_text_of_a_training_text_is_itself(names: SequenceDomain) -> None:
    train = names.examples("train", 5)
    found = names.nearest(train)
    assert found.examples.examples == train.examples
    assert list(found.distances) == [0] * 5
    assert found.typical > 0


def test_samples_are_decoded_without_the_data(names: SequenceDomain, tmp_path: Path) -> None:
    gone = names.config.model_copy(update={"data": names.data.model_copy(update={"path": tmp_path / "gone.txt"})})
    bare = SequenceDomain(gone, names.statistics)
    space, _ = bare.blank(streams(0, "blank", range(2)), {})
    assert bare.decode(torch.full((2, bare.length), bare.alphabet.size - 1), space) == ["", ""]
    with pytest.raises(UserError, match="no such file or folder"):
        bare.size("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [("Xnna Koch", "the letter 'X'"), ("Anna Koch Anna Koch", "texts of 19 letters, not at most 11")],
)
def test_other_data_than_those_of_training_are_an_error(
    names: SequenceDomain, tmp_path: Path, text: str, message: str
) -> None:
    assert names.data.path is not None
    path = tmp_path / "names.txt"
    path.write_text(f"{names.data.path.read_text()}\n{text}")
    config = names.config.model_copy(update={"data": names.data.model_copy(update={"path": path})})
    with pytest.raises(UserError, match=f"{message}.*Restore the data"):
        SequenceDomain(config, names.statistics).size("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"letters": "ba"}, "letters should be different characters in the order"),
        ({"letters": "aa"}, "letters should be different characters"),
        ({"frequencies": [0.5, 0.5]}, "frequencies should be 13 numbers with the sum 1"),
        ({"frequencies": [0.5] * 13}, "frequencies should be 13 numbers with the sum 1"),
        ({"length": 0}, "length"),
        ({"tokens": "words"}, "tokens"),
    ],
)
def test_damaged_statistics_name_the_key(sums: SequenceDomain, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceDomain(sums.config, {**sums.statistics, **change})


def test_the_identity_changes_with_a_text(names: SequenceDomain, tmp_path: Path, opened: Opened) -> None:
    before = names.identity("train")
    assert before["count"] == names.size("train")
    assert names.data.path is not None
    path = tmp_path / "names.txt"
    text = names.data.path.read_text()
    path.write_text(text)
    assert opened(**{"data.path": path}).identity("train") == before
    path.write_text(text.replace(next(iter(names.source.splits["train"].whole())), "Anna Zolf"))
    assert opened(**{"data.path": path}).identity("train") != before


def test_smiles_are_written_anew_with_the_atoms_in_another_order(opened: Opened) -> None:
    """Half of the texts may change; each still is the same molecule. Held-out texts and other epochs' draws differ."""
    plain, changed = (opened(**{"data.name": "smiles", "data.augment": share}) for share in (0.0, 0.5))
    numbers = range(40, 240)

    def texts(domain: SequenceDomain, seed: int, split: str = "train") -> list[str]:
        batch = domain.batch(split, numbers, streams(seed, "augment", numbers))
        return domain.decode(batch.x, batch.space)

    before, after = texts(plain, 0), texts(changed, 0)
    assert 0.2 < sum(a != b for a, b in zip(before, after, strict=True)) / 200 < 0.55
    assert [Chem.CanonSmiles(text) for text in before] == [Chem.CanonSmiles(text) for text in after]
    assert after == texts(changed, 0)
    assert after != texts(changed, 1)
    assert texts(changed, 0, "test") == texts(plain, 0, "test")


def test_only_smiles_are_written_anew() -> None:
    with pytest.raises(UserError, match=r"data\.augment writes SMILES anew"):
        resolve("sequence", values={"data.augment": 0.5})
