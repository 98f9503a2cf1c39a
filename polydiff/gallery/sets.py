"""A set of samples on disk: their files, their entries in manifest.json, and the fragment show.html."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polydiff.contract.domain import Domain, Samples
from polydiff.gallery.names import MANIFEST, SHOW
from polydiff.gallery.page import SHOWN, keep_scripts, whole_page
from polydiff.support.files import folder_atomic

SCRIPTS = "scripts"
"""Folder beside the sets of samples of a run, for the scripts that their fragments need (`contract.abilities`)."""


def write_samples(folder: Path, domain: Domain, samples: Samples, facts: Mapping[str, Any]) -> None:
    """Write samples as files, with manifest.json and the fragment show.html; whole or not at all.

    Arguments:
        folder: Target folder; an older set of the same name is replaced.
        domain: Saves and shows its samples.
        samples: What to write.
        facts: Further entries of the manifest: seed, sampler, checkpoint, ...
    """
    with folder_atomic(folder) as draft:
        entries = domain.save(samples, draft)
        write_manifest(draft / MANIFEST, facts, with_conditions(domain, samples, entries))
        (draft / SHOW).write_text(domain.show(samples), encoding="utf-8")
    keep_scripts(domain, folder.parent / SCRIPTS)


def save_samples(folder: Path, domain: Domain, samples: Samples, facts: Mapping[str, Any]) -> None:
    """Write samples as files, with manifest.json and the page show.html; whole or not at all.

    Arguments:
        folder: Target folder, absent or empty.
        domain: Saves and shows its samples.
        samples: What to write.
        facts: Further entries of the manifest.
    """
    with folder_atomic(folder) as draft:
        entries = domain.save(samples, draft)
        write_manifest(draft / MANIFEST, facts, with_conditions(domain, samples, entries))
        (draft / SHOW).write_text(whole_page(domain, samples.head(SHOWN)), encoding="utf-8")


def with_conditions(domain: Domain, samples: Samples, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the manifest's entries of samples, each with its conditions in the domain's words."""
    words = domain.describe(samples.cond) if samples.cond is not None else [{} for _ in entries]
    return [{**entry, "cond": cond} for entry, cond in zip(entries, words, strict=True)]


def write_manifest(path: Path, facts: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> None:
    """Write a manifest: facts about all samples, then one line for each; one entry is in memory at a time."""
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({**facts, "samples": []}, indent=1).removesuffix("]\n}"))
        for i, entry in enumerate(entries):
            file.write(("," if i else "") + "\n  " + json.dumps(entry))
        file.write("\n ]\n}\n")
