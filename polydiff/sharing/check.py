"""Checks that the folder of an exported model is whole, without building a network."""

from __future__ import annotations

from pathlib import Path

from polydiff.contract.text.encoded import digest_of
from polydiff.hub.files import ENCODER
from polydiff.pipeline.chain import check_stage
from polydiff.pipeline.folder import PipelineFolder
from polydiff.run.folder import PARTS, Run, is_pipeline
from polydiff.run.reading import EXPORTED, damaged, read_checked, read_manifest, read_state_file, with_folders


def check_files(folder: Path) -> None:
    """Raise UserError if a file of an exported model or pipeline, or of a model in it, is missing or damaged."""
    if is_pipeline(folder):
        found = PipelineFolder.open(folder)
        for name, run in found.runs.items():
            check_stage(found, name, run)
            check_files(run)
    else:
        check_model(folder)
    parts = folder / PARTS
    for part in sorted(parts.iterdir()) if parts.is_dir() else ():
        if part.is_dir() and not part.name.startswith(ENCODER):
            check_files(part)


def check_model(folder: Path) -> None:
    """Raise UserError unless the files of an exported model are those of its manifest, and its text encoders too."""
    Run.open(folder)
    manifest = read_manifest(folder, EXPORTED, EXPORTED)
    for name in EXPORTED:
        read_checked(folder, manifest, name)

    def check_encoder(place: str, digest: str) -> str:
        if not Path(place).is_dir():
            raise damaged(folder, f"the text encoder {place} is missing")
        if digest_of(Path(place)) != digest:
            raise damaged(folder, f"the files of the text encoder {place} are not those of training")
        return place

    with_folders(read_state_file(folder, manifest)["statistics"], check_encoder)
