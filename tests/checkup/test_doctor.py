"""Tests of `polydiff.checkup.doctor`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_plugins import distribution, on_path

from polydiff.checkup import doctor
from polydiff.cli import main

pytestmark = pytest.mark.usefixtures("here")


def test_doctor_looks_at_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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

    (tmp_path / "torchaudio_twin.py").write_text("raise OSError('libtorch: undefined symbol')\n")
    distribution(tmp_path, "torchaudio", {}, version="1.2.3")
    on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(doctor, "OPTIONAL", {"torchaudio": ("torchaudio_twin", "polydiff[audio]")})
    assert main(["doctor"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "torchaudio broken 1.2.3 cannot be imported: OSError: libtorch: undefined symbol" in out
    assert re.search(r"and torch [\d.]+ must have the same version; run: pip install torchaudio==", out)


def test_each_extra_is_listed_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [
        "torch>=2.11",
        'pillow>=11; extra == "image"',
        "no-such-package>=1; extra == 'far'",
        'pillow; extra == "far"',
        'ruff>=0.15; extra == "dev"',
        'polydiff[image,far]; extra == "all"',
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needs)
    found = {one.name: one for one in doctor.extras()}
    assert found["extra image"] == ("extra image", "ok", "pillow")
    assert found["extra far"].status == "absent"
    assert found["extra far"].text == "lacks no-such-package; run: pip install 'polydiff[far]'"
    assert set(found) == {"extra image", "extra far"}
