"""What several processes of a test do together (`together`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from polydiff.machine.ranks import joined, ranks
from polydiff.training.trainer import train


def train_all(folder: Path, cases: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Train a run of each case, name -> (domain, keys), in folder/NAME."""
    with joined(60):
        for name, (domain, keys) in cases.items():
            train(domain, folder / name, overrides=keys, progress=False)


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
