"""Damaged files: what a disk, a copy that stopped, or a careless hand does to a checkpoint and to a run's folder.

A damaged checkpoint is one UserError that names it, or loads bit by bit as it was written (a space of the manifest
changed). A damaged file of a run's folder, which no digest guards, is one UserError or costs itself alone.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from random import Random

import torch
from report_cases import make_run
from repository import ROOT
from trial import Trial, chance_of, kind, shared_folder, user_error, workplace

from polydiff.report.page import write_report
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import step_path
from polydiff.run.reading import AVERAGES, MANIFEST, TENSORS

TRIALS = {"push": 360, "nightly": 6_000, "release": 18_000}
OLDER, NEWER = 40, 50
"""Steps of the two checkpoints of a run."""
SECTOR = 512

Damage = Callable[[Path, Random], object]
"""Changes the newer checkpoint of the run in a folder."""


@cache
def whole_run() -> Path:
    """Return the folder of a run with two whole checkpoints."""
    run = make_run(shared_folder() / "corruption")
    (run / "config.resolved.yaml").write_text("domain: image\ntrain:\n  steps: 50\n")
    (run / "goal.json").write_text('{"from": 40, "steps": 50}\n')
    golden = Checkpoint.load(ROOT / "tests" / "golden" / "image" / "step-00000050")
    for step in (OLDER, NEWER):
        checkpoint(golden, step).save(run / "checkpoints")
    return run


def checkpoint(golden: Checkpoint, step: int) -> Checkpoint:
    """Return a checkpoint of another step with other weights, and with power-function averages."""
    parts = {name: shifted(getattr(golden, name), step) for name in ("model", "ema", "optimizer")}
    averages = {f"0.05/{name}": tensor for name, tensor in parts["ema"].items()}
    state = {key: value for key, value in golden.state.items() if key not in ("format", "step", "tensors")}
    return replace(golden, step=step, state=state, averages=averages, **parts)


def shifted(tensors: Mapping[str, torch.Tensor], step: int) -> dict[str, torch.Tensor]:
    return {name: tensor + step if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def newer(run: Path) -> Path:
    return step_path(run / "checkpoints", NEWER)


def older(run: Path) -> Path:
    return step_path(run / "checkpoints", OLDER)


def any_file(folder: Path, chance: Random) -> Path:
    return chance.choice(sorted(folder.iterdir()))


def changed(path: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(path: Path, chance: Random) -> None:
    """Flip one bit."""

    def change(content: bytearray) -> None:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

    changed(path, change)


def zero_sector(path: Path, chance: Random) -> None:
    """Write zeros over a sector, or ones where it holds zeros."""

    def change(content: bytearray) -> None:
        start = chance.randrange(-(-len(content) // SECTOR)) * SECTOR
        sector = content[start : start + SECTOR]
        content[start : start + SECTOR] = bytes(len(sector)) if any(sector) else b"\xff" * len(sector)

    changed(path, change)


def cut(path: Path, chance: Random) -> None:
    changed(path, lambda content: content.__delitem__(slice(chance.randrange(len(content)), None)))


def grow(path: Path, chance: Random) -> None:
    changed(path, lambda content: content.extend(chance.randbytes(chance.randrange(1, 2 * SECTOR))))


def empty(path: Path, chance: Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, chance: Random) -> None:
    path.unlink()


FILE_FAULTS = (flip, zero_sector, cut, grow, empty, remove)


def swap_file(run: Path, chance: Random) -> None:
    """Put a file of the older checkpoint in place of the newer one's."""
    name = any_file(newer(run), chance).name
    shutil.copy(older(run) / name, newer(run) / name)


def mix(run: Path, chance: Random) -> None:
    """Put files of the older checkpoint, and their lines of the manifest, in place of the newer one's."""
    names = chance.sample([*TENSORS, "state.json"], chance.randrange(1, 5))
    manifests = [json.loads((folder(run) / MANIFEST).read_text()) for folder in (older, newer)]
    for name in names:
        shutil.copy(older(run) / name, newer(run) / name)
        manifests[1][name] = manifests[0][name]
    (newer(run) / MANIFEST).write_text(json.dumps(manifests[1]))


def rename(run: Path, chance: Random) -> None:
    """Give the older checkpoint the newer one's name."""
    shutil.rmtree(newer(run))
    older(run).rename(newer(run))


def forget_averages(run: Path, chance: Random) -> None:
    """Take a file that a checkpoint may lack out of the folder and its manifest."""
    manifest = json.loads((newer(run) / MANIFEST).read_text())
    del manifest[AVERAGES]
    (newer(run) / AVERAGES).unlink()
    (newer(run) / MANIFEST).write_text(json.dumps(manifest))


def edit_manifest(run: Path, chance: Random) -> None:
    """Exchange the facts of two files, and the files with them."""
    a, b = chance.sample(TENSORS, 2)
    manifest = json.loads((newer(run) / MANIFEST).read_text())
    manifest[a], manifest[b] = manifest[b], manifest[a]
    contents = [(newer(run) / name).read_bytes() for name in (b, a)]
    for name, content in zip((a, b), contents, strict=True):
        (newer(run) / name).write_bytes(content)
    (newer(run) / MANIFEST).write_text(json.dumps(manifest))


SET_FAULTS: tuple[Damage, ...] = (swap_file, mix, rename, forget_averages, edit_manifest)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Return whether two checkpoints are equal bit by bit."""
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("model", "ema", "optimizer", "averages")]
    tensors = all(x.keys() == y.keys() and all(torch.equal(x[key], y[key]) for key in x) for x, y in pairs)
    return tensors and a.state == b.state


@cache
def original() -> Checkpoint:
    return Checkpoint.load(newer(whole_run()))


def damage_checkpoint(fault: Damage, seed: int) -> None:
    """Damage the newer checkpoint, and load it."""
    with workplace() as folder:
        run = folder / "run"
        for path in (older(whole_run()), newer(whole_run())):
            shutil.copytree(path, run / "checkpoints" / path.name)
        fault(run, chance_of("corruption", seed))
        found: list[Checkpoint] = []
        error = user_error(lambda: found.append(Checkpoint.load(newer(run))))
        if error is None:
            assert same(found[0], original()), "damage went unseen"
        else:
            assert newer(run).name in error, f"the message does not name the checkpoint: {error}"


def damage_file(fault: Damage, seed: int) -> None:
    """Damage one file of the checkpoint."""
    damage_checkpoint(lambda run, chance: fault(any_file(newer(run), chance), chance), seed)


def damage_run(fault: Damage, seed: int) -> None:
    """Damage a file of a run's folder beside its checkpoints, and write the report."""
    with workplace() as folder:
        run = shutil.copytree(whole_run(), folder / "run")
        files = sorted(path for path in run.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
        chance = chance_of("corruption", seed)
        fault(chance.choice(files), chance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it names a damaged line of the log
            error = user_error(lambda: write_report(run))
        assert error is None or str(run) in error, f"the message names no file: {error}"


@kind("corruption")
def trials(tier: str) -> Iterator[Trial]:
    """Of twelve trials, eight damage a file of a checkpoint, three its set of files, one another file of the run."""
    for seed in range(TRIALS[tier]):
        place, turn = seed % 12, seed // 12
        if place < 8:
            act, fault = damage_file, FILE_FAULTS[(8 * turn + place) % len(FILE_FAULTS)]
        elif place < 11:
            act, fault = damage_checkpoint, SET_FAULTS[(3 * turn + place) % len(SET_FAULTS)]
        else:
            act, fault = damage_run, FILE_FAULTS[turn % len(FILE_FAULTS)]
        yield Trial("corruption", f"{act.__name__} {fault.__name__} {seed}", seed, partial(act, fault, seed))
