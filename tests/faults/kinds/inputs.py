"""Damaged and hostile input files, through the data of each domain as training reads them.

Beside forty good files, or records, stand one or two bad ones. The domain opens within 10 s of processor time, its
examples are finite numbers, found = used + put aside, and the user's files are unchanged. Where a whole data set is
refused, the message names the file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from children import run_child
from hostile_files import ANY, NAMED
from input_files import PICTURES, SOUNDS, TABLES, mutated, picture, sound, table
from trial import Trial, chance_of, kind, shared_folder, workplace

from polydiff.config.merge import resolve
from polydiff.contract.abilities import quarantine_of
from polydiff.contract.discover import build_domain
from polydiff.core.streams import streams
from polydiff.support.errors import UserError

TRIALS = {"push": 26, "nightly": 390, "release": 1_300}
"""Numbers of mutations; the hostile files by name are trials of their own, the push tier has every seventh."""
GOOD = 40
SECONDS, MEMORY, WAIT = 10.0, 1500.0, 120.0
SETTINGS: dict[str, dict[str, Any]] = {
    "image": {"data.size": 8},
    "audio": {"data.length": 256, "data.sample_rate": 8000},
    "molecule": {"data.conformers": 1, "data.seconds": 5},
}
FORMATS = [*(("image", one) for one in PICTURES), *(("audio", one) for one in SOUNDS)]
FORMATS += [("molecule", one) for one in TABLES]


@cache
def good(domain: str, suffix: str) -> Path:
    """Return a folder of good files; of molecules, one file."""
    folder = shared_folder() / f"good-{domain}-{suffix}"
    folder.mkdir()
    if domain == "molecule":
        (folder / f"good.{suffix}").write_bytes(table(suffix, 0, GOOD))
    for seed in range(GOOD if domain != "molecule" else 0):
        name, data = (f"{seed}.png", picture(seed)) if domain == "image" else (f"{seed}.wav", sound(seed))
        (folder / name).write_bytes(data)
    with workplace() as place:  # imports are done before the forks
        shutil.copytree(folder, place / "data")
        opened(domain, place / "data")
    return folder


def opened(domain: str, folder: Path) -> dict[str, Any]:
    """Open the data in a folder as training does, and return what became of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = list(folder.iterdir())
        path = files[0] if len(files) == 1 else folder
        try:
            found = build_domain(resolve(domain, values={**SETTINGS[domain], "data.path": path}).config)
        except UserError as error:
            return {"error": str(error)}
        sizes = {split: found.size(split) for split in ("train", "test")}
        for split, size in sizes.items():
            batch = found.batch(split, range(size), streams(0, "inputs", range(size)))
            states = batch.x.values() if isinstance(batch.x, Mapping) else [batch.x]
            assert all(bool(torch.isfinite(x).all()) for x in states), f"{split} is not finite"
        aside = quarantine_of(found)
    assert aside is not None
    return {
        "examples": sum(sizes.values()),
        "found": aside.found,
        "used": aside.used,
        "left out": aside.left_out,
        "aside": sorted(aside.reasons),
    }


def state_of(folder: Path) -> dict[str, str]:
    """Return the digest of each regular file of a folder, and the kind of everything else."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and path.stat().st_size < 2**26
        else str(os.lstat(path).st_mode)
        for path in folder.iterdir()
    }


def check(domain: str, folder: Path, names: list[str]) -> int | None:
    """Open a folder in a child and check what became of its files.

    Return the number of examples that are used, None if the data set is refused.
    """
    before = state_of(folder)
    ended = run_child(lambda: opened(domain, folder), WAIT)
    assert ended.code == 0, f"code {ended.code}: {ended.err[-300:]}"
    assert state_of(folder) == before, "files of the user were changed"
    assert ended.seconds < SECONDS, f"{ended.seconds:.1f} s"
    assert ended.risen < MEMORY, f"{ended.risen:.0f} MiB"
    result = ended.result
    if error := result.get("error"):
        assert any(ascii(name)[1:-1] in ascii(error) for name in names), f"no file named: {error[:300]}"
        return None
    counts = result["examples"], result["used"]
    whole = counts[0] == counts[1] or (domain == "audio" and counts[0] > counts[1])  # a sound has several crops
    assert whole, f"used is not what is trained on: {result}"
    put_aside = result["left out"] + len(result["aside"])
    assert result["found"] == result["used"] + put_aside, f"it does not add up: {result}"
    if domain != "molecule":
        assert result["used"] >= GOOD, f"good files were lost: {result}"
    return int(result["used"])


def mutation(domain: str, suffix: str, seed: int) -> None:
    """Put mutated files beside good ones."""
    chance = chance_of("inputs", seed)
    with workplace() as place:
        folder = shutil.copytree(good(domain, suffix if domain == "molecule" else "files"), place / "data")
        names = []
        if domain == "molecule":
            rest = mutated(table(suffix, GOOD, GOOD + 2), chance)
            (folder / f"good.{suffix}").write_bytes(table(suffix, 0, GOOD) + rest)
            names = [f"good.{suffix}", str(folder)]
        else:
            for i in range(2):
                data = picture(100 + i, PICTURES[suffix]) if domain == "image" else sound(100 + i, suffix)
                names.append(f"bad{i}.{suffix}")
                (folder / names[-1]).write_bytes(mutated(data, chance))
        check(domain, folder, names)


def hostile(domain: str, name: str) -> None:
    """Put a hostile file beside good ones; where its verdict is known, it must be that."""
    own = NAMED[domain].get(name)
    suffix = {"image": "png", "audio": "wav", "molecule": "sdf"}[domain]
    beside = "files" if domain != "molecule" else name.rpartition(".")[2] if own else suffix
    with workplace() as place:
        folder = shutil.copytree(good(domain, beside), place / "data")
        file = name if own else f"hostile.{suffix}"
        (own.make if own else ANY[name])(folder / file)
        used = check(domain, folder, [file])
    if own:
        expected = None if own.used is None else GOOD + own.used
        assert used == expected, f"{used} are used, not {expected}"


@kind("inputs")
def trials(tier: str) -> Iterator[Trial]:
    for seed in range(TRIALS[tier]):
        domain, suffix = FORMATS[seed % len(FORMATS)]
        yield Trial("inputs", f"{domain} {suffix} {seed}", seed, partial(mutation, domain, suffix, seed))
    names = [(domain, name) for domain in NAMED for name in (*ANY, *NAMED[domain])]
    for seed, (domain, name) in list(enumerate(names))[:: 7 if tier == "push" else 1]:
        yield Trial("inputs", f"hostile {domain} {ascii(name)[:40]}", seed, partial(hostile, domain, name))
