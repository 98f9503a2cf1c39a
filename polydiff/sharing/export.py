"""Export a run or a pipeline as a folder that can be given away, with a model card and a few samples.

What the folder holds is checked by use: the samples of its card are drawn by the exported model, not by the run.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from polydiff.contract.abilities import Converts
from polydiff.contract.domain import Samples
from polydiff.core.process.sampling import Generates
from polydiff.gallery.names import MANIFEST
from polydiff.gallery.sets import with_conditions, write_manifest
from polydiff.hub.download import local
from polydiff.hub.files import CARD, DRAWN, PICTURE, PIPELINE, SAMPLES
from polydiff.model.model import Model
from polydiff.pipeline.chain import Chain, check_stage, load
from polydiff.pipeline.file import Stage
from polydiff.pipeline.folder import STAGES, PipelineFolder
from polydiff.report.tables import read_evaluation
from polydiff.run.checkpoint import checkpoint_path
from polydiff.run.folder import ResultsFolder, is_pipeline, part_path, run_of, step_of
from polydiff.run.parents import open_parent
from polydiff.sharing.card import card
from polydiff.sharing.portable import Encoders, without_folders, write_model
from polydiff.support.errors import UserError, as_path, check_whole
from polydiff.support.files import check_free, folder_atomic, quoted
from polydiff.support.progress import log
from polydiff.support.protocols import provides

IN_USE = "Choose another -o."
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


def export(path: Path | str, folder: Path | str, *, license: str = "", samples: int = SAMPLES, name: str = "") -> Path:
    """Write an exported model of a run or a pipeline to a new or empty folder, and return its path.

    Arguments:
        path: Folder of a run (its newest checkpoint), of one of its checkpoints, of a pipeline or of an exported
            model, or a model on the hub.
        folder: The new folder.
        license: Identifier of the licence, such as "apache-2.0"; "": not stated.
        samples: Number of samples to draw for the card; 0: none.
        name: What the commands of the card call the model; "": the name of the folder.

    Raises:
        UserError: The run is missing, damaged or not trained, needs another one that is missing, or the folder is
            in use.
    """
    source, target = local(as_path("path", path)), as_path("folder", folder).expanduser().absolute()
    check_whole("samples", samples, least=0)
    if license and not LICENSE.fullmatch(license):
        raise UserError(f"license={license!r} should be an identifier of a licence, such as apache-2.0 or cc-by-4.0.")
    if step_of(target) is not None:
        raise UserError(f"{folder} has the name of a checkpoint. Choose another -o.")
    check_free(target, IN_USE)
    with folder_atomic(target, new=IN_USE) as draft:
        if is_pipeline(source):
            write_pipeline(source, draft)
        else:
            write_model(checkpoint_path(source), draft, Encoders(draft))
        model = load(draft)
        result = kept_evaluation(source, draft, model)
        drawn = draw(model, draft, samples)
        (draft / CARD).write_text(card(model, draft, name or target.name, license, result, drawn), encoding="utf-8")
    return target


def write_pipeline(path: Path, place: Path) -> None:
    """Write a pipeline as exported models, with its file.

    Arguments:
        path: Folder of the pipeline.
        place: Folder of the exported pipeline, which is empty.
    """
    folder, encoders = PipelineFolder.open(path), Encoders(place)
    stages: dict[str, Stage] = {}
    for name, run in folder.runs.items():
        check_stage(folder, name, run)
        found = write_model(checkpoint_path(run), place / STAGES / name, encoders)
        stages[name] = Stage(run=(place / STAGES / name).resolve(), sha256=found["sha256"])
    sample = {name: dict(how) for name, how in folder.pipeline.sample.items()}
    for name, how in sample.items():
        if (guide := how.get("guide")) is not None and guide not in stages:
            copy = part_path(Path(), f"{name}-guide")
            write_model(open_parent(f"sample.{name}.guide", Path(guide)).checkpoint, place / copy, encoders, part=True)
            how["guide"] = str(copy)
    pipeline = replace(folder.pipeline, stages=stages, sample=sample, common={})
    (place / PIPELINE).write_text(pipeline.text(place), encoding="utf-8")


def kept_evaluation(source: Path, place: Path, model: Model | Chain) -> dict[str, Any]:
    """Copy the evaluation of a run or a pipeline and return it; {} if there is none of the exported steps.

    Arguments:
        source: Folder of the run, of its checkpoint, or of the pipeline.
        place: Folder of the exported model.
        model: The exported model.
    """
    folder = ResultsFolder(source if is_pipeline(source) else run_of(source).path)
    result: dict[str, Any] = without_folders(read_evaluation(folder))
    if not result:
        return {}
    judged = result.get("stage_steps") or result.get("step")
    steps = {name: facts["step"] for name, facts in model.facts["stages"].items()} if isinstance(model, Chain) else None
    if judged != (steps or model.facts["step"]):
        again = f"polydiff eval {quoted(folder.path)}"
        log(f"The evaluation is not of the exported weights, so the card shows no numbers. Measure them: {again}")
        return {}
    ResultsFolder(place).evaluation.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def draw(model: Model | Chain, place: Path, n: int) -> Samples | None:
    """Draw the first n samples of the seed 0, write them and a picture of them, and return them; None: none can be.

    Arguments:
        model: The exported model.
        place: Its folder.
        n: Number of samples.
    """
    if n == 0 or model.restores or (isinstance(model, Model) and not provides(model.process, Generates)):
        return None
    try:
        samples = model.sample(n, seed=0)
    except UserError as error:  # such as a stage that needs the examples of an earlier one
        log(f"The card shows no samples: {error}")
        return None
    domain, folder = model.domain, place / DRAWN
    entries = domain.save(samples, folder)
    facts = dict(samples.origin.facts) if samples.origin else {}
    write_manifest(folder / MANIFEST, without_folders(facts), with_conditions(domain, samples, entries))
    if provides(domain, Converts) and "png" in domain.converters():
        (place / PICTURE).write_bytes(samples.to("png"))
    return samples
