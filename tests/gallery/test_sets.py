"""Manifests of samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polydiff.gallery.sets import write_manifest


@pytest.mark.parametrize("facts", [{}, {"seed": 0, "requested": {"label": "]}"}}])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_manifest_is_facts_and_a_line_for_each_sample(tmp_path: Path, facts: dict[str, Any], n: int) -> None:
    entries = [{"file": f"{i}.png", "cond": {"label": str(i)}} for i in range(n)]
    write_manifest(tmp_path / "manifest.json", facts, iter(entries))
    text = (tmp_path / "manifest.json").read_text()
    assert json.loads(text) == {**facts, "samples": entries}
    assert sum(line.startswith('  {"file"') for line in text.splitlines()) == n
