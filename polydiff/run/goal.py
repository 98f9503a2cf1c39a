"""What a run is to do that its checkpoints, which are never rewritten, do not hold: files beside them.

goal.json        {"from": 2000, "steps": 5000}: resumed at step 2000 to train to step 5000
after.json       {"evaluated": 256}: number of samples that the command line evaluates after the last step

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
    """Return the last step of a run, by a later request to train longer or by its configuration.

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


def write_evaluated_after(run: Run, samples: int) -> None:
    """Keep the number of samples that the command line evaluates after training, 0 for none."""
    write_atomic(run.after, json.dumps({"evaluated": samples}) + "\n")


def evaluated_after(run: Run, default: int) -> int:
    """Return the number of samples to evaluate after training, `default` if the run does not hold it."""
    saved = read_json(run.after)
    if not saved:
        return default
    samples = saved.get("evaluated")
    if not (type(samples) is int and samples >= 0):
        raise UserError(f"{run.after} should hold a number of samples, evaluated. Delete it, or set --judge N.")
    return samples
