"""What a regression learns from molecules: its labels, its solution in closed form, and its error."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from polydiff.config.merge import resolve
from polydiff.contract.data.augmenting import JudgesData
from polydiff.contract.domain import Samples
from polydiff.domains.molecule.domain import MoleculeDomain
from polydiff.domains.molecule.metrics import learned
from polydiff.domains.molecule.metrics.examine import read_known
from polydiff.domains.molecule.metrics.learned import PropertyJudge, weights
from polydiff.domains.molecule.metrics.nearest import BITS, fragment_counts
from polydiff.stages.open import open_domain
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

BOILING = {
    "CO": 65.0,
    "CCO": 78.0,
    "CCCO": 97.0,
    "CCCCO": 118.0,
    "CC(C)O": 82.0,
    "CC": -89.0,
    "CCC": -42.0,
    "CCCC": -1.0,
}
UNKNOWN, HELD_OUT = "CCCCC", ("CCCO", "CCC")


@pytest.fixture(scope="module")
def alcohols(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Molecules with boiling points in °C, one of them unknown; 2 of 9 are held out."""
    folder = tmp_path_factory.mktemp("alcohols")
    for split in ("train", "test"):
        rows = [f"{one},{value}" for one, value in BOILING.items() if (one in HELD_OUT) == (split == "test")]
        unknown = [f"{UNKNOWN},"] if split == "train" else []
        (folder / split).mkdir()
        (folder / split / "boiling.csv").write_text("\n".join(["smiles,boiling", *rows, *unknown]))
    values = {"data.path": str(folder), "data.conditions": ["boiling", "logp"], "data.conformers": 2}
    return open_domain(resolve("molecule", values=values).config)


def parts(domain: MoleculeDomain, split: str = "train") -> Samples:
    return domain.examples(split, domain.size(split))


def logp(smiles: str) -> float:
    return float(Crippen.MolLogP(Chem.MolFromSmiles(smiles)))


def test_the_property_of_a_molecule_is_that_of_its_graph(domain: MoleculeDomain) -> None:
    """All geometries of a molecule are one example."""
    assert provides(domain, JudgesData)
    train = parts(domain)
    found = domain.property_judge.examples(train)
    smiles = list(dict.fromkeys(domain.dataset.splits["train"].smiles))
    assert len(smiles) < len(train)
    assert found.values == pytest.approx([logp(one) for one in smiles])
    assert (found.counts == [fragment_counts(one) for one in smiles]).all()


def test_molecules_are_read_by_their_own_bonds_where_these_are_known(domain: MoleculeDomain) -> None:
    """Bonds that are written hold in any geometry; without any, RDKit perceives them by their lengths."""
    known = domain.examples("train", 20).examples
    far = [one._replace(positions=10 * one.positions) for one in known]  # 10 times too long
    keys = [one.key for one in read_known(known)]
    assert None not in keys
    assert [one.key for one in read_known(far)] == keys
    assert [one.key for one in read_known([one._replace(bonds=None, charges=None) for one in known])] == keys
    lost = read_known([one._replace(bonds=None, charges=None) for one in far])
    assert all(one.key != key for one, key in zip(lost, keys, strict=True))


def test_fragments_of_radius_0_are_the_atoms_and_each_is_counted() -> None:
    """Hexane has 6 carbon atoms: 2 and 4 of a kind; with one bond 2, 2 and 2; with two bonds those of the middle."""
    counts = Counter(fragment_counts("CCCCCC").tolist())
    assert sum(n * k for n, k in counts.items()) >= 6 + 6
    assert {2, 4} <= counts.keys()
    assert fragment_counts("CCO").tolist() == fragment_counts("OCC").tolist() != fragment_counts("COC").tolist()


def test_synthetic_molecules_are_labelled_by_what_they_are_or_were_conditioned_on(
    domain: MoleculeDomain, alcohols: MoleculeDomain, tmp_path: Path
) -> None:
    """log P is computed for the molecule, whatever it was requested with; a boiling point is the request."""
    known = domain.examples("train", 6)
    rows = domain.write_data(known, tmp_path / "a")
    back = domain.read_data([tmp_path / "a" / row["file"] for row in rows], [{"logp": 9.0}] * 6)
    for part in zip(domain.property_judge.examples(back), domain.property_judge.examples(known), strict=True):
        assert (part[0] == part[1]).all()
    known = alcohols.examples("train", 4)
    rows = alcohols.write_data(known, tmp_path / "b")
    paths = [tmp_path / "b" / row["file"] for row in rows]
    back = alcohols.read_data(paths, [{"boiling": 10.0 * i, "logp": 9.0} for i in range(3)] + [{}])
    assert alcohols.property_judge.target == "boiling"
    assert alcohols.property_judge.values(back, []) == pytest.approx([0, 10, 20, math.nan], abs=1e-4, nan_ok=True)


def test_real_molecules_have_the_values_of_their_column(alcohols: MoleculeDomain) -> None:
    judge = alcohols.property_judge
    assert alcohols.learns == "mean absolute error of boiling, predicted from fragments, on 2 held-out molecules"
    assert alcohols.better == "lower"
    known = [value for one, value in BOILING.items() if one not in HELD_OUT]
    assert judge.examples(parts(alcohols)).values == pytest.approx(known, abs=1e-3)  # UNKNOWN is left out
    assert sorted(judge.examples(judge.test).values) == pytest.approx([-42, 97], abs=1e-3)


def test_the_regression_is_that_of_the_normal_equations(
    alcohols: MoleculeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weighted means removed, w = (X^T U X + a 1)^-1 X^T U y."""
    a, seed = 0.7, 11
    monkeypatch.setattr(learned, "PENALTIES", np.array([a]))
    real, other = parts(alcohols), alcohols.examples("train", 4)
    judge = alcohols.property_judge
    sets = [judge.examples(of) for of in (real, other)]
    x, y = (np.concatenate(one) for one in zip(*sets, strict=True))
    u = weights([len(of.values) for of in sets], seed)
    mean_x, mean_y = u @ x / u.sum(), u @ y / u.sum()
    centred = x - mean_x
    w = np.linalg.solve(centred.T @ (u[:, None] * centred) + a * np.eye(BITS), centred.T @ (u * (y - mean_y)))
    test = judge.examples(judge.test)
    expected = np.abs((test.counts - mean_x) @ w + mean_y - test.values).mean()
    assert alcohols.learned([real, other], seed, False) == pytest.approx(expected, rel=1e-6)


def test_each_set_has_the_same_share_and_the_mean_weight_is_1() -> None:
    found = weights([5, 500], 3)
    assert found.mean() == pytest.approx(1)
    assert found[:5].sum() == pytest.approx(found[5:].sum())
    assert (found > 0).all()
    assert not np.allclose(found, weights([5, 500], 4))
    many = weights([100_000], 0)
    assert many.std() == pytest.approx(1, abs=0.02)  # the exponential law of mean 1 has the standard deviation 1


def test_what_fragments_determine_is_learned_and_a_constant_is_predicted_everywhere(domain: MoleculeDomain) -> None:
    """The number of oxygens that end a chain is a number of fragments; a constant needs none."""
    judge = domain.property_judge
    train, test = judge.examples(parts(domain)), judge.examples(judge.test)
    oxygen = int(
        np.flatnonzero((fragment_counts("CO") > 0) & (fragment_counts("CCO") > 0) & (fragment_counts("CC") == 0))[0]
    )
    given = Samples([])

    def error(trained: np.ndarray, tested: np.ndarray) -> float:
        known = {
            id(judge.test): (judge.test, test._replace(values=tested)),
            id(given): (given, train._replace(values=trained)),
        }
        return PropertyJudge(judge.scaler, judge.test, known).error([given], 0)

    linear = [3 * of.counts[:, oxygen] + 1 for of in (train, test)]
    assert error(*linear) < 0.15 * error(linear[0].mean() + 0 * linear[0], linear[1])
    assert error(np.full(len(train.values), 2.5), test.values) == pytest.approx(np.abs(test.values - 2.5).mean())


def test_more_real_molecules_teach_more(domain: MoleculeDomain) -> None:
    few, all_of_them = domain.examples("train", 8), parts(domain)
    errors = [np.mean([domain.learned([of], seed, False) for seed in range(5)]) for of in (few, all_of_them)]
    assert errors[1] < 0.75 * errors[0]


def test_molecules_whose_property_is_unknown_teach_nothing(alcohols: MoleculeDomain) -> None:
    known = alcohols.examples("train", 4)
    unknown = Samples(known.examples, alcohols.scaler.encode([{}] * 4))
    with pytest.raises(UserError, match=r"boiling is unknown for all of 4 molecules"):
        alcohols.learned([known, unknown], 0, False)
    judge = alcohols.property_judge
    untested = PropertyJudge(judge.scaler, unknown)
    assert math.isnan(untested.error([known], 0))


def test_data_without_numbers_as_conditions_are_judged_by_log_p() -> None:
    found = open_domain(resolve("molecule", values={"data.max_heavy": 3, "data.conditions": ["composition"]}).config)
    assert found.learns.startswith("mean absolute error of logp, predicted")
    assert found.property_judge.examples(parts(found)).values == pytest.approx(
        [logp(one) for one in dict.fromkeys(found.dataset.splits["train"].smiles)]
    )


def test_a_unit_is_named() -> None:
    found = open_domain(resolve("molecule", values={"data.max_heavy": 3, "data.conditions": ["tpsa"]}).config)
    assert "mean absolute error of tpsa in Å², predicted" in found.learns
