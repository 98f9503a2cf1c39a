"""Checkpoints whose statistics were changed, with manifests that fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repository import ROOT

from polydiff.run.checkpoint import write_files


def forged(domain: str, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the golden checkpoint of a domain with changed statistics into a folder, and return its path."""
    (golden,) = (ROOT / "tests" / "golden" / domain).glob("step-*")
    files = {path.name: path.read_bytes() for path in golden.iterdir() if path.name != "manifest.json"}
    state = json.loads(files["state.json"])
    change(state["statistics"])
    write_files(folder / golden.name, {**files, "state.json": json.dumps(state).encode()}, state["step"])
    return folder / golden.name


def put(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    """Return the change that sets a dotted key; parts that are numbers index lists."""

    def change(statistics: dict[str, Any]) -> None:
        *path, last = [int(part) if part.isdecimal() else part for part in key.split(".")]
        at: Any = statistics
        for part in path:
            at = at[part]
        at[last] = value

    return change
