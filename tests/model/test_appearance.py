"""The order in which letters of samples appeared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import polydiff
from polydiff.model.parts.appearance import appearance, last_hidden
from polydiff.report.order import pictures

FEW = {
    "data.largest": 9,
    "backbone.width": 16,
    "backbone.depth": 1,
    "backbone.heads": 1,
    "train.steps": 2,
    "train.batch_size": 8,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> polydiff.Model:
    return polydiff.load(polydiff.train("sequence", tmp_path_factory.mktemp("sums") / "run", overrides=FEW))


def test_the_last_time_counts_at_which_a_letter_is_masked() -> None:
    states = [torch.tensor([[3, 3, 3, -1, 0]]), torch.tensor([[3, 1, 3, -1, 0]]), torch.tensor([[2, 3, 0, -1, 0]])]
    states.append(torch.tensor([[2, 1, 0, -1, 0]]))
    assert last_hidden(states, 3).tolist() == [[2, 3, 2, -1, 0]]


def test_one_letter_a_call_appears_in_another_order_in_each_sample(model: polydiff.Model) -> None:
    found = appearance(model.request(sampler="first_hitting"), 8, seed=0)
    (steps,) = found.parts.values()
    n = steps.shape[1]
    assert found.steps == n
    assert all(sorted(row) == list(range(1, n + 1)) for row in steps.tolist())
    assert len({tuple(row) for row in steps.tolist()}) == 8
    ((label, drawn),) = pictures(found)
    assert "a row a sample" in label
    assert drawn.count("<rect") == steps.numel()
    assert found.examples == model.sample(8, sampler="first_hitting", progress=False, seed=0).examples
    assert re.findall(r">([^<]+)</text>", drawn) == [*"".join(found.examples)]


def test_ancestral_letters_appear_at_even_times(model: polydiff.Model) -> None:
    found = appearance(model.request(sampler="ancestral", steps=10), 256, seed=0)
    (steps,) = found.parts.values()
    assert found.steps == 10
    assert float(steps.double().mean()) == pytest.approx(5.5, abs=4 * 2.9 / steps.numel() ** 0.5)


def test_letters_that_are_replaced_have_no_order(tmp_path: Path) -> None:
    run = polydiff.train("sequence", tmp_path / "run", overrides={**FEW, "process": "uniform"})
    assert appearance(polydiff.load(run).request(steps=2), 2, seed=0) is None


def test_known_letters_need_no_call(model: polydiff.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank in the user's text is filled by as many calls as there are blanks, at most."""
    (tmp_path / "sums.txt").write_text("3+4=_\n_+_=9\n")
    given, known = model.domain.blanks(polydiff.read(model, tmp_path / "sums.txt"))
    calls = []
    forward = type(model.denoiser).forward

    def counted(self, *arguments):
        calls.append(1)
        return forward(self, *arguments)

    monkeypatch.setattr(type(model.denoiser), "forward", counted)
    made = polydiff.inpaint(model, given, known, sampler="first_hitting").examples
    assert len(calls) == 2
    assert made[0].startswith("3+4=")
    alone = polydiff.inpaint(model, given, known, sampler="first_hitting", batch_size=1).examples
    assert made == alone
