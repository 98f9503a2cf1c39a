"""Drawing sizes and conditions of molecules, given formulas, numbers of elements or properties."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from molecule_cases import SYMBOLS
from repository import ROOT

from polydiff.backbones.config import EGNNConfig
from polydiff.config.processes import build_denoiser
from polydiff.core.streams import streams
from polydiff.domains.molecule.chemistry.composition import count_elements
from polydiff.domains.molecule.condition_sampler import ConditionSampler
from polydiff.domains.molecule.conditions import ConditionSet
from polydiff.domains.molecule.config import MoleculeConfig, MoleculeData
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.model.edit import vary
from polydiff.model.model import Model
from polydiff.support.errors import UserError


def drawn(domain: MoleculeDomain, n: int = 60, **requested: str) -> tuple[list[int], dict[str, list[float]]]:
    sizes, values = domain.condition_sampler.draw(streams(0, "blank", range(n)), requested)
    return sizes.tolist(), dict(zip(domain.condition_set.names, values.T.tolist(), strict=True))


def test_a_formula_fixes_all_elements_and_the_size(domain: MoleculeDomain) -> None:
    sizes, values = drawn(domain, formula="C2H6O")
    assert sizes == [9] * 60
    assert [set(values[symbol]) for symbol in SYMBOLS] == [{6.0}, {2.0}, {0.0}, {1.0}, {0.0}]
    train = domain.dataset.splits["train"]
    isomers = count_elements([train[i] for i in range(len(train))], (1, 6, 7, 8, 9)) == [6, 2, 0, 1, 0]
    known = train.column("logp")[isomers.all(1)]
    if len(known):  # other conditions are drawn among the training isomers
        assert {round(v, 3) for v in values["logp"]} <= {round(float(v), 3) for v in known}


def test_with_one_element_fixed_the_others_are_drawn_as_in_the_data(domain: MoleculeDomain) -> None:
    sizes, values = drawn(domain, n=200, C="3")
    assert set(values["C"]) == {3.0}
    assert len(set(sizes)) > 3
    assert sizes == [int(sum(row)) for row in zip(*(values[symbol] for symbol in SYMBOLS), strict=True)]
    train = domain.dataset.splits["train"]
    real = {tuple(row) for row in count_elements([train[i] for i in range(len(train))], (1, 6, 7, 8, 9)).tolist()}
    assert set(zip(*(values[symbol] for symbol in SYMBOLS), strict=True)) <= real


def test_any_leaves_a_condition_unconditioned(domain: MoleculeDomain) -> None:
    sizes, cond = domain.blank(streams(0, "blank", range(5)), {"C": "any", "logp": "any"})
    assert cond is not None
    assert cond["C"].isnan().all()
    assert {row["C"] for row in domain.describe(cond)} == {"any"}
    assert int(sizes.dim.min()) > 0


@pytest.mark.parametrize(
    "requested", [{"atoms": "11"}, {"atoms": "11", "C": "3"}, {"atoms": "14"}, {"C": "any", "O": "1"}]
)
def test_numbers_of_elements_add_up_to_the_size(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    sizes, values = drawn(domain, **requested)
    assert sizes == [int(sum(row)) for row in zip(*(values[symbol] for symbol in SYMBOLS), strict=True)]
    assert set(sizes) == {int(requested["atoms"])} if "atoms" in requested else len(set(sizes)) > 1
    for symbol in SYMBOLS:
        assert (
            {float(requested.get(symbol, "any"))} >= set(values[symbol])
            if requested.get(symbol, "any") != "any"
            else True
        )


@pytest.mark.parametrize("requested", [{"atoms": "1"}, {"atoms": "30"}, {"C": "any"}, {"C": "any", "atoms": "8"}])
def test_elements_are_all_conditioned_or_none(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    sizes, values = drawn(domain, **requested)
    assert all(math.isnan(value) for symbol in SYMBOLS for value in values[symbol])
    assert not any(math.isnan(value) for value in values["logp"])
    assert set(sizes) == {int(requested["atoms"])} if "atoms" in requested else len(set(sizes)) > 1


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        (
            {"C": "9", "atoms": "14"},
            r"No training molecule has 14 atoms and C=9, so the other .* such as formula=C4H10O",
        ),
        ({"logp": "1e300"}, r"logp=1e\+300 is more than 1000 standard deviations from the training data"),
        ({"formula": "C2H6Cl"}, "C2H6Cl contains Cl, but the training data contain only H, C, N, O, F"),
        ({"formula": "c2h6"}, "c2h6 is not a formula. An example is C4H10O"),
        ({"formula": "C0H4"}, "is not a formula"),
        ({"formula": "C" + "9" * 5000}, "is not a formula"),
        ({"formula": "C2H6O", "atoms": "8"}, "formula=C2H6O means atoms=9, not 8. Specify one of them only"),
        ({"formula": "C2H6O", "C": "3"}, "means C=2, not 3"),
        ({"C": "1.5"}, "C must be a whole number of at least 0"),
        ({"C": "0", "H": "0", "N": "0", "O": "0", "F": "0"}, "add up to 0"),
        ({"C": "1", "H": "4", "N": "0", "O": "0", "F": "0", "atoms": "6"}, "add up to 5, which cannot be"),
        ({"formula": "C200H402"}, "atoms=602: the largest molecule in training has"),
        ({"composition": "C2H6"}, "composition is specified as formula=C2H6O or by element, such as C=2"),
    ],
)
def test_invalid_requests_are_errors(domain: MoleculeDomain, requested: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        domain.blank(streams(0, "blank", range(2)), requested)


@pytest.mark.parametrize("name", ["formula", "C", "composition"])
def test_the_error_without_composition_says_how_to_train_with_it(domain: MoleculeDomain, name: str) -> None:
    without = ConditionSampler(ConditionSet(("logp",)), domain.statistics)
    with pytest.raises(UserError, match=r"train a run with data\.conditions=\[composition\]"):
        without.draw(streams(0, "blank", range(2)), {name: "C2H6"})


def test_the_likelihood_has_a_part_for_sizes(domain: MoleculeDomain) -> None:
    x, space, _ = domain.batch("train", range(50), streams(0, "augment", range(50)))
    size = domain.units(x, space).size
    assert size is not None
    train = domain.dataset.splits["train"].sizes
    share = np.array([(train == n).mean() for n in train[:50]])
    np.testing.assert_allclose(np.exp(-size.numpy()), share, rtol=0.3)
    assert np.corrcoef(np.exp(-size.numpy()), share)[0, 1] > 0.999


@pytest.mark.parametrize("types", ["generated", "given"])
def test_the_benchmark_of_requested_properties(types: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    physical = domain.scaler.physical(drawn_ones.cond)["gyration"]
    assert physical == pytest.approx(requested.tolist(), abs=1e-4)
    for module in ("asking", "timing"):
        sys.modules.pop(module, None)


def test_edits_need_all_elements_or_none(domain: MoleculeDomain) -> None:
    model = Model(domain.config, domain, build_denoiser(domain.config, domain, torch.device("cpu")))
    given = domain.batch("test", range(2), streams(0, "augment", range(2)))
    requested = {"H": 6, "C": 2, "N": 0, "O": 1, "F": 0}
    made = vary(model, given, cond=requested, steps=1)
    assert made.cond is not None
    assert [row["H"] for row in domain.describe(made.cond)] == [6, 6]
    for wrong in ({"C": 2}, {"C": 2, "O": 1}):
        with pytest.raises(UserError, match=r"H, C, N, O, F must be set together, .*Set H=N, N=N, .*F=N as well"):
            vary(model, given, cond=wrong, steps=1)
    with pytest.raises(UserError, match="must be set together"):
        model.sample(2, steps=1, guidance=2.0, negative={"O": 0})
    with pytest.raises(UserError, match="formula=C2H6O: this sets the size of new samples"):
        vary(model, given, cond={"formula": "C2H6O"}, steps=1)


@pytest.mark.parametrize(
    ("name", "value"), [("logp", "99"), ("logp", "-30"), ("atoms", "50"), ("C", "9"), ("formula", "C8H18")]
)
def test_a_request_far_outside_of_the_data_gives_a_warning(domain: MoleculeDomain, name: str, value: str) -> None:
    with pytest.warns(UserWarning, match=r"is far outside of the training data, whose values are .* to"):
        drawn(domain, n=2, **{name: value})


@pytest.mark.parametrize(
    "requested", [{"logp": "1"}, {"logp": "any"}, {"atoms": "12"}, {"C": "any"}, {"formula": "C2H6O"}]
)
def test_a_request_within_the_data_gives_none(domain: MoleculeDomain, requested: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(domain, n=2, **requested)
