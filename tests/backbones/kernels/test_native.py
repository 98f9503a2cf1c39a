"""Tests of `polydiff.backbones.kernels.native`."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from polydiff.backbones.kernels import native, norm

needs_kernel = pytest.mark.skipif(
    native.library("norm") is None, reason="there is no C++ compiler, or it is not wanted"
)


@pytest.mark.parametrize("way", ["absent", "unwanted"])
def test_no_kernel_is_no_warning(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "absent":
        monkeypatch.setenv("PATH", "")
    else:
        monkeypatch.setenv(native.SWITCH, "0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert native.compiled.__wrapped__("norm") is None


@needs_kernel
def test_a_kernel_that_was_disabled_returns_with_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process remembers that kernels were disabled, whatever ran in it before."""
    native.compiled.cache_clear()
    with monkeypatch.context() as disabled:
        disabled.setenv(native.SWITCH, "0")
        assert native.library("norm") is None
    assert native.library("norm") is not None


@needs_kernel
def test_a_pass_that_began_with_the_kernel_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    h = torch.randn(2, 32, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    gain, offset = torch.ones(2, 32), torch.zeros(2, 32)
    assert norm.fits(h)
    y = norm.Fused.apply(h, 2, gain, offset, True)
    monkeypatch.setenv(native.SWITCH, "0")
    y.square().sum().backward()
    assert h.grad is not None


def test_a_compiler_that_fails_warns_with_its_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'no room for a.out' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match="no room for a.out"):
        assert native.compiled.__wrapped__("norm") is None


def test_an_absent_kernel_names_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def why(script: str) -> str:
        compiler = tmp_path / "c++"
        compiler.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        compiler.chmod(0o755)
        found = native.look("norm")
        assert isinstance(found, native.Absence)
        return found.why

    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "PATIENCE", 0.2)
    assert why("exec sleep 5").endswith("did not end within 0.2 s")
    assert why("echo In file included >&2; echo 'x.cpp:1: error: no omp' >&2; exit 1").endswith("error: no omp")
    assert why("exit 3").endswith("exit code 3")
    monkeypatch.setattr(native, "PATIENCE", 60)
    assert "cannot open shared object" in why("exit 0") or "No such file" in why("exit 0")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path / "c++"))
    assert "Not a directory" in why("exit 0")


@needs_kernel
def test_processors_with_other_instructions_have_kernels_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A home may be shared by machines whose processors bear one name and allow different instructions."""
    real, script = native.run, tmp_path / "c++"
    script.write_text("", encoding="utf-8")
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    names = set()
    for instructions in ("#define __AVX2__ 1", "#define __AVX512F__ 1"):
        monkeypatch.setattr(
            native, "run", lambda words, said=instructions: said if "-dM" in words else real(["touch", words[-1]])
        )
        names.add(native.built(Path(native.__file__).with_name("norm.cpp"), str(script)).name)
    assert len(names) == 2


@needs_kernel
def test_a_kernel_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYDIFF_CACHE", str(tmp_path))
    assert native.compiled.__wrapped__("norm") is not None
    (built,) = (tmp_path / "kernels").iterdir()
    written = built.stat().st_mtime_ns
    assert native.compiled.__wrapped__("norm") is not None
    assert built.stat().st_mtime_ns == written
