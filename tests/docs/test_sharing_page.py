"""The page on giving a model away: its commands and its Python, with a stand-in for the hub's server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_server import serving, use
from repository import FEW, blocks, commands

from polydiff.cli import main
from polydiff.hub.download import fetched


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving() as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        for words in commands("docs/sharing.md"):
            extra = {"train": [*FEW[:-1], "0"], "sample": ["--steps", "2"]}.get(words[0], [])
            assert main([*words, *extra]) == 0, words
        scope: dict[str, Any] = {}
        for code in blocks("docs/sharing.md", "python"):
            exec(code, scope)
    fetched.cache_clear()
    assert hub.repositories["anna/digits"].private
    assert len(scope["samples"]) == 16
    assert (Path("digits-again") / "model.safetensors").read_bytes() == Path("digits/model.safetensors").read_bytes()
    assert len(list(Path("sevens").glob("*.png"))) == 16
    assert "license: apache-2.0\n" in Path("digits/README.md").read_text()
