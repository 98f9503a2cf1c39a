"""Memory that can still be allocated."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydiff.machine import host_memory


def test_available_memory_is_that_of_the_system_or_of_a_smaller_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9999999 kB\nMemAvailable:    2097152 kB\n")
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    assert host_memory.host_memory() == 2048
    (tmp_path / "memory.current").write_text(str(3 * 2**20))
    for limit, left in (("max", 2048), (str(10 * 2**20), 7), (str(2**20), 0)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert host_memory.host_memory() == left
    monkeypatch.setattr(host_memory, "MEMINFO", tmp_path / "absent")
    (tmp_path / "memory.max").unlink()
    assert host_memory.host_memory() == float("inf")
