"""Tests of `polydiff.domains.molecule.metrics.examine`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import worker_jobs

from polydiff.domains.molecule.chemistry.geometry import Molecule, atomic_numbers, embedded, positions
from polydiff.domains.molecule.metrics import examine as judging
from polydiff.domains.molecule.metrics.examine import (
    Findings,
    Judged,
    busts,
    each,
    examine,
    looked_at,
    passes,
    strain,
)
from polydiff.domains.molecule.metrics.sample_set import (
    Reference,
    judge,
    pose_metrics,
)
from polydiff.domains.molecule.workers.worker import TimedOut


def molecule(smiles: str) -> Molecule:
    mol = embedded(smiles, 1)
    return Molecule(atomic_numbers(mol), positions(mol)[0])


def shaken(one: Molecule, size: float, seed: int = 0) -> Molecule:
    noise = np.random.default_rng(seed).normal(size=one.positions.shape)
    return Molecule(one.numbers, (one.positions + size * noise).astype(np.float32))


def test_what_judges_give_up_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [molecule("C"), molecule("CC"), molecule("CCO")]
    found = examine(examples)
    assert [one.judged.smiles for one in found] == ["C", "CC", "CCO"]
    assert found[0].lengths == Findings.of(examples[0]).lengths

    def hang(work: Callable[[Molecule], object], items: list[Molecule], what: str, **_: object) -> list[object]:
        return [work(items[0]), TimedOut("it takes longer than 10 s"), work(items[2])]

    monkeypatch.setattr(judging, "in_processes", hang)
    with pytest.warns(UserWarning, match=r"samples judged: 1 of 3 were given up \(1: it takes longer than 10 s\)"):
        given_up = examine(examples)
    with pytest.warns(UserWarning, match="samples looked at: 1 of 3"):
        assert [one.smiles for one in looked_at(examples)] == ["C", None, "CCO"]
    monkeypatch.undo()
    told = judge(given_up, Reference(set(), set()), {"logp": [0.5] * 3})
    assert told["valid_connected_rdkit"].value == told["strain_known"].value == pytest.approx(2 / 3)
    assert told["edm_molecule_stable"].value == 1  # the table is not RDKit's


def test_what_fails_in_a_judge_costs_itself_and_the_reason_is_told() -> None:
    with pytest.warns(UserWarning, match=r"jobs: 2 of 4 were given up \(2: ValueError: a bad item\)"):
        assert list(each(worker_jobs.job, [2, "error", "error", 3], "jobs")) == [4, None, None, 9]


def test_posebusters_counts_what_is_invalid_and_what_cannot_be_tested() -> None:
    if not busts():
        pytest.skip("posebusters is not installed")
    good, bent = molecule("c1ccccc1O"), molecule("c1ccccc1O")
    puckered = Molecule(bent.numbers, bent.positions + np.float32(0.6) * (np.arange(13)[:, None] % 2) * [[0, 0, 1]])
    judged = [Judged.of(good), Judged.of(Molecule(good.numbers, good.positions * 0)), Judged.of(puckered)]
    assert passes([judged[0].mol]) == [True]
    assert pose_metrics(judged)["posebusters"].value == pytest.approx(1 / 3)
    with pytest.warns(UserWarning, match="PoseBusters: 1 of 2 were given up .*TypeError"):
        assert passes([None, judged[0].mol]) == [False, True]  # PoseBusters itself fails in what it cannot read


def test_strain_is_zero_at_a_minimum_and_grows_with_noise() -> None:
    ethanol = molecule("CCO")
    energies = [strain(Judged.of(shaken(ethanol, size)).mol) for size in (0.0, 0.02, 0.05)]
    assert energies[0] == pytest.approx(0, abs=1e-3)
    assert 0 < energies[1] < energies[2]  # type: ignore[operator]
