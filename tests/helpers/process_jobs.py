"""What several processes of a test do together (`together`)."""

from __future__ import annotations

import functools
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tiny_runs import stop_at
from torch._dynamo.utils import counters

from polydiff.cli import main
from polydiff.machine.ranks import joined, ranks
from polydiff.run.folder import steps_saved
from polydiff.support.signals import exit_code
from polydiff.training.trainer import resume, train


def train_all(folder: Path, cases: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Train a run of each case, name -> (domain, keys), in folder/NAME."""
    with joined(60):
        for name, (domain, keys) in cases.items():
            train(domain, folder / name, overrides=keys, progress=False)


def train_until(run: Path, domain: str, keys: dict[str, Any], step: int) -> None:
    """Train a run, or resume it, until Ctrl-C after a step."""
    with joined(60), suppress(KeyboardInterrupt):
        if steps_saved(run / "checkpoints"):
            resume(run, progress=stop_at(step))
        else:
            train(domain, run, overrides=keys, progress=stop_at(step))


def train_until_one_is_terminated(run: Path, domain: str, keys: dict[str, Any], step: int) -> int:
    """Train a run until the last process receives SIGTERM after a step; return the exit code of this process."""
    with joined(60):
        last = ranks().rank == ranks().world - 1
        try:
            train(domain, run, overrides=keys, progress=stop_at(step, signal.SIGTERM) if last else False)
        except KeyboardInterrupt as error:
            return exit_code(error)
        return 0


def command(words: list[str]) -> int:
    """Run a command of polydiff and return its exit code."""
    return main(words)


def resume_in(folder: Path, launch: dict[str, Any]) -> None:
    """Resume the run in a folder with other keys of the section `launch`."""
    with joined(60):
        resume(folder, progress=False, launch=launch)


def train_traced(folder: Path, domain: str, keys: dict[str, Any]) -> int:
    """Train a run whose network is traced as torch compiles it, without the compiler; return the number of graphs."""
    torch.compile = functools.partial(torch.compile, backend="aot_eager")
    train_all(folder, {"traced": (domain, {**keys, "train.compile": True})})
    return counters["stats"]["unique_graphs"]


def gather_and_derive() -> dict[str, Any]:
    """Gather what each process has, and differentiate the square of the sum of all."""
    with joined(60):
        here = ranks()
        x = torch.tensor([[1.0 + here.rank, 0.0], [2.0 + here.rank, 1.0]], requires_grad=True)
        whole = here.gather(x)
        (whole.sum() ** 2 / 2).backward()
        return {
            "whole": whole.detach(),
            "own": whole[here.rows(2)].detach().equal(x.detach()),
            "gradient": x.grad,
            "objects": here.collect({"rank": here.rank}),
            "agreed": here.agree(f"from {here.rank}"),
            "any": (here.any(here.rank == 1), here.any(False)),
        }
