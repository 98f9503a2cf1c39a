"""Conditions of molecules that are text or classes: drawn with sizes and elements, requested, described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from molecule_words import WITH, WITHOUT, words_csv

from polydiff.backbones.config import EGNNConfig
from polydiff.contract.conditions.profiles import NEAREST, similar
from polydiff.contract.data.statistics import check_statistics
from polydiff.contract.discover import build_domain
from polydiff.core.conditions import Classes, Number, Text
from polydiff.core.streams import streams
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.statistics import MoleculeStatistics
from polydiff.support.errors import UserError
from polydiff.testing.domain import check_domain

pytestmark = pytest.mark.filterwarnings("ignore:.*left out")


def config(path: Path, **data: object) -> MoleculeConfig:
    options = {"path": path, "conformers": 1, "conditions": ("composition", "kind:class", "number"), **data}
    return MoleculeConfig(data=MoleculeData(**options), backbone=EGNNConfig(hidden=16, layers=2))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> MoleculeDomain:
    return MoleculeDomain(config(words_csv(tmp_path_factory.mktemp("words") / "words.csv")))


def test_the_domain_passes_the_conformance_checks(domain: MoleculeDomain) -> None:
    assert [check for check in check_domain(domain.config, examples=8) if not check.passed] == []


def test_captions_classes_and_numbers_are_conditions_at_once(domain: MoleculeDomain) -> None:
    kinds = {name: type(kind) for name, kind in domain.conditions.items()}
    assert {kinds.pop("text"), kinds.pop("kind")} == {Text, Classes}
    assert set(kinds.values()) == {Number}
    assert {"number", "C", "N"} <= kinds.keys()


def test_data_have_the_caption_of_their_molecule(domain: MoleculeDomain) -> None:
    for split in ("train", "test"):
        part = domain.dataset.splits[split]
        rows = domain.describe(
            domain.batch(split, range(len(part)), streams(0, "augment", range(len(part)))).cond or {}
        )
        assert [row["text"] for row in rows] == [WITH if "N" in one else WITHOUT for one in part.smiles]
        assert [row["kind"] for row in rows] == ["amine" if "N" in one else "other" for one in part.smiles]


@pytest.mark.parametrize("requested", [{}, {"text": WITH}, {"text": WITHOUT}, {"kind": "amine"}])
def test_elements_and_texts_are_drawn_from_one_training_molecule(
    domain: MoleculeDomain, requested: dict[str, str]
) -> None:
    cond = domain.blank(streams(0, "blank", range(40)), requested)[1]
    for row in domain.describe(cond or {}):
        assert (row["N"] > 0) == (row["text"] == WITH) == (row["kind"] == "amine")
        assert requested.items() <= row.items()


def test_a_formula_precedes_a_text_that_contradicts_it(domain: MoleculeDomain) -> None:
    cond = domain.blank(streams(0, "blank", range(5)), {"text": WITH, "formula": "C2H6O"})[1]
    assert {(row["N"], row["text"]) for row in domain.describe(cond or {})} == {(0, WITH)}


def test_any_leaves_the_text_open(domain: MoleculeDomain) -> None:
    cond = domain.blank(streams(0, "blank", range(40)), {"text": "any"})[1]
    rows = domain.describe(cond or {})
    assert {row["text"] for row in rows} == {"any"}
    assert {row["N"] > 0 for row in rows} == {True, False}


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"text": "it contains nitrogn"}, "'nitrogn' does not occur .* 'nitrogen'"),
        ({"kind": "amin"}, "amine"),
        ({"txt": "nitrogen"}, "Unknown condition 'txt'.*'text'"),
    ],
)
def test_unknown_words_and_names_are_errors(domain: MoleculeDomain, requested: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        domain.blank(streams(0, "blank", range(2)), requested)


def test_statistics_suffice_without_the_data(domain: MoleculeDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = json.loads(json.dumps(domain.statistics))
    again = build_domain(domain.config, statistics)
    monkeypatch.setattr("polydiff.domains.molecule.data.dataset.open_library", lambda _: pytest.fail("read the data"))
    a, b = (one.blank(streams(0, "blank", range(9)), {"text": WITH})[1] for one in (domain, again))
    assert a is not None
    assert b is not None
    assert all(torch.equal(a[name], b[name]) or name == "number" for name in a)
    assert [row["text"] for row in again.describe(b)] == [WITH] * 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"described": {}}, "described should hold the same conditions"),
        ({"described": {"text": ["a"], "kind": ["amine"]}}, "has 1 values for"),
    ],
)
def test_damaged_statistics_are_errors(domain: MoleculeDomain, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_statistics(MoleculeStatistics, {**domain.statistics, **change})


def test_a_changed_caption_changes_the_identity_of_the_data(domain: MoleculeDomain, tmp_path: Path) -> None:
    other = MoleculeDomain(config(words_csv(tmp_path / "words.csv", with_nitrogen="it has nitrogen")))
    assert other.identity("train") != domain.identity("train")
    again = MoleculeDomain(config(words_csv(tmp_path / "again.csv")), domain.statistics)
    assert again.identity("train") == domain.identity("train")


def test_data_without_the_captions_of_training_are_an_error(domain: MoleculeDomain, tmp_path: Path) -> None:
    path = words_csv(tmp_path / "words.csv", column="name")
    with pytest.raises(UserError, match="lack the conditions text of training"):
        MoleculeDomain(config(path), domain.statistics).batch("train", [0], streams(0, "augment", [0]))


def test_other_classes_than_those_of_training_are_an_error(domain: MoleculeDomain, tmp_path: Path) -> None:
    path = words_csv(tmp_path / "words.csv")
    path.write_text(path.read_text().replace("amine", "base"))
    with pytest.raises(UserError, match="not those of training"):
        MoleculeDomain(config(path), domain.statistics).batch("train", [0], streams(0, "augment", [0]))


def test_molecules_show_their_captions(domain: MoleculeDomain) -> None:
    assert f"text &quot;{WITH}&quot;" in domain.show(domain.examples("train", 30))


def test_the_most_similar_texts_share_rare_words() -> None:
    known = [frozenset(text.split()) for text in ["a small alcohol"] * 40 + ["a large amine"] * 40 + [""] * 5]
    assert similar(frozenset(["an", "amine"]), known).tolist() == [False] * 40 + [True] * 40 + [False] * 5
    assert not similar(frozenset(["ketone"]), known).any()
    assert int(similar(frozenset(["small", "alcohol"]), known).sum()) >= NEAREST
