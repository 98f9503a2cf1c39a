"""The arguments of an exported sample.py: a wrong one is one line and the exit code 2, and writes nothing."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository import ROOT

CLASSES = {"type": "classes", "names": ["cat", "dog"], "counts": [1, 1]}
REAL = {"type": "real", "values": [1.0, 3.0], "mean": 2.0, "std": 1.0}
LABEL = {"axes": ["batch"], "dtype": "int64", "not_given": -1, "condition": True}
NUMBER = {"axes": ["batch"], "dtype": "float32", "not_given": None, "condition": True}
TOKENS = {"axes": ["batch", "N", 4], "dtype": "float32", "not_given": None, "condition": True}
IMAGES = {
    "inputs": {"label": LABEL, "tempo": NUMBER, "embedding": TOKENS},
    "shape": [1, 8, 8],
    "sampling": {"levels": [1.0, 0.0], "rows": [], "guidance": None},
    "values": {"conditions": {"label": CLASSES, "tempo": REAL}},
}
MOLECULES = {
    **IMAGES,
    "inputs": {"C": NUMBER, "H": NUMBER, "logp": NUMBER},
    "values": {
        "names": ["logp", "C", "H"], "counted": ["C", "H"], "elements": [6, 1], "symbols": ["C", "H"],
        "means": [0, 0, 0], "stds": [1, 1, 1], "profiles": [[5, 0.5, 1, 4], [8, 1.0, 2, 6]],
    },
}  # fmt: skip


def folder(place: Path, spec: dict[str, object], states: Path) -> Path:
    """An exported folder without a network, which is opened only after the arguments are read."""
    place.mkdir()
    reference = resources.files("polydiff.export.reference")
    for name in ("sample.py", "inputs.py"):
        (place / name).write_text(reference.joinpath(name).read_text())
    shutil.copyfile(states, place / "states.py")
    (place / "model.json").write_text(json.dumps(spec))
    return place


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Return the exit code and the messages of the program in a folder."""

    def call(place: Path, *words: str) -> tuple[Any, str]:
        with monkeypatch.context() as patch:
            patch.chdir(place.parent)
            patch.syspath_prepend(place)
            patch.setattr(sys, "argv", ["sample.py", *words])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(place / "sample.py"), run_name="__main__")
            for name in ("inputs", "states"):  # those of another folder have the same names
                sys.modules.pop(name, None)
        out, error = capsys.readouterr()
        assert out == ""
        return ended.value.code, error

    return call


CASES = [
    ("-n 0", "argument -n: 0 is below 1."),
    ("-n -3", "argument -n: -3 is below 1."),
    ("-n many", "argument -n: 'many' is not a whole number."),
    ("--seed -1", "argument --seed: -1 is below 0."),
    ("--steps 0", "unrecognized arguments: --steps 0"),
    ("--guidance inf", "argument --guidance: 'inf' is not a number."),
    ("--cond label", "argument --cond: 'label' is not of the form NAME=VALUE."),
    ("--cond =cat", "argument --cond: '=cat' is not of the form NAME=VALUE."),
    ("--cond label=cat --cond label=dog", "--cond label is given twice."),
    ("--cond label=bird", "label=bird: the 2 classes are cat, dog; or any."),
    ("--cond label=2", "label=2: the 2 classes are cat, dog; or any."),
    ("--cond tempo=fast", "tempo=fast should be a number, or any."),
    ("--cond tempo=nan", "tempo=nan should be a number, or any."),
    ("--cond lable=cat", "Unknown condition lable. Known: label, tempo, embedding."),
    (
        "--cond embedding=x",
        "embedding: this program makes no such input of words; call `sample` with arrays of your own.",
    ),
    ("-o full", "argument -o/--output: full exists and is not an empty folder. Choose another -o."),
    ("-o full/file", "argument -o/--output: full/file exists and is not an empty folder. Choose another -o."),
]
ATOMS = [
    ("--cond atoms=0", "atoms=0 should be a whole number from 1 to 32."),
    ("--cond C=1.5", "C=1.5 should be a whole number from 0 to 32."),
    ("--cond C=two", "C=two should be a number, or any."),
    ("--cond C=0 --cond H=0", "The numbers of the elements add up to 0, which cannot be the number of atoms."),
    ("--cond C=1 --cond H=4 --cond atoms=6", "The numbers of the elements add up to 5, which cannot be the number of"),
]


@pytest.mark.parametrize(
    ("spec", "states", "cases"),
    [(IMAGES, "image/program.py", CASES), (MOLECULES, "molecule/output/program.py", ATOMS)],
    ids=["images", "molecules"],
)
def test_a_wrong_argument_is_one_line(
    spec: dict[str, object],
    states: str,
    cases: list[tuple[str, str]],
    run: Callable[..., tuple[Any, str]],
    tmp_path: Path,
) -> None:
    place = folder(tmp_path / "model", spec, ROOT / "domains" / states)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for words, message in cases:
        code, error = run(place, *words.split())
        assert code == 2, words
        assert error.startswith(f"sample.py: {message}"), words
        assert error.count("\n") == 1, words
    assert {path.name for path in tmp_path.iterdir()} == {"model", "full"}


def test_guidance_needs_a_condition(run: Callable[..., tuple[Any, str]], tmp_path: Path) -> None:
    spec = {**IMAGES, "inputs": {}, "values": {}}
    place = folder(tmp_path / "model", spec, ROOT / "polydiff" / "export" / "reference" / "states.py")
    assert run(place, "--guidance", "2") == (2, "sample.py: --guidance: the network has no conditions to guide by.\n")


@pytest.mark.parametrize(
    ("wanted", "sizes", "absent"),
    [
        ({}, {5, 8}, set()),
        ({"atoms": "5"}, {5}, set()),
        ({"atoms": "any"}, {5, 8}, set()),
        ({"C": "1"}, {5}, set()),
        ({"C": "2", "H": "6", "atoms": "8"}, {8}, set()),
        ({"logp": "any"}, {5, 8}, {"logp"}),
        ({"C": "any"}, {5, 8}, {"C", "H"}),
        ({"atoms": "7"}, {7}, {"C", "H"}),  # that no training molecule has
    ],
)
def test_molecules_have_the_requested_numbers_of_atoms(
    wanted: dict[str, str], sizes: set[int], absent: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path / "model", MOLECULES, ROOT / "domains" / "molecule/output/program.py")
    monkeypatch.syspath_prepend(place)
    shape, given = runpy.run_path(str(place / "states.py"))["draw"](
        MOLECULES, 20, dict(wanted), np.random.default_rng(0)
    )
    sys.modules.pop("inputs")
    found = given["mask"].sum(1)
    assert set(found.tolist()) == sizes
    assert shape == (20, max(sizes), 1, 8, 8)
    assert {name for name in ("logp", "C", "H") if np.isnan(given[name]).any()} == absent
    if not absent & {"C", "H"}:
        assert (given["C"] + given["H"] == found).all()


def test_conditions_that_are_not_wanted_are_those_of_one_training_example() -> None:
    source = resources.files("polydiff.export.reference").joinpath("inputs.py").read_text()
    program: dict[str, Any] = {"__name__": "inputs"}
    exec(compile(source, "inputs.py", "exec"), program)
    text = {"type": "text", "tokens": "words", "vocabulary": ["a", "cat", "dog"], "longest": 2, "kept": ["a cat"]}
    values = {"conditions": {"label": CLASSES, "tempo": REAL, "text": text}}
    values["examples"] = {"label": ["cat", "dog"] * 2, "tempo": [1.0, 3.0, None, 3.0], "text": ["a cat", "a dog"] * 2}
    spec = {"inputs": {}, "values": values}
    found = program["conditions"](spec, 200, {}, {}, np.random.default_rng(0))
    assert set(found["label"].tolist()) == {0, 1}
    assert (found["text"][:, 1] == found["label"] + 2).all()
    assert (found["tempo"][found["label"] == 1] == 1.0).all()
    assert np.isnan(found["tempo"][found["label"] == 0]).any()
    dogs = program["conditions"](spec, 20, {"label": "dog"}, {}, np.random.default_rng(0))
    assert set(dogs["label"].tolist()) == {1}
    assert (dogs["text"] == [1, 3]).all()
