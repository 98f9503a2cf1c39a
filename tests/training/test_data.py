"""Batches prepared ahead: the same bits however many threads do it, errors that surface, one core for each thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from polydiff.config.merge import resolve
from polydiff.contract.discover import build_domain
from polydiff.contract.sections.training import TrainConfig
from polydiff.core.conditions import Aligned
from polydiff.core.objective import Moment
from polydiff.core.space import Batch, Euclidean
from polydiff.core.streams import streams
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import as_objective
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.training.data import MOST_WORKERS, batches, copied_ahead, prefetch, worker_count
from polydiff.training.trainer import train


def numbered(step: int) -> Batch:
    """Return a batch that takes the longer the earlier it is due, so that threads finish out of order."""
    time.sleep(0.002 * (7 - step % 8))
    return Batch(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)), Euclidean(2, (3,)))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers: int) -> None:
    found = [batch.x for batch in prefetch(numbered, 5, 21, workers=workers)]
    assert torch.equal(torch.stack(found), torch.stack([numbered(step).x for step in range(5, 21)]))
    assert list(prefetch(numbered, 3, 3, workers=workers)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_computed_on_one_core_and_the_network_keeps_its_own(workers: int) -> None:
    before, seen, names = torch.get_num_threads(), [], set()
    torch.set_num_threads(3)
    try:

        def batch(step: int) -> Batch:
            seen.append(torch.get_num_threads())
            names.add(threading.current_thread().name)
            return numbered(step)

        for _ in prefetch(batch, 0, 6, workers=workers):
            assert torch.get_num_threads() == 3
        fresh: list[int] = []
        later = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert fresh == [3]  # what other threads begin with is as it was
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 6
    assert all(name.startswith("polydiff-data") for name in names) == (workers > 0)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_as_it_is_when_its_step_is_reached(workers: int) -> None:
    gone = threading.Event()

    def batch(step: int) -> Batch:
        if step == 4:
            raise UserError("example 17 is gone")
        if step > 4:
            gone.wait(60)  # nobody waits for what is not needed any more
        return numbered(step)

    coming = prefetch(batch, 0, 1000, workers=workers)
    for step in range(4):
        assert torch.equal(next(coming).x, numbered(step).x)
    start = time.monotonic()
    with pytest.raises(UserError, match="example 17 is gone"):
        next(coming)
    assert time.monotonic() - start < 30
    gone.set()


def test_only_the_next_few_batches_are_prepared() -> None:
    made = []

    def batch(step: int) -> Batch:
        made.append(step)
        return numbered(step)

    coming = prefetch(batch, 0, 1000, workers=2)
    next(coming)
    time.sleep(0.1)
    coming.close()
    time.sleep(0.05)
    assert sorted(made) == list(range(5))  # the first, and two more a thread
    before = len(made)
    time.sleep(0.05)
    assert len(made) == before


def test_auto_is_one_thread_beside_a_processor_and_several_for_a_gpu() -> None:
    assert TrainConfig().workers == "auto"
    assert worker_count("auto", torch.device("cpu")) == 1
    assert 1 <= worker_count("auto", torch.device("cuda", 0)) <= MOST_WORKERS
    assert [worker_count(n, torch.device("cpu")) for n in (0, 3)] == [0, 3]


SMALL: dict[str, dict[str, Any]] = {
    "image": {"backbone.channels": 16, "backbone.blocks": 1, "backbone.dropout": 0.2},
    "audio": {"backbone.channels": 16, "backbone.blocks": 1},
    "molecule": {"backbone.hidden": 16, "backbone.layers": 2, "data.max_heavy": 3},
}


@pytest.mark.parametrize("domain", SMALL)
def test_weights_do_not_depend_on_the_number_of_threads_that_prepare_data(domain: str, tmp_path: Path) -> None:
    few = {"train.steps": 5, "train.batch_size": 8, "train.sample_every": 100, "sample.steps": 1}
    weights = []
    for workers in (0, 1, 3):
        path = train(domain, tmp_path / f"{workers}", overrides={**SMALL[domain], **few, "train.workers": workers})
        weights.append(Checkpoint.load(latest(Run(path).checkpoints)).model)
    for other in weights[1:]:
        assert [name for name, value in weights[0].items() if not torch.equal(value, other[name])] == []


@pytest.mark.parametrize("workers", [-1, 300, "two", 1.5])
def test_a_wrong_number_of_threads_raises_one_error(workers: object) -> None:
    assert TrainConfig(workers=3).workers == TrainConfig(workers="3").workers == 3
    with pytest.raises(ValidationError, match=r"1 validation error(.|\n)*auto or a whole number of 0 to 256"):
        TrainConfig(workers=workers)


def test_of_several_conditions_all_are_withheld_together_and_each_alone() -> None:
    class Pairs:
        conditions: ClassVar[dict[str, Any]] = {"label": 3, "low": Aligned(1)}

        def size(self, split: str) -> int:
            return 100

        def batch(self, split: str, indices: list[int], generators: list[torch.Generator]) -> Batch:
            n = len(indices)
            cond = {"label": torch.zeros(n, dtype=torch.long), "low": torch.zeros(n, 1, 4)}
            return Batch(torch.zeros(n, 1, 4), Euclidean(n, (1, 4)), cond)

    cond = batches(Pairs(), 20_000, 0, 0.2)(0).cond  # type: ignore[arg-type]
    assert cond is not None
    label, low = cond["label"] < 0, cond["low"].isnan()
    assert torch.equal(low.any(2), low.all(2))
    shares = [float((a & b).double().mean()) for a in (label, ~label) for b in (low[:, 0, 0], ~low[:, 0, 0])]
    assert shares == pytest.approx([0.2 + 0.8 * 0.04, 0.8 * 0.16, 0.8 * 0.16, 0.8 * 0.64], abs=0.015)


class Sized:
    """Examples of several sizes; the state of each is its number."""

    conditions: ClassVar[dict[str, Any]] = {}

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        self.known = sizes

    def size(self, split: str) -> int:
        return len(self.known)

    def sizes(self, split: str) -> NDArray[np.int64]:
        return self.known

    def batch(self, split: str, indices: list[int], generators: list[torch.Generator]) -> Batch:
        return Batch(torch.tensor(indices, dtype=torch.float32)[:, None], Euclidean(len(indices), (1,)))


def like_atoms(n: int) -> Sized:
    """Sizes as QM9's: 18 on average, 29 at most."""
    drawn = 18 + 3 * torch.randn(n, generator=torch.Generator().manual_seed(0))
    return Sized(drawn.round().clamp(3, 29).long().numpy())


def waste(sizes: NDArray[np.int64], seen: list[list[int]]) -> float:
    """Pairs of atoms that batches padded to their largest hold, over those that there are."""
    held = sum(len(batch) * int(sizes[batch].max()) ** 2 for batch in seen)
    return held / sum(int((sizes[batch] ** 2).sum()) for batch in seen)


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 17),
    like_sizes=st.integers(0, 5),
    seed=st.integers(0, 5),
    start=st.integers(0, 40),
)
def test_every_example_is_visited_once_an_epoch(
    size: int, batch_size: int, like_sizes: int, seed: int, start: int
) -> None:
    data = Sized(np.arange(size) % 7)
    draw = batches(data, batch_size, seed, like_sizes=like_sizes)  # type: ignore[arg-type]
    steps = 3 * size // batch_size + 1
    seen = [int(i) for step in range(steps) for i in draw(step).x[:, 0]]
    for epoch in range(3):
        assert sorted(seen[epoch * size : (epoch + 1) * size]) == list(range(size))
    resumed = batches(data, batch_size, seed, like_sizes=like_sizes)(start % steps)  # type: ignore[arg-type]
    assert torch.equal(resumed.x, draw(start % steps).x)
    assert resumed.x.shape == (batch_size, 1)


def test_like_sizes_pad_little() -> None:
    data = like_atoms(10_000)
    found = {}
    for like_sizes in (0, 4, 16, 1000):
        draw = batches(data, 64, 0, like_sizes=like_sizes)  # type: ignore[arg-type]
        seen = [draw(step).x[:, 0].long().tolist() for step in range(10_000 // 64)]
        found[like_sizes] = waste(data.known, seen)
        order = torch.tensor([data.known[batch].mean() for batch in seen])
        assert abs(float(torch.corrcoef(torch.stack([order[1:], order[:-1]]))[0, 1])) < 0.3  # batches are shuffled
    assert found[0] > 1.7
    assert found[4] < 1.3
    assert found[16] < 1.1
    assert found[1000] < 1.03


def test_two_epochs_put_other_examples_together() -> None:
    draw = batches(like_atoms(640), 64, 0, like_sizes=5)  # type: ignore[arg-type]
    first, second = ([frozenset(draw(s).x[:, 0].tolist()) for s in range(e * 10, e * 10 + 10)] for e in range(2))
    assert max(len(a & b) for a in first for b in second) < 40


def test_data_of_one_size_have_no_like_sizes() -> None:
    class Plain:
        def size(self, split: str) -> int:
            return 10

    with pytest.raises(UserError, match=r"train\.like_sizes=4 needs examples of several sizes"):
        batches(Plain(), 2, 0, like_sizes=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_the_loss_of_a_molecule_does_not_depend_on_the_sizes_beside_it(layout: str) -> None:
    words = {"data.max_heavy": "3", "data.layout": layout, "backbone.hidden": "16", "backbone.layers": "2"}
    domain = build_domain(resolve("molecule", words=words).config)
    torch.manual_seed(0)
    made = Denoiser(domain.backbone(), SCHEDULES["edm"]())
    objective = as_objective(Loss(), made)
    moment, u = Moment(0, 1, made), torch.linspace(0.1, 0.9, 6)

    def losses(chosen: list[int]) -> torch.Tensor:
        batch = domain.batch("train", chosen, streams(0, "augment", chosen))
        return objective(made, batch, u[: len(chosen)], streams(0, "noise", range(len(chosen))), moment)[0].detach()

    order = domain.sizes("train").argsort(kind="stable").tolist()
    assert domain.sizes("train")[order[0]] < domain.sizes("train")[order[-1]]
    beside_small, beside_large = (losses([order[3], *others]) for others in (order[:3], order[-3:]))
    torch.testing.assert_close(beside_small[0], beside_large[0], rtol=1e-5, atol=1e-6)
    assert not torch.isclose(beside_small[1], beside_large[1])


def test_each_part_of_a_state_is_copied_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x) or x)
    x = {"positions": torch.randn(2, 3), "atoms": torch.arange(4)}
    found = copied_ahead(x, torch.device("cpu"))
    assert [part is x[name] for part, name in zip(pinned, x, strict=True)] == [True, True]
    assert all(torch.equal(found[name], part) for name, part in x.items())
    assert torch.equal(copied_ahead(x["atoms"], torch.device("cpu")), x["atoms"])
