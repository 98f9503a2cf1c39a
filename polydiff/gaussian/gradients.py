"""Gradients with respect to states, in whatever gradient mode the caller is.

Likelihoods by the flow, classifier guidance and inverse problems differentiate a network inside a computation that may
run under `torch.no_grad()` or `torch.inference_mode()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.support.errors import UserError


@contextmanager
def gradients(create: bool = True) -> Iterator[None]:
    """Return a context that records gradients, also inside `torch.inference_mode()`.

    Arguments:
        create: Whether gradients are recorded; False: only inference mode is left.

    Raises:
        UserError: A tensor of the space or a weight was created in inference mode, so torch cannot differentiate.
    """
    try:
        with torch.inference_mode(False), torch.set_grad_enabled(create):
            yield
    except RuntimeError as error:
        if "nference tensor" not in str(error):
            raise
        raise UserError(
            "A gradient is needed of tensors that were created inside torch.inference_mode(). Load the model and "
            "create the space and the conditions outside of it, or use torch.no_grad() instead."
        ) from error


def plain(x: Tensor) -> Tensor:
    """Return x, or a copy that autograd can use if x was created in inference mode; call it within `gradients`."""
    return x.clone() if x.is_inference() else x


def plain_condition(cond: Condition | None) -> Condition | None:
    """Return conditions whose tensors autograd can use; call it within `gradients`."""
    return None if cond is None else {name: plain(value) for name, value in cond.items()}


def variable(x: Tensor) -> Tensor:
    """Return a detached tensor with the values of x that requires gradients; call it within `gradients`."""
    return plain(x).detach().requires_grad_()
