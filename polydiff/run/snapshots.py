"""Snapshots of the power-function averages on disk, and the average of any width made from them (`run.averages`).

averages/step-00002000/averages.safetensors     both averages at that step
                       manifest.json            its size and SHA-256, the step, and a digest of these
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from polydiff.run.averages import WIDEST, Profile, exponent, mixture
from polydiff.run.checkpoint import Checkpoint, check_finite, check_fit, notes_of, pack, unpack, write_files
from polydiff.run.folder import delete_steps, run_of, step_path, steps_saved
from polydiff.run.reading import AVERAGES, damaged, read_checked, read_manifest
from polydiff.support.errors import UserError, amount

TOLERATED = 0.1
"""Largest relative error of a profile that is still called a reconstruction."""


def save_snapshot(folder: Path, step: int, tensors: Mapping[str, Tensor], keep: int) -> None:
    """Write folder/step-XXXXXXXX, whole or not at all, and delete the least useful snapshots beyond `keep`.

    Arguments:
        folder: Folder of the snapshots.
        step: Steps done.
        tensors: The averages, as `PowerAverages.tensors` returns them.
        keep: Number of snapshots to keep, at least 1.
    """
    path = step_path(folder, step)
    check_finite(tensors, f"{path} is not written: {AVERAGES}")
    write_files(path, {AVERAGES: pack(tensors, {"step": str(step)})}, step)
    delete_steps(folder, spares(steps_saved(folder), keep))


def drop_snapshots(folder: Path, after: int) -> None:
    """Delete the snapshots after a step, as a run that resumes there does."""
    delete_steps(folder, [step for step in steps_saved(folder) if step > after])


def spares(steps: Sequence[int], keep: int) -> list[int]:
    """Return the steps to delete so that `keep` of them stay, evenly: one by one that with the nearest neighbours."""
    left, gone = [0, *sorted(steps)], []
    while len(left) - 1 > max(keep, 1):
        gaps = {left[i]: left[i + 1] - left[i - 1] for i in range(1, len(left) - 1)}
        gone.append(min(gaps, key=lambda step: (gaps[step], step)))
        left.remove(gone[-1])
    return gone


def average(path: Path | str, checkpoint: Checkpoint, ema: float) -> dict[str, Tensor]:
    """Return the parameters' average of a width, from a checkpoint and the snapshots of its run.

    Arguments:
        path: The run's folder, or that of the checkpoint in it.
        checkpoint: Read from there.
        ema: Width of the average.
    """
    if not (checkpoint.averages and checkpoint.step):
        raise UserError(f"{path} keeps no averages to make another from. Train with train.ema_snapshots=16.")
    return reconstruct(run_of(Path(path)).averages, checkpoint.step, checkpoint.averages, ema)


def reconstruct(folder: Path, step: int, latest: Mapping[str, Tensor], sigma_rel: float) -> dict[str, Tensor]:
    """Return the parameters' average of any width at a step.

    Arguments:
        folder: Of the snapshots; those after `step` are left out.
        step: Steps done.
        latest: The averages at that step, as `PowerAverages.tensors` gives them.
        sigma_rel: Requested width.

    Raises:
        UserError: The snapshots do not reach so far: their mixtures are not near that average.
    """
    wanted = Profile(step, exponent(sigma_rel))
    before = [s for s in steps_saved(folder) if 0 < s < step]
    sigmas = widths_of(latest, folder)
    places = [(s, sigma) for s in (*before, step) for sigma in sigmas]
    weights, error = mixture([Profile(s, exponent(sigma)) for s, sigma in places], wanted)
    if error > TOLERATED:
        nearest = min(sigmas, key=lambda sigma: abs(sigma - sigma_rel))
        raise UserError(
            f"The {amount(len(before), 'snapshot')} before step {step} cannot give an average of width {sigma_rel:g} "
            f"(error {error:.2f}). Use a width nearer to {nearest:g}, or train with more of train.ema_snapshots."
        )
    total = {key.partition("/")[2]: torch.zeros_like(value, dtype=torch.float64) for key, value in latest.items()}
    tensors: Mapping[str, Tensor] = {}
    for i, ((s, sigma), weight) in enumerate(zip(places, weights, strict=True)):
        if i % len(sigmas) == 0:  # one snapshot in memory at a time
            tensors = latest if s == step else load_snapshot(folder, s, latest)
        for name, value in total.items():
            value.add_(tensors[f"{sigma}/{name}"].double(), alpha=weight)
    return {name: value.to(latest[f"{sigmas[0]}/{name}"].dtype) for name, value in total.items()}


def widths_of(tensors: Mapping[str, Tensor], folder: Path) -> list[float]:
    """Return each sigma_rel in the names of averages, "sigma_rel/parameter", ascending.

    Raises:
        UserError: There is another name, or a parameter has no average of one of the widths.
    """
    parts = [key.partition("/")[::2] for key in tensors]
    texts, names = {text for text, _ in parts}, {name for _, name in parts}
    odd = [text for text in sorted(texts) if not re.fullmatch(r"0\.\d{1,17}", text) or not is_width(text)]
    if odd:
        raise damaged(folder.parent, f"{AVERAGES} names a tensor of the width {odd[0][:80]!r}")
    if missing := [f"{text}/{name}" for name in names for text in texts if f"{text}/{name}" not in tensors]:
        raise damaged(folder.parent, f"{AVERAGES} lacks the tensor {missing[0][:80]!r}")
    return sorted(map(float, texts))


def is_width(text: str) -> bool:
    """Return whether a text is a width as Python writes it."""
    return str(float(text)) == text and 0 < float(text) < WIDEST


def load_snapshot(folder: Path, step: int, like: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the averages of a snapshot, each byte as it was written.

    Arguments:
        folder: Of the snapshots.
        step: Steps done.
        like: The averages of another step, whose names and shapes these must have.
    """
    path = step_path(folder, step)
    data = read_checked(path, read_manifest(path, [AVERAGES], [AVERAGES]), AVERAGES)
    tensors = unpack(data, AVERAGES, path)
    written = notes_of(data).get("step", str(step))  # snapshots of older versions do not name their step
    if written != str(step):
        raise damaged(path, f"it holds step {written}, but its folder is named {path.name}")
    check_fit(like, tensors, f"The snapshot {path}")
    return tensors
