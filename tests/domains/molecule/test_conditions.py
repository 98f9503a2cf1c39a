"""What molecules can be asked to be: formulas and numbers of elements, sizes and their probability."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from repository import ROOT

from polydiff.backbones.config import EGNNConfig
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.core.conditions import Number
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.composition import counted
from polydiff.domains.molecule.conditions import Asking, Wishes
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.model.edit import vary
from polydiff.model.model import Model
from polydiff.support.errors import UserError

SYMBOLS = ("H", "C", "N", "O", "F")


@pytest.fixture(scope="module")
def domain() -> MoleculeDomain:
    data = MoleculeData(max_heavy=4, conditions=("composition", "logp"))
    return MoleculeDomain(MoleculeConfig(data=data, backbone=EGNNConfig(hidden=16, layers=2)))


def drawn(domain: MoleculeDomain, n: int = 60, **requested: str) -> tuple[list[int], dict[str, list[float]]]:
    sizes, values = domain.wishes.draw(streams(0, "blank", range(n)), requested)
    return sizes.tolist(), dict(zip(domain.asking.names, values.T.tolist(), strict=True))


def test_the_conditions_are_properties_and_one_number_an_element(domain: MoleculeDomain) -> None:
    assert domain.asking.names == ("logp", *SYMBOLS)
    assert dict(domain.conditions) == dict.fromkeys(("logp", *SYMBOLS), Number())
    again = build_domain(domain.config, json.loads(json.dumps(domain.statistics)))
    assert dict(again.conditions) == dict(domain.conditions)


def test_geometries_are_told_what_they_are_made_of(domain: MoleculeDomain) -> None:
    x, space, cond = domain.batch("train", range(40), streams(0, "augment", range(40)))
    assert cond is not None
    for molecule, words in zip(domain.decode(x, space), domain.describe(cond), strict=True):
        numbers = [int((molecule.numbers == z).sum()) for z in (1, 6, 7, 8, 9)]
        assert [words[symbol] for symbol in SYMBOLS] == numbers


def test_a_formula_is_all_elements_and_the_size(domain: MoleculeDomain) -> None:
    sizes, values = drawn(domain, formula="C2H6O")
    assert sizes == [9] * 60
    assert [set(values[symbol]) for symbol in SYMBOLS] == [{6.0}, {2.0}, {0.0}, {1.0}, {0.0}]
    train = domain.dataset.splits["train"]
    isomers = counted([train[i] for i in range(len(train))], (1, 6, 7, 8, 9)) == [6, 2, 0, 1, 0]
    known = train.column("logp")[isomers.all(1)]
    if len(known):  # what is not asked for is drawn among the isomers of training
        assert {round(v, 3) for v in values["logp"]} <= {round(float(v), 3) for v in known}


def test_an_element_alone_draws_the_rest_as_in_the_data(domain: MoleculeDomain) -> None:
    sizes, values = drawn(domain, n=200, C="3")
    assert set(values["C"]) == {3.0}
    assert len(set(sizes)) > 3
    assert sizes == [int(sum(row)) for row in zip(*(values[symbol] for symbol in SYMBOLS), strict=True)]
    train = domain.dataset.splits["train"]
    real = {tuple(row) for row in counted([train[i] for i in range(len(train))], (1, 6, 7, 8, 9)).tolist()}
    assert set(zip(*(values[symbol] for symbol in SYMBOLS), strict=True)) <= real


def test_any_is_told_as_any(domain: MoleculeDomain) -> None:
    sizes, cond = domain.blank(streams(0, "blank", range(5)), {"C": "any", "logp": "any"})
    assert cond is not None
    assert cond["C"].isnan().all()
    assert {words["C"] for words in domain.describe(cond)} == {"any"}
    assert int(sizes.dim.min()) > 0


@pytest.mark.parametrize("asked", [{"atoms": "11"}, {"atoms": "11", "C": "3"}, {"atoms": "14"}, {"C": "any", "O": "1"}])
def test_what_is_told_of_elements_adds_up_to_the_size(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    sizes, values = drawn(domain, **requested)
    assert sizes == [int(sum(row)) for row in zip(*(values[symbol] for symbol in SYMBOLS), strict=True)]
    assert set(sizes) == {int(requested["atoms"])} if "atoms" in requested else len(set(sizes)) > 1
    for symbol in SYMBOLS:
        assert (
            {float(requested.get(symbol, "any"))} >= set(values[symbol])
            if requested.get(symbol, "any") != "any"
            else True
        )


@pytest.mark.parametrize("asked", [{"atoms": "1"}, {"atoms": "30"}, {"C": "any"}, {"C": "any", "atoms": "8"}])
def test_elements_are_told_all_or_none(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    sizes, values = drawn(domain, **requested)
    assert all(math.isnan(value) for symbol in SYMBOLS for value in values[symbol])
    assert not any(math.isnan(value) for value in values["logp"])
    assert set(sizes) == {int(requested["atoms"])} if "atoms" in requested else len(set(sizes)) > 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"C": "9", "atoms": "14"}, r"No molecule of training has 14 atoms and C=9, so that .* such as formula=C4H10O"),
        ({"logp": "1e300"}, r"logp=1e\+300 is more than 1000 standard deviations from those of training"),
        ({"formula": "C2H6Cl"}, "C2H6Cl holds Cl; the training data are made of H, C, N, O, F"),
        ({"formula": "c2h6"}, "c2h6 is no formula, such as C4H10O"),
        ({"formula": "C0H4"}, "is no formula"),
        ({"formula": "C" + "9" * 5000}, "is no formula"),
        ({"formula": "C2H6O", "atoms": "8"}, "formula=C2H6O means atoms=9, not 8. Say one of them"),
        ({"formula": "C2H6O", "C": "3"}, "means C=2, not 3"),
        ({"C": "1.5"}, "C must be a whole number of at least 0"),
        ({"C": "0", "H": "0", "N": "0", "O": "0", "F": "0"}, "add up to 0"),
        ({"C": "1", "H": "4", "N": "0", "O": "0", "F": "0", "atoms": "6"}, "add up to 5, which cannot be"),
        ({"formula": "C200H402"}, "atoms=602: the largest molecule in training has"),
        ({"composition": "C2H6"}, "composition is asked for as formula=C2H6O or by an element, such as C=2"),
    ],
)
def test_what_cannot_be_asked(domain: MoleculeDomain, requested: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        domain.blank(streams(0, "blank", range(2)), requested)


@pytest.mark.parametrize("name", ["formula", "C", "composition"])
def test_a_run_without_composition_says_how_to_train_one(domain: MoleculeDomain, name: str) -> None:
    plain = Wishes(type(domain.asking)(("logp",)), domain.statistics)
    with pytest.raises(UserError, match=r"training with data\.conditions=\[composition\]"):
        plain.draw(streams(0, "blank", range(2)), {name: "C2H6"})


def test_the_likelihood_has_a_part_for_sizes(domain: MoleculeDomain) -> None:
    x, space, _ = domain.batch("train", range(50), streams(0, "augment", range(50)))
    size = domain.units(x, space).size
    assert size is not None
    train = domain.dataset.splits["train"].sizes
    share = np.array([(train == n).mean() for n in train[:50]])
    np.testing.assert_allclose(np.exp(-size.numpy()), share, rtol=0.3)
    assert np.corrcoef(np.exp(-size.numpy()), share)[0, 1] > 0.999


@pytest.mark.parametrize("types", ["generated", "given"])
def test_the_benchmark_of_asking(types: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real molecules have no error, a random draw has one; each sample has a request of its own."""
    import sys

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import asking as bench

    data = MoleculeData(max_heavy=3, conditions=("logp", "gyration"), types=types)  # type: ignore[arg-type]
    config = MoleculeConfig(data=data, backbone=EGNNConfig(hidden=16, layers=2))
    domain = MoleculeDomain(config)
    model = Model(config, domain, build_denoiser(config, domain, torch.device("cpu")))
    n = domain.size("test")
    requested = bench.requests(domain, "gyration", n)
    real = domain.examples("test", n)
    assert bench.errors(domain, "gyration", requested, real) == pytest.approx(0, abs=1e-4)
    name, unit, scale, error, _, chance, invalid = bench.row(domain, "gyration", requested, real, 2.0)
    assert (name, unit, scale, invalid) == ("gyration", "Å", "2", f"0 of {n}")
    assert float(error.split()[0]) < 1e-4 < 0.05 < float(chance)
    drawn_ones = bench.drawn(model, "gyration", requested, model.plan(steps=2, batch_size=3), 0)
    assert drawn_ones.cond is not None
    told = domain.wishes.physical(drawn_ones.cond)["gyration"]
    assert told == pytest.approx(requested.tolist(), abs=1e-4)
    for module in ("asking", "timing"):
        sys.modules.pop(module, None)


def test_of_an_example_that_there_is_all_elements_are_told_or_none(domain: MoleculeDomain) -> None:
    model = Model(domain.config, domain, build_denoiser(domain.config, domain, torch.device("cpu")))
    given = domain.batch("test", range(2), streams(0, "augment", range(2)))
    requested = {"H": 6, "C": 2, "N": 0, "O": 1, "F": 0}
    made = vary(model, given, cond=requested, steps=1)
    assert made.cond is not None
    assert [words["H"] for words in domain.describe(made.cond)] == [6, 6]
    for wrong in ({"C": 2}, {"C": 2, "O": 1}):
        with pytest.raises(UserError, match=r"H, C, N, O, F must be set together, .*Set H=N, N=N, .*F=N as well"):
            vary(model, given, cond=wrong, steps=1)
    with pytest.raises(UserError, match="told all together"):
        model.sample(2, steps=1, guidance=2.0, negative={"O": 0})
    with pytest.raises(UserError, match="formula=C2H6O: this sets the size of new samples"):
        vary(model, given, cond={"formula": "C2H6O"}, steps=1)


def test_captions_tell_a_whole_composition_as_a_formula() -> None:
    wishes = Wishes(Asking(("logp",), (1, 6, 8)), {"elements": [1, 6, 8]})
    assert wishes.caption({"logp": 0.5, "H": 6, "C": 2, "O": 1}) == "logp 0.5, C2H6O"
    assert wishes.caption({"logp": 0.5, "H": 2, "C": 0, "O": 1}) == "logp 0.5, H2O"
    assert wishes.caption({"logp": "any", "H": "any", "C": 2, "O": "any"}) == "logp any, H any, C 2, O any"
    assert Wishes(Asking(("logp",)), {}).caption({"logp": 1.0}) == "logp 1.0"
