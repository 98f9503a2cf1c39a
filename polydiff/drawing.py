"""Many samples, written as they are drawn: memory does not grow with their number, and nothing is lost by a stop.

A folder that is being filled holds a journal: its first line says what is drawn, each further one which samples are
written. Files are written beside their places and renamed, so each is whole or absent. At the end the journal becomes
manifest.json. Sample i follows from the seed and i, so whoever goes on from a journal gets the files of a drawing that
was never stopped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch

from polydiff.domain import Archives, Domain, Samples
from polydiff.errors import UserError
from polydiff.files import write_atomic
from polydiff.model import Model
from polydiff.run import JOURNAL

DRAFT = ".draft"
SHOWN = 64
"""Samples that show.html is made of, at most."""
CROWD = 10_000
"""Samples from which on files lie in folders of a thousand."""

Progress = Callable[[int, int], None]
"""Called with the number of samples that are written, and that of all."""


def draw(
    model: Model,
    folder: Path,
    n: int,
    *,
    seed: int = 0,
    cond: Mapping[str, Any] | None = None,
    one_file: bool = False,
    facts: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **sampling: Any,
) -> None:
    """Write n samples to a folder, or go on with a drawing of the same samples that was stopped there.

    Arguments:
        model: What draws.
        folder: Where to; empty, absent, or with the journal of such a drawing.
        n: How many.
        seed: Of everything random.
        cond: What they are asked to be.
        one_file: Whether all go into one file (`Archives`) instead of one each.
        facts: What else the manifest says.
        progress: Called after each batch.
        sampling: As in `Model.sample`.

    Raises:
        UserError: The folder's journal is of other samples; the message says in what.
    """
    if one_file and not isinstance(model.domain, Archives):
        raise UserError(f"The domain {model.config.domain} writes one file a sample. Leave --one-file out.")
    plan = model.plan(**sampling)
    told = {"n": n, "one_file": one_file, "weights_digest": digest(model)}
    how = {**plan.model_dump(mode="json"), "batch_size": model.batch_size(plan)}
    head = {**(facts or {}), "seed": seed, "asked": dict(cond or {}), **how, **told}
    folder.mkdir(parents=True, exist_ok=True)
    with opened(folder, head, sampling.get("batch_size") is not None) as journal:
        writer = Writer(folder, model.domain, journal, n, one_file)
        if progress:
            progress(journal.done, n)
        if journal.done < n:
            size = {**sampling, "batch_size": journal.head["batch_size"]}
            batches = model.stream(n - journal.done, first=journal.done, seed=seed, cond=cond, **size)
            fill(writer, batches, n, progress)
        writer.finish()


def fill(writer: Writer, batches: Iterator[Samples], n: int, progress: Progress | None) -> None:
    """Write batches, each while the next is computed."""
    with ThreadPoolExecutor(1, thread_name_prefix="polydiff-writer") as pool:
        pending: Future[int] | None = None
        for samples in batches:
            if pending:
                report(pending, n, progress)
            pending = pool.submit(writer.write, samples)
        if pending:
            report(pending, n, progress)


def report(written: Future[int], n: int, progress: Progress | None) -> None:
    """Wait for a batch to be written, and tell."""
    done = written.result()
    if progress:
        progress(done, n)


class Part(NamedTuple):
    """A line of a journal: consecutive samples that are written.

    Attributes:
        first: Number of the first one.
        samples: What the manifest says of each.
        sizes: Name of each file that was written, or written on -> its bytes since.
        arrays: Name of each array of an archive -> its type, and the shape of a sample.
    """

    first: int
    samples: list[dict[str, Any]]
    sizes: dict[str, int]
    arrays: dict[str, tuple[str, list[int]]]


class Journal:
    """What of a drawing is written.

    Arguments:
        file: The journal, locked.
        head: What is drawn.
    """

    def __init__(self, file: IO[str], head: dict[str, Any]) -> None:
        self.file, self.head = file, head
        self.parts = 0
        self.done = 0

    def add(self, part: Part) -> None:
        """Add a line, once all that it tells of is in its place."""
        self.file.write(json.dumps(part) + "\n")
        self.file.flush()
        self.parts, self.done = self.parts + 1, part.first + len(part.samples)

    def read(self) -> Iterator[Part]:
        """Yield the parts."""
        self.file.seek(0)
        self.file.readline()
        for line in self.file:
            try:
                yield Part(*json.loads(line))
            except (ValueError, TypeError):  # cut off by a crash
                return

    def keep(self, folder: Path) -> None:
        """Forget all from the first part on whose files are not as they were left."""
        whole, sizes = list[Part](), dict[str, int]()
        for part in self.read():
            if part.first != sum(len(p.samples) for p in whole):
                break
            growing = {name: size for name, size in part.sizes.items() if name.startswith(".")}
            fixed = part.sizes.keys() - growing.keys()
            if any(bytes_of(folder / name) != part.sizes[name] for name in fixed):
                break
            if any(bytes_of(folder / name) < size for name, size in growing.items()):
                break
            whole.append(part)
            sizes = growing
        if not (folder / "show.html").exists():
            whole, sizes = [], {}  # what it shows is no longer at hand
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps(self.head) + "\n")
        for part in whole:
            self.add(part)
        for path in folder.glob(".*.part"):
            with path.open("r+b") as file:
                file.truncate(sizes.get(path.name, 0))


def bytes_of(path: Path) -> int:
    """Return the size of a file, -1 where there is none."""
    return path.stat().st_size if path.is_file() else -1


@contextmanager
def opened(folder: Path, head: dict[str, Any], batch_said: bool) -> Iterator[Journal]:
    """Give a folder's journal, begun or gone on with; where nothing was written, leave none behind."""
    path = folder / JOURNAL
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another process is writing to {folder}. Wait for it, or choose another -o.") from None
        file.seek(0)
        line = file.readline()
        if line.endswith("\n"):
            begun = json.loads(line)
            if not batch_said:
                head = {**head, "batch_size": begun.get("batch_size")}
            check_same(folder, begun, head)
        journal = Journal(file, head)
        journal.keep(folder)
        try:
            yield journal
        finally:
            if not journal.parts:
                path.unlink(missing_ok=True)
                shutil.rmtree(folder / DRAFT, ignore_errors=True)


def check_same(folder: Path, begun: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Refuse to go on with a drawing of other samples."""
    now = json.loads(json.dumps(head))
    different = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    if different == ["weights_digest"]:
        raise UserError(f"{folder} was begun with other weights of the same name. Choose another -o.")
    if different:
        said = ", ".join(f"{name}={begun.get(name)!r}, not {now.get(name)!r}" for name in different[:3])
        raise UserError(f"{folder} was begun with {said}. Say the same to go on with it, or choose another -o.")


class Writer:
    """Writes batches of samples, in order.

    Arguments:
        folder: Where to.
        domain: Knows how its samples are written and shown.
        journal: Of the folder.
        n: Number of all samples.
        one_file: Whether all go into one file.
    """

    def __init__(self, folder: Path, domain: Domain, journal: Journal, n: int, one_file: bool) -> None:
        self.folder, self.domain, self.journal, self.n, self.one_file = folder, domain, journal, n, one_file
        self.shown: list[Samples] = []
        self.digits = max(5, len(str(n - 1)))

    def write(self, samples: Samples) -> int:
        """Write the samples that come next and return how many are written."""
        first = self.journal.done
        save = self.append if self.one_file else self.files
        entries, sizes, arrays = save(samples, first)
        words = self.domain.describe(samples.cond) if samples.cond is not None else [{} for _ in entries]
        self.show(samples)
        listed = [{**entry, "cond": cond} for entry, cond in zip(entries, words, strict=True)]
        self.journal.add(Part(first, listed, sizes, arrays))
        return self.journal.done

    def files(self, samples: Samples, first: int) -> tuple[list[dict[str, Any]], dict[str, int], dict[str, Any]]:
        """Write one file a sample, beside its place, and move it there."""
        draft = self.folder / DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        entries = []
        for i, entry in enumerate(self.domain.save(samples, draft), first):
            name = self.name(i, Path(entry["file"]).suffix)
            (self.folder / name).parent.mkdir(exist_ok=True)
            (draft / entry["file"]).replace(self.folder / name)
            entries.append({**entry, "file": name})
        return entries, {entry["file"]: bytes_of(self.folder / entry["file"]) for entry in entries}, {}

    def name(self, i: int, suffix: str) -> str:
        """Return the name of a sample's file."""
        name = f"sample-{i:0{self.digits}d}{suffix}"
        return name if self.n <= CROWD else f"{i // 1000:0{self.digits - 3}d}/{name}"

    def append(self, samples: Samples, first: int) -> tuple[list[dict[str, Any]], dict[str, int], dict[str, Any]]:
        """Add samples to what will be one file."""
        assert isinstance(self.domain, Archives)
        sizes, arrays = {}, {}
        for name, piece in self.domain.archive(samples).items():
            path = self.folder / f".{name}.part"
            with path.open("ab") as file:
                file.write(piece.encode() if isinstance(piece, str) else np.ascontiguousarray(piece).tobytes())
            sizes[path.name] = bytes_of(path)
            if not isinstance(piece, str):
                arrays[name] = (piece.dtype.str, list(piece.shape[1:]))
        return [{} for _ in samples.examples], sizes, arrays

    def show(self, samples: Samples) -> None:
        """Write show.html once there are samples enough."""
        path = self.folder / "show.html"
        if path.exists():
            return
        self.shown.append(samples)
        together = Samples.join(self.shown)
        if len(together) >= min(SHOWN, self.n):
            write_atomic(path, self.domain.show(together.head(SHOWN)))

    def finish(self) -> None:
        """Put the archive together, write the manifest and remove the journal."""
        arrays, texts = dict[str, Any](), set[str]()
        for part in self.journal.read():
            arrays.update(part.arrays)
            texts |= {name for name in part.sizes if name.startswith(".") and name[1:-5] not in part.arrays}
        for name in texts:
            (self.folder / name).replace(self.folder / name[1:-5])
        if arrays:
            self.zip(arrays)
        draft = self.folder / ".manifest.tmp"
        with draft.open("w", encoding="utf-8") as file:
            head = {name: value for name, value in self.journal.head.items() if name != "n"}
            file.write(json.dumps(head, indent=1)[:-2] + ',\n "samples": [')
            entries = (entry for part in self.journal.read() for entry in part.samples)
            for i, entry in enumerate(entries):
                file.write(("," if i else "") + "\n  " + json.dumps(entry))
            file.write("\n ]\n}\n")
        draft.replace(self.folder / "manifest.json")
        for path in [self.folder / JOURNAL, *self.folder.glob(".*.part")]:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / DRAFT, ignore_errors=True)

    def zip(self, arrays: Mapping[str, tuple[str, list[int]]]) -> None:
        """Write samples.npz of the arrays, without holding one in memory."""
        draft = self.folder / ".samples.npz.tmp"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for name, (kind, shape) in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    header = {"descr": kind, "fortran_order": False, "shape": (self.n, *shape)}
                    np.lib.format.write_array_header_1_0(target, header)
                    with (self.folder / f".{name}.part").open("rb") as source:
                        shutil.copyfileobj(source, target, 2**20)
        draft.replace(self.folder / "samples.npz")


def digest(model: Model) -> str:
    """Return a name of a model's weights that other weights do not have."""
    hashed = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.denoiser.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
