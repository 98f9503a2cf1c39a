"""Golden files: sampling and training give the stored numbers of earlier code (`helpers/golden.py`)."""

from __future__ import annotations

import json
from pathlib import Path

import golden
import pytest
import torch
from safetensors.torch import load_file

STEP = f"step-{golden.STEPS:08d}"


def same_machine(name: str) -> bool:
    """Return whether the golden files are from a machine like this one, so that all bits must be equal."""
    return bool(json.loads((golden.HERE / f"{name}.json").read_text())["machine"] == golden.machine())


@pytest.mark.parametrize("name", golden.CASES)
def test_an_old_checkpoint_gives_the_same_samples(name: str) -> None:
    expected = load_file(golden.HERE / f"{name}.safetensors")
    found = golden.samples(golden.HERE / name / STEP)
    assert expected.keys() == found.keys()
    for request, numbers in expected.items():
        torch.testing.assert_close(found[request], numbers, rtol=1e-4, atol=1e-4, msg=f"samples of {request} differ")
        if same_machine(name):
            assert torch.equal(found[request], numbers), request


@pytest.mark.parametrize("name", golden.CASES)
def test_training_gives_the_same_losses_and_weights(name: str, tmp_path: Path) -> None:
    expected = json.loads((golden.HERE / f"{name}.json").read_text())
    found = golden.course(golden.train(name, tmp_path / "run"))
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-2)
    if same_machine(name):
        assert found["losses"] == expected["losses"]
        assert found["weights"] == expected["weights"]


@pytest.mark.parametrize("name", golden.CASES)
def test_an_old_run_is_resumed_to_the_same_losses_and_weights(name: str, tmp_path: Path) -> None:
    expected = json.loads((golden.HERE / f"{name}.json").read_text())["resumed"]
    found = golden.course(golden.resumed(golden.HERE / name / STEP, tmp_path / "run"), golden.STEPS + golden.RESUMED)
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-2)
    if same_machine(name):
        assert found["weights"] == expected["weights"]
