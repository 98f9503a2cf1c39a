"""Tests of `polydiff.domains.molecule.metrics.examine`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import worker_jobs
from molecule_cases import molecule, shaken

from polydiff.domains.molecule.chemistry.geometry import Molecule
from polydiff.domains.molecule.metrics import examine as module
from polydiff.domains.molecule.metrics.examine import (
    Findings,
    PerceivedSample,
    examine,
    has_posebusters,
    passes_posebusters,
    perceive_all,
    run_each,
    strain,
)
from polydiff.domains.molecule.metrics.sample_set import (
    Reference,
    all_metrics,
    pose_metrics,
)
from polydiff.domains.molecule.workers.worker import TimedOut


def test_a_timeout_counts_as_an_invalid_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [molecule("C"), molecule("CC"), molecule("CCO")]
    found = examine(examples)
    assert [one.perceived.smiles for one in found] == ["C", "CC", "CCO"]
    assert found[0].lengths == Findings.of(examples[0]).lengths

    def hang(work: Callable[[Molecule], object], items: list[Molecule], what: str, **_: object) -> list[object]:
        return [work(items[0]), TimedOut("it takes longer than 10 s"), work(items[2])]

    monkeypatch.setattr(module, "in_processes", hang)
    with pytest.warns(UserWarning, match=r"samples evaluated: 1 of 3 failed \(1: it takes longer than 10 s\)"):
        failed = examine(examples)
    with pytest.warns(UserWarning, match="samples perceived: 1 of 3"):
        assert [one.smiles for one in perceive_all(examples)] == ["C", None, "CCO"]
    monkeypatch.undo()
    metrics = all_metrics(failed, Reference(set(), set()), {"logp": [0.5] * 3})
    assert metrics["valid_connected_rdkit"].value == metrics["strain_known"].value == pytest.approx(2 / 3)
    assert metrics["edm_molecule_stable"].value == 1  # EDM's table does not depend on RDKit


def test_a_failure_affects_its_item_only_and_a_warning_has_the_reason() -> None:
    with pytest.warns(UserWarning, match=r"jobs: 2 of 4 failed \(2: ValueError: a bad item\)"):
        assert list(run_each(worker_jobs.job, [2, "error", "error", 3], "jobs")) == [4, None, None, 9]


def test_posebusters_counts_invalid_and_untestable_samples_as_failures() -> None:
    if not has_posebusters():
        pytest.skip("posebusters is not installed")
    good, bent = molecule("c1ccccc1O"), molecule("c1ccccc1O")
    puckered = Molecule(bent.numbers, bent.positions + np.float32(0.6) * (np.arange(13)[:, None] % 2) * [[0, 0, 1]])
    samples = [
        PerceivedSample.of(good),
        PerceivedSample.of(Molecule(good.numbers, good.positions * 0)),
        PerceivedSample.of(puckered),
    ]
    assert passes_posebusters([samples[0].mol]) == [True]
    assert pose_metrics(samples)["posebusters"].value == pytest.approx(1 / 3)
    with pytest.warns(UserWarning, match="PoseBusters: 1 of 2 failed .*TypeError"):
        assert passes_posebusters([None, samples[0].mol]) == [False, True]  # it raises an error for None


def test_strain_is_zero_at_a_minimum_and_grows_with_noise() -> None:
    ethanol = molecule("CCO")
    energies = [strain(PerceivedSample.of(shaken(ethanol, size)).mol) for size in (0.0, 0.02, 0.05)]
    assert energies[0] == pytest.approx(0, abs=1e-3)
    assert 0 < energies[1] < energies[2]  # type: ignore[operator]
