"""Files of a run that are links, pipes, far too large or of odd content, without a trained run."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from forged import forged
from torch import nn

from polydiff.gallery.journal import JOURNAL, opened, parse_part
from polydiff.gallery.page import holds
from polydiff.model.model import Model
from polydiff.pipeline.folder import PipelineFolder
from polydiff.run.checkpoint import load_weights, write_files
from polydiff.run.folder import Run
from polydiff.run.reading import read_shapes
from polydiff.run.snapshots import reconstruct
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import LONGEST, parse_yaml, read_yaml

ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to(path.parent.parent / "precious"),
    "folder": lambda path: path.mkdir(),
}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user beside the folder `run`."""
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine")
    return tmp_path / "precious"


@pytest.mark.parametrize("kind", ODD)
def test_a_lock_that_is_no_file_is_an_error_and_nothing_is_emptied(kind: str, precious: Path) -> None:
    run = Run(precious.parent / "run")
    ODD[kind](run.path / ".lock")
    with pytest.raises(UserError, match=r"\.lock is no regular file"), run.locked():
        pass
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("kind", ODD)
def test_a_journal_that_is_no_file_is_an_error_and_nothing_is_written(kind: str, precious: Path) -> None:
    folder = precious.parent / "run"
    ODD[kind](folder / JOURNAL)
    with pytest.raises(UserError, match="is no regular file"), opened(folder, {"seed": 1}, True):
        pass
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    "line", ["5", "[]", "[0, 1, 2, 3]", "[0, [], [], {}]", '["0", [], {}, {}]', "[" * 9999, '[0, [], {"a": "b"}, {}]']
)
def test_a_line_that_is_no_part_of_a_journal_is_none(line: str) -> None:
    assert parse_part(line) is None
    assert parse_part('[2, [{"file": "a"}], {"a": 3}, {"x": ["f4", [2]]}]') is not None


def test_the_file_of_a_pipeline_is_read_only_inside_its_folder(precious: Path) -> None:
    precious.write_text("domain: image\nstages: {base: {}}\n")
    ODD["link"](precious.parent / "run" / "pipeline.yaml")
    with pytest.raises(UserError, match=r"pipeline\.yaml"):
        PipelineFolder.open(precious.parent / "run")


def test_a_config_file_may_be_a_link_but_no_pipe_or_device(precious: Path) -> None:
    precious.write_text("seed: 3\n")
    ODD["link"](precious.parent / "run" / "a.yaml")
    assert read_yaml(precious.parent / "run" / "a.yaml") == {"seed": 3}
    os.mkfifo(precious.parent / "pipe.yaml")
    for path in (precious.parent / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(UserError, match="a pipe or device, not a file"):
            read_yaml(path)


def test_a_text_far_longer_than_a_configuration_is_not_parsed() -> None:
    with pytest.raises(UserError, match=r"x\.yaml has 262,148 letters"):
        parse_yaml("a: " + "1" * (LONGEST + 1), "x.yaml")


def test_a_script_is_compared_without_reading_more_than_it_has(precious: Path) -> None:
    assert holds(precious, b"mine")
    assert not holds(precious, b"my")
    assert not holds(precious.parent, b"mine")
    os.mkfifo(precious.parent / "pipe")
    assert not holds(precious.parent / "pipe", b"mine")


@pytest.mark.parametrize(
    "text", ["", "5", "[]", '{"a": 3}', '{"a": {"shape": [-1]}}', '{"a": {"shape": "x"}}', '{"a": ' + "[" * 99999]
)
def test_a_damaged_header_of_weights_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "ema.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode())
    with pytest.raises(UserError, match=r"ema\.safetensors is no safetensors file"):
        read_shapes(tmp_path, "ema.safetensors")
    (tmp_path / "ema.safetensors").write_bytes(struct.pack("<Q", 2**63) + text.encode())
    with pytest.raises(UserError, match="its header has"):
        read_shapes(tmp_path, "ema.safetensors")


@pytest.mark.parametrize("name", ["wide/a", "nan/a", "1e-1/a", "0.9/a", "-0.1/a", "0.10/a", "a"])
def test_averages_of_odd_widths_are_errors(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names a tensor of the width"):
        reconstruct(tmp_path, 5, {"0.1/a": torch.zeros(2), name: torch.zeros(2)}, 0.1)


def test_averages_that_lack_a_parameter_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks the tensor '0\.1/b'"):
        reconstruct(tmp_path, 5, {"0.1/a": torch.zeros(2), "0.05/a": torch.zeros(2), "0.05/b": torch.zeros(2)}, 0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(value: float) -> None:
    net = nn.Linear(2, 2)
    with pytest.raises(UserError, match="weights that are not finite numbers, such as in bias"):
        load_weights(net, {"weight": torch.zeros(2, 2), "bias": torch.tensor([0.0, value])})


def test_options_that_no_schedule_has_are_one_error(tmp_path: Path) -> None:
    path = forged("image", tmp_path, lambda statistics: None)
    files = {file.name: file.read_bytes() for file in path.iterdir() if file.name != "manifest.json"}
    state = json.loads(files["state.json"])
    state["config"]["schedule_options"] = {"rounds": 3}
    write_files(path, {**files, "state.json": json.dumps(state).encode()}, state["step"])
    with pytest.raises(UserError, match=r"a network that cannot be built: TypeError: .*rounds"):
        Model.load(path)
