"""The origin of samples: the domain and the facts with which they are saved, shown and converted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from polydiff.contract.domain import Domain, Samples
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.gallery.sets import save_samples
from polydiff.gallery.writer import plain
from polydiff.support.files import check_free

if TYPE_CHECKING:
    from polydiff.model.model import Model


@dataclass(frozen=True)
class ModelOrigin:
    """Origin of the samples that a model returned (`polydiff.contract.domain.Origin`).

    Arguments:
        domain: Saves, shows and converts them.
        facts: Entries of manifest.json.
    """

    domain: Domain
    facts: Mapping[str, Any]

    def save(self, samples: Samples, folder: Path) -> None:
        """Write samples to a new or empty folder; raise UserError if the folder holds files."""
        place = folder.expanduser().resolve()
        check_free(place, "Choose another folder.")
        save_samples(place, self.domain, samples, self.facts)


def drawn(model: Model, how: SampleConfig, seed: int, cond: Mapping[str, Any] | None, **further: Any) -> ModelOrigin:
    """Return the origin of samples that a model drew.

    Arguments:
        model: What drew them.
        how: Section `sample` that was used.
        seed: Random seed.
        cond: Requested conditions; None: none.
        further: Facts about an edit, such as its strength.
    """
    requested = {name: plain(value) for name, value in (cond or {}).items()}
    facts = {**model.facts, "seed": seed, "requested": requested}
    return ModelOrigin(model.domain, {**facts, **how.model_dump(mode="json"), **further})


def given_to(model: Model) -> ModelOrigin:
    """Return the origin of examples that a model was given, or of noise: only its domain is known."""
    return ModelOrigin(model.domain, {"domain": model.config.domain})


def digest(network: nn.Module) -> str:
    """Return a digest of a network's weights."""
    hashed = hashlib.blake2b(digest_size=8)
    for name, value in sorted(network.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
