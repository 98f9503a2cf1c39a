"""Tests of `polydiff.checkup.doctor`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_plugins import distribution, on_path

from polydiff.cli import main

pytestmark = pytest.mark.usefixtures("here")


def test_doctor_looks_at_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import polydiff.checkup.doctor as doctor

    monkeypatch.setattr(
        doctor, "OPTIONAL", {"soundfile": ("soundfile", "x"), "nothing-here": ("nothing_here", "polydiff[y]")}
    )
    code = main(["doctor", "--json"])
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert code == (1 if any(finding["status"] == "broken" for finding in findings.values()) else 0)
    assert {
        "polydiff",
        "python",
        "torch",
        "GPU",
        "CPU",
        "threads",
        "bf16",
        "disk",
        "cache",
        "domain ring",
        "backbone mlp",
    } <= set(findings)
    assert findings["nothing-here"] == {
        "name": "nothing-here",
        "status": "absent",
        "text": "not installed; run: pip install 'polydiff[y]'",
    }
    assert findings["domain ring"] == {"name": "domain ring", "status": "ok", "text": "polydiff-ring 1.0"}
    assert findings["C++ kernel"]["status"] in ("ok", "note")


def test_doctor_explains_why_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from polydiff.checkup.doctor import backbones

    monkeypatch.setenv("POLYDIFF_KERNELS", "0")
    (finding,) = [found for found in backbones() if found.name == "C++ kernel"]
    assert finding.status == "note"
    assert finding.text.endswith("POLYDIFF_KERNELS=0")


def test_doctor_lists_what_is_installed_and_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import polydiff.checkup.doctor as doctor

    (tmp_path / "torchaudio_twin.py").write_text("raise OSError('libtorch: undefined symbol')\n")
    distribution(tmp_path, "torchaudio", {}, version="1.2.3")
    on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(doctor, "OPTIONAL", {"torchaudio": ("torchaudio_twin", "polydiff[audio]")})
    assert main(["doctor"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "torchaudio broken 1.2.3 cannot be imported: OSError: libtorch: undefined symbol" in out
    assert re.search(r"and torch [\d.]+ must have the same version; run: pip install torchaudio==", out)
