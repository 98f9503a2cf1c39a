"""Tests of `polydiff.model.batches`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

import polydiff
from polydiff.cli import main
from polydiff.contract.domain import Samples
from polydiff.core.space import Batch, Euclidean
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.process.process import GaussianProcess
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.machine.ranks import Ranks
from polydiff.model import batches
from polydiff.model.batches import FEWEST, Memory, Window, drawn_windows, efficient, windows
from polydiff.model.request import Request
from polydiff.support.errors import UserError


def test_batches_of_molecules_are_of_like_sizes(small_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, padded, real = polydiff.load(small_runs / "dense"), 0, 0
    states = Request.states

    def looking(self: Request, space, *rest, **more):
        nonlocal padded, real
        padded, real = padded + space.mask.numel(), real + int(space.mask.sum())
        return states(self, space, *rest, **more)

    monkeypatch.setattr(Request, "states", looking)
    model.sample(64, batch_size=8)
    sorted_waste = padded / real
    padded = real = 0
    for first in range(0, 64, 8):
        list(model.stream(8, first=first, batch_size=8))
    assert 1 <= sorted_waste < 1.05 < padded / real


@pytest.mark.parametrize(("world", "together"), [(1, [16, 16, 16, 16, 9]), (16, [16, 16, 16, 16, 9]), (40, [48, 25])])
def test_no_process_waits_for_a_batch_while_windows_are_left(
    monkeypatch: pytest.MonkeyPatch, world: int, together: list[int]
) -> None:
    handed: list[int] = []

    def counting(items, work):
        handed.append(len(items))
        return map(work, items)

    def draw(numbers: Sequence[int]) -> Iterator[Samples]:
        yield Samples(list(numbers))

    monkeypatch.setattr(batches, "ranks", lambda: Ranks(world=world))
    monkeypatch.setattr(batches, "dealt_samples", counting)
    planned = []
    for window in windows(range(3, 3 + 72 * 4), 16 * 4):
        order = sorted(window, key=lambda number: (number % 3, number))  # as if sorted by size
        parts = [order[first : first + 4] for first in range(0, len(order), 4)]
        planned.append(Window(parts, draw, [order.index(number) for number in window]))
    assert [len(window.batches) for window in planned] == [16, 16, 16, 16, 9]
    found = [number for samples in drawn_windows(iter(planned)) for number in samples]
    assert found == list(range(3, 3 + 72 * 4))
    assert handed == together


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError(), None])
def test_where_memory_ends_batches_are_halved(error: Exception | None) -> None:
    error = error or RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    tried: list[int] = []

    def compute(part: Sequence[int]) -> list[int]:
        tried.append(len(part))
        if len(part) > 3:
            raise error
        return list(part)

    memory = Memory(10)
    assert [i for part in memory(range(23), compute) for i in part] == list(range(23))
    assert tried[:3] == [10, 5, 3]
    assert max(tried[2:]) == 3
    with pytest.raises(UserError, match="a single sample"):
        list(Memory(4)(range(4), lambda part: (_ for _ in ()).throw(error)))
    with pytest.raises(RuntimeError, match="mat1"):
        list(Memory(4)(range(4), lambda part: (_ for _ in ()).throw(RuntimeError("mat1 and mat2"))))


def test_a_sample_survives_the_halving_of_its_batch(small_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, states = polydiff.load(small_runs / "ring"), Request.states

    def small(self: Request, space, *rest, **more):
        if space.batch > 3:
            raise MemoryError
        return states(self, space, *rest, **more)

    whole = model.sample(9, batch_size=9)
    monkeypatch.setattr(Request, "states", small)
    for a, b in zip(whole.examples, model.sample(9, batch_size=9).examples, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_wide_layers_make_small_batches() -> None:
    """Twice the numbers in the largest layer, half the batch; nothing but the network's sizes counts."""

    class Wide(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.grow, self.shrink = nn.Linear(4, width), nn.Linear(width, 4)

        def forward(self, x, log_sigma, space, cond=None):
            return self.shrink(self.grow(x))

    batch = Batch(torch.zeros(2, 4), Euclidean(2, (4,)))
    sizes = [efficient(Denoiser(Wide(w), EDM()), batch, GaussianProcess().evaluate) for w in (2**16, 2**17, 2**24)]
    assert sizes[0] == 2 * sizes[1]
    assert sizes[2] == FEWEST


def test_a_network_is_compiled_once_and_for_whole_batches(small_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the compiler that counts the samples it is given; the model's own network stays as it is."""
    model, compiled = polydiff.load(small_runs / "ring"), list[list[int]]()

    def compiling(self: Denoiser, **how: object) -> None:
        seen: list[int] = []
        compiled.append(seen)
        self.backbone.register_forward_pre_hook(lambda layer, args: seen.append(len(args[0])))

    monkeypatch.setattr(Denoiser, "compile", compiling)
    plain = model.sample(8, batch_size=3, steps=4)
    assert not compiled
    for _ in range(2):
        again = model.sample(8, batch_size=3, steps=4, compile=True)
        assert torch.equal(torch.stack(list(plain.examples)), torch.stack(list(again.examples)))
    assert len(compiled) == 1
    assert set(compiled[0]) == {3}
    model.sample(2, batch_size=3, steps=4, compile=True)
    assert set(compiled[0]) == {2, 3}


@pytest.mark.parametrize("words", [["--batch-size", "auto"], ["--batch-size", "0"], ["--batch-size", "many"]])
def test_batch_sizes_are_numbers_or_auto(
    small_runs: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["sample", str(small_runs / "ring"), "-n", "3", "-o", str(tmp_path / "out"), *words])
    assert code == (0 if words[1] == "auto" else 2)
    err = capsys.readouterr().err
    assert words[1] == "auto" or f"{words[1]!r} is neither a whole number above 0 nor auto" in err
