"""Write many samples while they are drawn: memory does not grow with their number, and a stop loses no sample.

A folder of an unfinished drawing contains a journal. Its first line holds the settings, each further line lists samples
that are written. Files are written under temporary names and renamed, so each is complete or absent. At the end the
journal becomes manifest.json. Sample i is a function of the seed and i, so a resumed drawing writes the same files as
one that was never stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from polydiff.contract.abilities import Archives
from polydiff.contract.domain import Domain, Samples
from polydiff.gallery.journal import DRAFT, JOURNAL, Journal, Part, bytes_of, opened
from polydiff.gallery.names import MANIFEST, SHOW
from polydiff.gallery.page import SHOWN, whole_page
from polydiff.gallery.sets import with_conditions, write_manifest
from polydiff.machine.ranks import ranks
from polydiff.support.disk import writing
from polydiff.support.errors import UserError, check_whole
from polydiff.support.files import delete, write_atomic
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.gallery.draws import Draws

CROWD = 10_000
"""Number of samples above which files lie in folders of a thousand."""

Progress = Callable[[int, int], None]
"""Called with the number of samples that are written and the number of all samples."""


def draw(
    model: Draws,
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
    """Write n samples to a folder, or resume a drawing of the same samples that was stopped there.

    Processes that are joined (`polydiff.machine.ranks.joined`) all call it and share the batches; the first one writes.

    Arguments:
        model: What draws.
        folder: Target folder; empty, absent, or with the journal of this drawing.
        n: Number of samples.
        seed: Random seed.
        cond: Requested conditions.
        one_file: Whether to write all samples to one file (`Archives`) instead of one file each.
        facts: Further entries of the manifest.
        progress: Called after each batch with the numbers of samples that are written and that are due.
        sampling: As in `Model.sample`.

    Raises:
        WriteError: The disk is full, or the folder cannot be written for another reason; the same command goes on.
        UserError: The folder's journal has other settings (the message lists them), or the domain has no archive.
    """
    if one_file and not provides(model.domain, Archives):
        raise UserError(f"The domain {model.facts['domain']} writes one file per sample. Omit --one-file.")
    check_whole("n", n)
    request = model.request(cond, **sampling)
    together = ranks()
    if not together.first:
        shown, done, batch_size = together.agree((0, 0, 0))
        request = request.with_batch_size(batch_size)
        for numbers in (range(shown), range(done, n)):
            deque(request.samples(numbers, seed), maxlen=0)
        return
    drawing = {"n": n, "one_file": one_file, **request.digests()}
    how = {**request.section(), "batch_size": request.batch_size}
    head = {
        **(facts or {}),
        "seed": seed,
        "requested": {name: plain(value) for name, value in (cond or {}).items()},
        **how,
        **drawing,
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder), opened(folder, head, sampling.get("batch_size") not in (None, "auto")) as journal:
        writer = Writer(folder, model.domain, journal, n, one_file)
        shown = 0 if (folder / SHOW).exists() else journal.first(SHOWN)
        shown, done, batch_size = together.agree((shown, journal.done, journal.head["batch_size"]))
        request = request.with_batch_size(batch_size)
        if progress:
            progress(done, n)
        for samples in request.samples(range(shown), seed):
            writer.show(samples)  # written by a process that ended before there were enough
        write_in_background(writer, request.samples(range(done, n), seed), n, progress)
        writer.finish()


def write_in_background(writer: Writer, batches: Iterator[Samples], n: int, progress: Progress | None) -> None:
    """Write batches, each while the next is computed.

    Arguments:
        writer: Writes the batches; called in another thread.
        batches: Computes the batches, in order.
        n: Number of all samples.
        progress: Called after each batch with the number of samples that are written and n; None: not called.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="polydiff-writer") as pool:
        pending: Future[int] | None = None
        try:
            for samples in batches:
                if pending:
                    report(pending, n, progress)
                pending = pool.submit(writer.write, samples)
        finally:  # after Ctrl-C too, so that the reported number of samples is right
            if pending:
                report(pending, n, progress)


def report(written: Future[int], n: int, progress: Progress | None) -> None:
    """Wait until a batch is written and report the progress."""
    done = written.result()
    if progress:
        progress(done, n)


class Writer:
    """Writes batches of samples, in order.

    Arguments:
        folder: Target folder.
        domain: Writes and shows its samples.
        journal: Journal of the folder.
        n: Number of all samples.
        one_file: Whether all samples are written to one file.
    """

    def __init__(self, folder: Path, domain: Domain, journal: Journal, n: int, one_file: bool) -> None:
        self.folder, self.domain, self.journal, self.n, self.one_file = folder, domain, journal, n, one_file
        self.shown: list[Samples] = []
        self.digits = max(5, len(str(n - 1)))

    def write(self, samples: Samples) -> int:
        """Write the next samples and return how many are written in all."""
        first = self.journal.done
        save = self.append if self.one_file else self.files
        entries, sizes, arrays = save(samples, first)
        self.show(samples)
        self.journal.add(Part(first, with_conditions(self.domain, samples, entries), sizes, arrays))
        return self.journal.done

    def files(self, samples: Samples, first: int) -> tuple[list[dict[str, Any]], dict[str, int], dict[str, Any]]:
        """Write one file for each sample; it is complete before it is moved to its place."""
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
        """Append samples to the parts of the one file."""
        assert provides(self.domain, Archives)
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
        """Write show.html as soon as there are enough samples."""
        path = self.folder / SHOW
        if path.exists():
            return
        self.shown.append(samples)
        together = Samples.join(self.shown)
        if len(together) >= min(SHOWN, self.n):
            write_atomic(path, whole_page(self.domain, together.head(SHOWN)))

    def finish(self) -> None:
        """Assemble the archive, write the manifest and remove the journal."""
        arrays, texts = dict[str, Any](), set[str]()
        for part in self.journal.read():
            arrays.update(part.arrays)
            texts |= {name for name in part.sizes if name.startswith(".") and name[1:-5] not in part.arrays}
        for name in texts:
            if (self.folder / name).exists():  # missing if an earlier process has renamed it
                (self.folder / name).replace(self.folder / name[1:-5])
        if arrays:
            self.zip(arrays)
        draft = self.folder / ".manifest.tmp"
        head = {name: value for name, value in self.journal.head.items() if name != "n"}
        write_manifest(draft, head, (entry for part in self.journal.read() for entry in part.samples))
        draft.replace(self.folder / MANIFEST)
        for path in [self.folder / JOURNAL, *self.folder.glob(".*.part"), *self.folder.glob(".*.tmp")]:
            delete(path)
        shutil.rmtree(self.folder / DRAFT, ignore_errors=True)

    def zip(self, arrays: Mapping[str, tuple[str, list[int]]]) -> None:
        """Write the arrays to samples.npz without loading any of them into memory."""
        draft = self.folder / ".samples.npz.tmp"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for name, (kind, shape) in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                    header = {"descr": kind, "fortran_order": False, "shape": (self.n, *shape)}
                    np.lib.format.write_array_header_1_0(target, header)
                    with (self.folder / f".{name}.part").open("rb") as source:
                        shutil.copyfileobj(source, target, 2**20)
        draft.replace(self.folder / "samples.npz")


def plain(value: Any) -> Any:
    """Return a requested condition as JSON: an array as its shape and digest."""
    if not np.ndim(value):
        return value
    array = torch.as_tensor(value).detach().cpu().double().numpy()
    return f"array {list(array.shape)} {hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest()}"
