"""A failed check names the call that failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_plugins import install_ring

from polydiff.config.merge import resolve
from polydiff.testing.domain import check_domain
from polydiff.testing.findings import attempt


def test_a_failed_check_names_the_error_the_place_and_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    config = resolve("ring").config
    import ring_domain

    def broken(self: object, split: str, n: int) -> None:
        raise AttributeError("rows")

    monkeypatch.setattr(ring_domain.Ring, "examples", broken)
    failed = {check.name: check.detail for check in check_domain(config) if not check.passed}
    assert failed
    for detail in failed.values():
        assert "AttributeError: rows" in detail
        assert "raised in broken (test_findings.py, line" in detail
        assert "the check called: " in detail
        assert 'examples("test"' in detail


def test_a_domain_that_exits_fails_its_check() -> None:
    found = attempt("exit", lambda: sys.exit(0))
    assert not found.passed
    assert "SystemExit: 0" in found.detail
