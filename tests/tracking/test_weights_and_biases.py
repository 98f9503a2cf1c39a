"""A run is recorded by Weights & Biases without a server, once; skipped where its library is not installed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_cases import watched

pytest.importorskip("wandb")
pytestmark = pytest.mark.usefixtures("ring")

HEADER, BLOCK, FULL, LAST = 7, 2**15, 1, 4


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of the service's file: a log in the format of LevelDB after a header."""
    data, at, record = path.read_bytes(), HEADER, b""
    while at < len(data):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block that has no room for a record
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + HEADER])
        record += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (FULL, LAST):
            yield record
            record = b""


def test_a_run_is_kept_in_files_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = {"wandb": {"project": "rings", "mode": "offline"}}
    run = watched(tmp_path / "run", track=["wandb"], track_options=options)
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # its process writes on until here

    (path,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    losses, samples = {}, set()
    for data in records(path):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            assert (record.run.project, record.run.display_name) == ("rings", "run")
        items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        step = int(record.history.step.num)
        if "loss" in items:
            losses[step] = json.loads(items["loss"])
        samples |= {step} if any(key.startswith("samples") for key in items) else set()
    assert losses == {line["step"]: line["loss"] for line in run.records()}
    assert samples == {6, 12}
