"""Whether a training step fits in the memory there is, before a batch is made.

What a step needs is measured on a batch of two examples, for runs whose batches are so large that it could matter.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from polydiff.contract.domain import Domain
from polydiff.contract.sections.run import Config
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.machine.device import pick_device
from polydiff.machine.memory import available
from polydiff.machine.ranks import ranks
from polydiff.run.memory_check import NUMBER, grown, mib
from polydiff.support.errors import UserError
from polydiff.training.steps import begin, records_of

LEAST, USUAL = 4, 1000
"""Copies of a state that every step holds, and that a step of a deep network holds for its gradient."""


def check_batch(config: Config, domain: Domain) -> None:
    """Raise `UserError` if a training step of this configuration does not fit in the memory there is.

    Arguments:
        config: Configuration of the run.
        domain: Its domain, with the data.
    """
    device = pick_device(config.device)
    free = ranks().agree(available(device))
    examples = -(-config.train.batch_size // (config.train.accumulate * ranks().world))
    one = domain.batch("train", [0], streams(config.seed, "memory", [0]))
    if not isinstance(one, Batch):
        raise UserError(f"The domain {config.domain} returned a {type(one).__name__} in place of a `polydiff.Batch`.")
    numbers = float(one.space.dim.max())
    state = numbers * NUMBER / 2**20
    if examples * state * LEAST > free:
        raise too_large(config, examples, state * LEAST, free, device)
    if examples * state * USUAL > free:
        per_example = saved_by_example(config, domain)
        if examples * per_example > free:
            raise too_large(config, examples, per_example, free, device)


def too_large(config: Config, examples: int, per_example: float, free: float, device: torch.device) -> UserError:
    """Return the error for a step that does not fit.

    Arguments:
        config: Configuration of the run.
        examples: Examples that are computed at once.
        per_example: Memory of one of them, in MiB.
        free: Memory there is, in MiB.
        device: Where the run trains.
    """
    fit = int(free / per_example) * config.train.batch_size // examples
    if fit < 1:
        advice = f"Lower {grown(config)}."
    else:
        advice = f"Lower train.batch_size to {fit} or less, or raise train.accumulate, which gives the same steps."
    return UserError(
        f"train.batch_size={config.train.batch_size}: a step does not fit in memory: it needs at least "
        f"{mib(examples * per_example)}, {mib(per_example)} an example, and {mib(free)} are available on {device}. "
        f"{advice}"
    )


def saved_by_example(config: Config, domain: Domain) -> float:
    """Return the memory that a step keeps for the gradient, in MiB an example, measured on a batch of two."""
    how = {"batch_size": 2 * ranks().world, "accumulate": 1, "compile": False, "workers": 0}
    two = config.train.model_copy(update=how)
    small = config.model_copy(update={"train": two})
    training, kept = begin(small, domain), dict[int, int]()
    weights = {tensor.data_ptr() for tensor in training.module.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        next(records_of(small, domain, training, steps=1))
    return sum(kept.values()) / 2 / 2**20
