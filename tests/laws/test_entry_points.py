"""Every public function answers an argument of a wrong type with one sentence that says what is expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline_cases import LATENT, images

import polydiff
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.model.edit import reconstruct
from polydiff.model.model import Model
from polydiff.model.restore import read_degraded, restore
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.make import make_pipeline
from polydiff.pipeline.train import resume_pipeline, train_pipeline
from polydiff.support.errors import UserError

PATHS: dict[str, Callable[[Any], object]] = {
    "load": polydiff.load,
    "Model.load": Model.load,
    "Chain.load": Chain.load,
    "train": lambda wrong: polydiff.train("image", wrong),
    "resume": polydiff.resume,
    "write_report": polydiff.write_report,
    "train_pipeline": lambda wrong: train_pipeline(LATENT, wrong),
    "resume_pipeline": resume_pipeline,
    "make_pipeline": lambda wrong: make_pipeline(["a"], wrong),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("wrong", [None, 3, ["a"], {}, b"x"], ids=repr)
def test_what_is_no_path(name: str, wrong: Any) -> None:
    with pytest.raises(UserError, match=r"^path must be a path, as text or a Path, not "):
        PATHS[name](wrong)


@pytest.mark.parametrize("wrong", [3, ["a"], "x"], ids=repr)
def test_what_is_no_mapping(wrong: Any, tmp_path: Path) -> None:
    for name, call in {
        "overrides": lambda: polydiff.train("image", tmp_path / "a", overrides=wrong),
        "values": lambda: polydiff.resolve("image", values=wrong),
        "stages": lambda: Chain(wrong),
    }.items():
        with pytest.raises(UserError, match=rf"^{name} should be names with values, .* not "):
            call()
    with pytest.raises(UserError, match=r"^overrides should be names with values"):
        train_pipeline(LATENT, tmp_path / "a", overrides=wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["a"]], ids=repr)
def test_what_is_neither_a_file_nor_the_contents_of_a_pipeline(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^source must be the file of a pipeline or its contents as nested mappings"):
        train_pipeline(wrong, tmp_path / "a")


@pytest.mark.parametrize("wrong", [None, 3, [3]], ids=repr)
def test_what_is_no_list_of_paths(wrong: Any, model: Model, tmp_path: Path) -> None:
    expected = r"(\[0\])? must be a path"
    with pytest.raises(UserError, match=f"^files{expected}"):
        polydiff.train("image", tmp_path / "a", files=wrong)
    with pytest.raises(UserError, match=f"^runs{expected}"):
        make_pipeline(wrong, tmp_path / "a")
    with pytest.raises(UserError, match=f"^paths{expected}"):
        polydiff.read(model, wrong)
    with pytest.raises(UserError, match="No run is given"):
        make_pipeline([], tmp_path / "a")


@pytest.fixture(scope="module")
def model() -> Model:
    return images()


@pytest.fixture(scope="module")
def given(model: Model) -> Batch:
    return model.domain.batch("test", range(2), streams(0, "augment", range(2)))


MASK = torch.ones(1, 8, 8)
OF_MODELS: dict[str, Callable[[Any, Any], object]] = {
    "vary": polydiff.vary,
    "inpaint": lambda model, given: polydiff.inpaint(model, given, MASK),
    "interpolate": lambda model, given: polydiff.interpolate(model, given, given, [0.5]),
    "solve": lambda model, given: polydiff.solve(model, given, "grey"),
    "reconstruct": reconstruct,
    "restore": restore,
    "read": lambda model, given: polydiff.read(model, ["a.png"]),
    "read_degraded": lambda model, given: read_degraded(model, ["a.png"]),
    "Chain": lambda model, given: Chain({"base": model}),
}


@pytest.mark.parametrize("name", OF_MODELS)
def test_what_is_no_model(name: str, model: Model, given: Batch) -> None:
    for wrong in (None, 3, "runs/a", *([] if name == "Chain" else [Chain({"base": model})])):
        with pytest.raises(UserError, match=r"must be the model of one run, as polydiff.load\(RUN\) returns it, not "):
            OF_MODELS[name](wrong, given)


@pytest.mark.parametrize("name", ["vary", "inpaint", "solve", "reconstruct"])
def test_what_is_no_batch(name: str, model: Model) -> None:
    for wrong in (None, 3, torch.zeros(1, 1, 8, 8)):
        with pytest.raises(UserError, match=r"^given must be a Batch of states with their space and conditions, not"):
            OF_MODELS[name](model, wrong)
    with pytest.raises(UserError, match=r"^b must be a Batch"):
        polydiff.interpolate(model, model.domain.batch("test", [0], streams(0, "augment", [0])), None, [0.5])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (r"shares must be a list of numbers, not 0\.5", lambda m, g: polydiff.interpolate(m, g, g, 0.5)),
        (r"shares\[0\] must be a number, not 'a'", lambda m, g: polydiff.interpolate(m, g, g, ["a"])),
        ("first must be a whole number of at least 0", lambda m, g: polydiff.vary(m, g, first=None)),
        ("what must be a measurement in words", lambda m, g: polydiff.solve(m, g, None)),
        ("folder must be a path", lambda m, g: m.sample(1).save(3)),
        ("model must be a model or a pipeline", lambda m, g: polydiff.evaluate("runs/a", 4)),
        ("pair must be the model of one run", lambda m, g: polydiff.evaluate(m, 4, pair="runs/a")),
        ("features must be an Extractor", lambda m, g: polydiff.evaluate(m, 4, features="net.pt")),
    ],
)
def test_further_arguments(message: str, call: Any, model: Model, given: Batch) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        call(model, given)
