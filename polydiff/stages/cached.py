"""Posteriors of the codes of all training examples, computed once and kept in the cache (`train.codes=cache`).

    $POLYDIFF_CACHE/codes/DIGEST/mean.npy, log_variance.npy   float32 (N, K, ...), of codes that are not scaled
                                 manifest.json                their SHA-256 digests, and what they were made of

The name is a digest of all that determines the codes: the identity of the examples, the keys of `data`, the statistics
by which examples become states, and the autoencoder. A folder whose files do not match its manifest is made again.
Folders are written atomically, so a stop leaves none that is half written.

Symbols: N training examples, K channels of a code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polydiff.contract.data.identity import digest_of, identity_of
from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.encode.codes import CodeSpace
from polydiff.stages.codec import AT_ONCE, LearnedCodec
from polydiff.support.disk import cache_dir
from polydiff.support.errors import UserError
from polydiff.support.files import folder_atomic
from polydiff.support.progress import announce, counted
from polydiff.support.replace import remove_drafts

MOST = 8 * 2**30
"""Largest number of bytes of the posteriors of a data set that are kept."""
VERSION = 1
"""Number of the rules by which posteriors are computed and stored; another one makes all stored ones invalid."""
ARRAYS, MANIFEST = ("mean", "log_variance"), "manifest.json"


@dataclass(frozen=True)
class Posteriors:
    """Mean and log variance of the codes of each training example, in files that are mapped to memory.

    Arguments:
        mean: float32 (N, K, ...).
        log_variance: float32 (N, K, ...).
    """

    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32]

    def rows(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes of some examples, (B, K, ...) each."""
        rows = list(indices)
        return torch.from_numpy(np.asarray(self.mean[rows])), torch.from_numpy(np.asarray(self.log_variance[rows]))


def posteriors(config: Config, domain: Domain, codec: LearnedCodec) -> Posteriors:
    """Return the posteriors of the codes of a domain's training examples: from the cache, or computed now.

    Arguments:
        config: Configuration of the run, whose section `data` determines the examples.
        domain: Gives the examples.
        codec: Encodes them.

    Raises:
        UserError: The examples are too many, more than the run sees, not the same each time, or not distinguished from
            others; or the cache cannot be written.
    """
    space = codec.space(domain.blank(streams(0, "blank", [0]), {})[0])
    if not isinstance(space, CodeSpace):
        raise UserError("train.codes=cache keeps codes of one size, and molecules differ. Leave out train.codes=cache.")
    shape = (domain.size("train"), *space.shape)
    check_size(shape)
    folder = cache_dir() / "codes" / digest_of([json.dumps(key_of(config, domain, codec), sort_keys=True)])
    found = stored(folder, shape)
    if found is not None:
        announce(f"Codes of the training examples are read from {folder}.")
        return found
    check_seen(config, shape[0])
    try:
        write(folder, shape, domain, codec)
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold the codes of the training examples ({error.strerror or error}). Free space there, "
            "set POLYDIFF_CACHE to a folder that can be written, or leave out train.codes=cache."
        ) from error
    found = stored(folder, shape)
    if found is None:
        raise UserError(f"{folder} was changed while the codes of the training examples were written. Start again.")
    return found


def check_size(shape: Sequence[int]) -> None:
    """Raise UserError if the posteriors of codes of this shape (N, K, ...) need more than `MOST` bytes."""
    need = len(ARRAYS) * np.dtype(np.float32).itemsize * prod(shape)
    if need > MOST:
        raise UserError(
            f"train.codes=cache: the codes of {shape[0]:,} training examples need {need / 2**30:,.1f} GiB, more than "
            f"the {MOST / 2**30:.0f} GiB that are kept. Leave out train.codes=cache."
        )


def check_seen(config: Config, size: int) -> None:
    """Raise UserError if a run sees fewer examples than there are, as of unlimited data: caching would encode more.

    Arguments:
        config: Configuration of the run.
        size: Number of training examples.
    """
    seen = config.train.steps * config.train.batch_size
    if seen < size:
        raise UserError(
            f"train.codes=cache would encode {size:,} training examples, but {config.train.steps:,} steps of "
            f"{config.train.batch_size:,} see {seen:,}. Leave it out: each is then encoded when it is seen."
        )


def key_of(config: Config, domain: Domain, codec: LearnedCodec) -> dict[str, Any]:
    """Return all that determines the posteriors, as JSON; raise UserError if the examples have no identity."""
    examples = identity_of(domain)
    if examples is None:
        raise UserError(
            f"train.codes=cache: the domain {config.domain} does not identify its examples, so their codes cannot "
            "be found again. Leave out train.codes=cache."
        )
    return {
        "version": VERSION,
        "domain": config.domain,
        "examples": examples,
        "data": config.data.model_dump(mode="json"),
        "statistics": dict(domain.statistics),
        "codec": [codec.part.sha256, codec.part.state["config"]["backbone"]],
    }


def write(folder: Path, shape: tuple[int, ...], domain: Domain, codec: LearnedCodec) -> None:
    """Compute the posteriors (N, K, ...) of a domain's training examples and write them to a folder of the cache."""
    announce(f"Codes of {shape[0]:,} training examples are computed once and kept in {folder}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder.parent)
    with folder_atomic(folder) as draft:
        files = [np.lib.format.open_memmap(path_of(draft, name), "w+", np.float32, shape) for name in ARRAYS]
        for first in counted("batches encoded", -(-shape[0] // AT_ONCE), range(0, shape[0], AT_ONCE)):
            indices = range(first, min(first + AT_ONCE, shape[0]))
            x, space, _ = fixed(domain, indices)
            codes = codec.posterior(x, space)
            for file, values in zip(files, (codes.mean, codes.log_variance), strict=True):
                file[first : indices.stop] = values.cpu().numpy()
        for file in files:
            file.flush()
        digests = {name: digest_of_file(path_of(draft, name)) for name in ARRAYS}
        (draft / MANIFEST).write_text(json.dumps({"shape": shape, "sha256": digests}, indent=1) + "\n")


def fixed(domain: Domain, indices: Sequence[int]) -> Batch:
    """Return training examples as states; raise UserError unless they are the same each time."""
    a, b = (domain.batch("train", indices, streams(seed, "codes", indices)) for seed in (0, 1))
    if changed := [i for i, x, y in zip(indices, a.x, b.x, strict=True) if not torch.equal(x, y)]:
        raise UserError(
            f"train.codes=cache needs training examples that are the same each time, but example {changed[0]} is "
            "cropped, flipped or changed at random. Leave out train.codes=cache, or these changes."
        )
    return a


def stored(folder: Path, shape: tuple[int, ...]) -> Posteriors | None:
    """Return the posteriors (N, K, ...) in a folder of the cache; None if they are missing or damaged."""
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        if any(digest_of_file(path_of(folder, name)) != manifest["sha256"][name] for name in ARRAYS):
            return None
        arrays = {name: np.load(path_of(folder, name), mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    fits = all(array.shape == shape and array.dtype == np.float32 for array in arrays.values())
    return Posteriors(**arrays) if fits else None


def path_of(folder: Path, name: str) -> Path:
    """Return the file of an array."""
    return folder / f"{name}.npy"


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
