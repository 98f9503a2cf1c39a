"""`check_domain` passes a domain that follows all rules, and each check catches a domain that breaks its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_plugins import install_ring, install_spotted

from polydiff.config.merge import resolve
from polydiff.core.space import Batch, Euclidean, Measurement
from polydiff.testing.domain import check_domain, check_measurement


def test_a_correct_domain_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    found = check_domain("ring")
    assert [check for check in found if not check.passed] == []
    assert len(found) == 16
    assert all(check.detail for check in found)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("batches", "depends on the others of its batch"),
        ("variance", "root mean square is 0.1"),
        ("space", "noise and dim disagree"),
        ("backbone", "A condition that is given does not change the output"),
        ("blank", "unknown condition does not raise a UserError"),
        ("decode", "decode returns 15 examples for 16 states"),
        ("judges", "No metric is better on real data than on noise"),
        ("show", "show loads a file from the network"),
        ("save", "save lists 'sample-00000.json' and does not write it"),
        ("statistics", "A domain built with saved statistics has other statistics"),
    ],
)
def test_each_check_catches_a_domain_that_breaks_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    install_ring(tmp_path, monkeypatch)
    config = resolve("ring", words={"data.fault": fault}).config
    broken = {check.name: check.detail for check in check_domain(config) if not check.passed}
    assert sentence in broken[fault]


def test_a_correct_domain_of_several_parts_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_spotted(tmp_path, monkeypatch)
    found = {check.name: check for check in check_domain("spotted")}
    assert [check for check in found.values() if not check.passed] == []
    assert found["space"].detail == "Euclidean, LettersSpace"
    assert found["kernels"].detail == "GaussianKernel, LetterKernel; known letters of colours stay"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("batches of colours", "A train example depends on the others of its batch (part colours)."),
        ("batches of parts", "States have the parts ['colours', 'point'], their space has ['point', 'spots']."),
        ("variance of colours", "States hold letters outside of 0 to 2 (part colours)."),
        ("statistics of colours", "A domain built with saved statistics encodes differently (part colours)."),
        ("space of colours", "Generator 0 changes the noise of other samples than 0. (part colours)"),
        ("backbone of colours", "Sample 0 changes the output of other samples of its batch."),
        ("backbone of letters", "The logits have shape (4, 2, 2), not (4, 2, 3)."),
    ],
)
def test_each_check_catches_a_part_that_breaks_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    install_spotted(tmp_path, monkeypatch)
    broken = {
        check.name: check.detail for check in check_domain(resolve("spotted", words={"data.fault": fault}).config)
    }
    assert broken[fault.partition(" ")[0]] == sentence


@pytest.mark.parametrize("kind", ["placed", "graphs"])
def test_molecules_with_bonds_pass_every_check(kind: str) -> None:
    parts = {"placed": {"data.bonds": True}, "graphs": {"data.bonds": True, "data.positions": False}}
    small = {
        "data.max_heavy": 4, "backbone.hidden": 16, "backbone.layers": 2, "backbone.pair": 8, "backbone.vectors": 8,
        "train.batch_size": 4, "device": "cpu",
    }  # fmt: skip
    found = check_domain(resolve("molecule", values={**small, **parts[kind]}).config)
    assert [check for check in found if not check.passed] == []
    assert len(found) == 16


def test_an_unknown_domain_fails_at_the_first_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    (found,) = check_domain("rign")
    assert not found.passed
    assert "Did you mean 'ring'?" in found.detail


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"forward": lambda x: x[:, :2] ** 2}, "is not linear"),
        ({"forward": lambda x: x[:, :2] + 1e-3}, "is not linear"),
        ({"forward": lambda x: x[:, :1]}, r"gives \(2, 1\), its space has \(2, 2\)"),
        ({"adjoint": lambda y: 1.001 * torch.nn.functional.pad(y, (0, 2))}, "The adjoint of part is wrong"),
        ({"adjoint": lambda y: y}, "The adjoint of part gives"),
        ({"simple": lambda y: y}, "The simple estimate of part has the shape"),
        ({"unit": 0.0}, "unit of part is 0"),
    ],
)
def test_a_wrong_measurement_is_found(change: dict[str, Any], sentence: str) -> None:
    """The operator takes the first two of four numbers."""
    space = Euclidean(2, (4,))
    right = Measurement(lambda x: x[:, :2], lambda y: torch.nn.functional.pad(y, (0, 2)), Euclidean(2, (2,)))
    batch = Batch(torch.ones(2, 4), space)
    if not change:
        check_measurement(right, batch, "part")
        return
    with pytest.raises(AssertionError, match=sentence):
        check_measurement(replace(right, **change), batch, "part")
