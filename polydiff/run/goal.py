"""The last step of a run that is resumed to train longer: a file beside its checkpoints, which are never rewritten.

goal.json   {"from": 2000, "steps": 5000}: resumed at step 2000 to train to step 5000

Checkpoints after "from" hold the new number of steps themselves, so the file matters until the first of them is
written.
"""

from __future__ import annotations

import json

from polydiff.run.folder import Run
from polydiff.support.errors import UserError
from polydiff.support.files import read_json, write_atomic


def write_goal(run: Run, done: int, steps: int) -> None:
    """Keep the number of steps that a run is resumed to train to.

    Arguments:
        run: The run.
        done: Steps of the checkpoint from which it is resumed.
        steps: Its new last step.
    """
    write_atomic(run.goal, json.dumps({"from": done, "steps": steps}) + "\n")


def planned_steps(run: Run, done: int, steps: int) -> int:
    """Return the last step of a run, by a later wish to train longer or by its configuration.

    Arguments:
        run: The run.
        done: Steps of its newest checkpoint.
        steps: `train.steps` of the configuration in that checkpoint.
    """
    goal = read_json(run.goal)
    if not goal:
        return steps
    begun, wanted = goal.get("from"), goal.get("steps")
    if not (type(begun) is int and type(wanted) is int and 0 < begun <= wanted):
        raise UserError(f"{run.goal} should hold two numbers of steps, from and steps. Delete it.")
    return wanted if done <= begun else steps
