"""Tests of `polydiff.machine.device`."""

from __future__ import annotations

import pytest
import torch

from polydiff.machine.device import pick_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capability", "limit", "instructions", "precision"),
    [
        ("AVX512", "", True, "bf16"),
        ("AVX512", "AVX512_CORE_BF16", True, "bf16"),
        ("AVX512", "", False, "float32"),
        ("AVX2", "", True, "float32"),
        ("AVX512", "AVX2", True, "float32"),
    ],
)
def test_auto_is_bf16_where_the_cpu_has_instructions_that_may_be_used(
    capability: str, limit: str, instructions: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert pick_precision("auto", CPU) == precision
    assert pick_precision("bf16", CPU) == "bf16"
