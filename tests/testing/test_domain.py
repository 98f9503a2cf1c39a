"""`check_domain` passes a domain that follows all rules, and each check catches a domain that breaks its rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_plugins import install_ring

from polydiff.config.merge import resolve
from polydiff.testing.domain import check_domain


def test_a_correct_domain_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    found = check_domain("ring")
    assert [check for check in found if not check.passed] == []
    assert len(found) == 14
    assert all(check.detail for check in found)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("batches", "depends on the others of its batch"),
        ("variance", "root mean square is 0.1"),
        ("space", "noise and dim disagree"),
        ("backbone", "A condition that is given does not change the output"),
        ("blank", "unknown condition does not raise a UserError"),
        ("decode", "decode returns 15 examples for 16 states"),
        ("judges", "No metric is better on real data than on noise"),
        ("show", "show loads a file from the network"),
        ("save", "save lists 'sample-00000.json' and does not write it"),
        ("statistics", "A domain built with saved statistics has other statistics"),
    ],
)
def test_each_check_catches_a_domain_that_breaks_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    install_ring(tmp_path, monkeypatch)
    config = resolve("ring", words={"data.fault": fault}).config
    broken = {check.name: check.detail for check in check_domain(config) if not check.passed}
    assert sentence in broken[fault]


def test_an_unknown_domain_fails_at_the_first_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    (found,) = check_domain("rign")
    assert not found.passed
    assert "Did you mean 'ring'?" in found.detail
