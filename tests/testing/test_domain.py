"""The conformance kit passes what keeps its promises and catches what breaks each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_plugins import install_ring

from polydiff.config.merge import resolve
from polydiff.testing.domain import check_domain


def test_a_sound_domain_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("show", "show fetches something"),
        ("save", "save names 'sample-00000.json' and does not write it"),
        ("statistics", "A domain built with statistics has others"),
    ],
)
def test_a_broken_promise_of_a_domain_is_caught_by_its_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    install_ring(tmp_path, monkeypatch)
    config = resolve("ring", words={"data.fault": fault}).config
    broken = {check.name: check.detail for check in check_domain(config) if not check.passed}
    assert sentence in broken[fault]


def test_a_domain_that_cannot_be_used_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    (found,) = check_domain("rign")
    assert not found.passed
    assert "Did you mean 'ring'?" in found.detail
