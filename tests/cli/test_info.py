"""Tests of `polydiff.cli.info`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from fake_plugins import DOMAINS, distribution, on_path

from polydiff.cli import main

pytestmark = pytest.mark.usefixtures("here")


def test_config_diff_shows_what_differs_from_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "diff", "-d", "ring", "-p", "wide"]) == 0
    assert capsys.readouterr().out == "No difference from preset wide.\n"
    assert main(["config", "diff", "-d", "ring", "-p", "wide", "train.steps=3", "backbone.hidden=32"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"train\.steps +9 +3 +command line", out)
    assert "backbone.hidden" not in out


def test_config_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema", "-d", "ring"]) == 0
    assert "train" in json.loads(capsys.readouterr().out)["properties"]


def test_a_preset_that_is_shown_is_a_config_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "show", "ring/wide"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text) == {
        "domain": "ring",
        "preset": "wide",
        "backbone": {"hidden": 32},
        "train": {"steps": 9},
        "loss": {"times_options": {"mean": 0.5}},
    }
    (here / "mine.yaml").write_text(text)
    assert main(["config", "diff", "-c", "mine.yaml"]) == 0
    assert "No difference from preset wide" in capsys.readouterr().out
    assert main(["presets", "list", "ring"]) == 0
    assert "ring/wide" in capsys.readouterr().out


def test_domains_are_listed_broken_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad_domain.py").write_text("1 / 0\n")
    distribution(tmp_path, "bad", {DOMAINS: {"bad": "bad_domain:SPEC"}})
    on_path(monkeypatch, tmp_path)
    assert main(["domains", "list"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ring +ready +polydiff-ring 1\.0 +Points on a ring\.", out)
    assert re.search(r"bad +broken +bad 1\.0 +ZeroDivisionError: division by zero", out)
    assert main(["domains", "list", "--json"]) == 0
    cards = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["ring"]["presets"] == ["quick", "wide"]
    assert cards["bad"]["status"] == "broken"
    assert {"image", "audio", "molecule"} <= set(cards)


def test_domains_check_prints_its_findings_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from polydiff.testing.findings import Check

    found = [Check("spec", True, "fine"), Check("space", False, "noise is not on it")]
    monkeypatch.setattr("polydiff.testing.domain.check_domain", lambda name: found)
    assert main(["domains", "check", "ring"]) == 1
    assert re.search(r"space +FAILED +noise is not on it", capsys.readouterr().out)
    found.pop()
    assert main(["domains", "check", "ring", "data.radius=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "spec", "passed": True, "detail": "fine"}]
