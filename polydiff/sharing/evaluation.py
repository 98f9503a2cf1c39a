"""The evaluation of an exported model: evaluation.json in its folder, and the section of its card with the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polydiff.hub.files import CARD, EVALUATION
from polydiff.judging.result import write_evaluation
from polydiff.pipeline.folder import PipelineFolder
from polydiff.report.tables import SAMPLING, read_evaluation, score
from polydiff.run.folder import Run
from polydiff.sharing.markdown import cell, table
from polydiff.sharing.portable import without_folders
from polydiff.support.errors import UserError, amount
from polydiff.support.files import write_atomic
from polydiff.support.progress import log


def keep_evaluation(folder: Run | PipelineFolder, result: Mapping[str, Any]) -> None:
    """Keep an evaluation in the folder of a run or a pipeline; the card of an exported one then shows its numbers.

    The card is not changed if its section on the evaluation is not as it was written, since it was edited by hand.

    Arguments:
        folder: The folder.
        result: The evaluation, as JSON.
    """
    if not folder.exported:
        write_evaluation(folder, result)
        return
    try:
        before = section(read_evaluation(folder))
    except UserError:  # the file is damaged, and is replaced
        before = section({})
    own = without_folders(dict(result))
    write_evaluation(folder, own)
    card = folder.path / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    if before in text:
        write_atomic(card, text.replace(before, section(own), 1))
        log(f"{card} shows these numbers.")
    else:
        log(f"{card} was edited or is missing, and stays as it is. The numbers are in {folder.evaluation}.")


def section(result: Mapping[str, Any]) -> str:
    """Return the section with the numbers of an evaluation, each beside that of real data and of noise.

    Arguments:
        result: The evaluation; {}: there is none.
    """
    if not result:
        return "## Evaluation\n\nThis model was not evaluated. Judge it before use.\n"
    based = bool(result.get("baseline"))
    rows = []
    for key, row in result.get("metrics", {}).items():
        found = score(key, row)
        value = f"{found.value} {found.unit}".strip()
        about = f"{found.meaning} ({found.better} is better)" if found.better else found.meaning
        rows.append((f"`{key}`", value, *([found.baseline] if based else []), found.data, found.noise, about))
    what = str(result.get("what", "samples"))
    head = ("metric", what, *(["baseline"] if based else []), "real data", "noise", "meaning")
    how = "".join(f", {key} {result[key]}" for key in SAMPLING if result.get(key) is not None)
    how += "".join(f", {cell(f'{name}={value}')}" for name, value in (result.get("cond") or {}).items())
    note = (
        "Real data are held-out examples, the ceiling; noise is the floor. The judges share no weights with the model. "
        f"Measured on {amount(int(result['n']), what.removesuffix('s'))}, seed {result['seed']}{how}; other settings "
        f"change the numbers. All of them: [{EVALUATION}]({EVALUATION})."
    )
    return f"## Evaluation\n\n{table(head, rows)}\n{note}\n"
