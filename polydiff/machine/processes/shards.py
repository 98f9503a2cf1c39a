"""Tensors of which each process holds a part of the rows, as `torch.distributed.fsdp.fully_shard` makes of weights.

Such a tensor is a `DTensor`, whose shape is that of the whole. Of n rows, each process but the last ones holds n / W
rounded up. The functions here take other tensors too, as they are.

Symbols: W number of processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional
from torch.nn.utils import get_total_norm

from polydiff.machine.ranks import noticed

BUNDLE = 2**24
"""Numbers that one exchange gathers: enough to be fast, few beside a network that needs to be divided."""


def divided(x: Tensor) -> TypeGuard[Any]:
    """Return whether each process holds a part of a tensor only."""
    module = sys.modules.get("torch.distributed.tensor")  # it takes a second to import, and is if there is a DTensor
    return module is not None and isinstance(x, module.DTensor)


@torch.no_grad()
def local(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return this process's part of each tensor, in the same memory, so that a change of a part changes the tensor."""
    return [x.to_local() if divided(x) else x for x in tensors]


def by_kind(tensors: Iterable[Tensor]) -> list[list[Any]]:
    """Return tensors in lists of those that are divided and those that are not, which torch cannot take together."""
    known = list(tensors)
    kinds = [[x for x in known if divided(x)], [x for x in known if not divided(x)]]
    return [kind for kind in kinds if kind]


def placed(x: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor, which all processes have, on the device of another of its shape, divided as that one."""
    x = x.to(like.device)
    if not divided(like):
        return x
    from torch.distributed.tensor import distribute_tensor

    found: Tensor = distribute_tensor(x, like.device_mesh, like.placements, src_data_rank=None)
    return found


@torch.no_grad()
def whole(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of one type of numbers with the parts of all processes, which must all call this."""
    parted = [x for x in tensors if divided(x)]
    if not parted:
        return list(tensors)
    group = parted[0].device_mesh.get_group()
    world = dist.get_world_size(group)
    rows = [-(-x.shape[0] // world) for x in parted]
    parts = [
        functional.pad(part, (0, 0) * (part.ndim - 1) + (0, n - len(part)))
        for part, n in zip(local(parted), rows, strict=True)
    ]
    sent = torch.cat([part.flatten() for part in parts])
    received = sent.new_empty(world * len(sent))
    with noticed():
        dist.all_gather_into_tensor(received, sent, group=group)
    columns = received.reshape(world, -1).split([part.numel() for part in parts], 1)
    full = (column.reshape(-1, *x.shape[1:])[: x.shape[0]] for x, column in zip(parted, columns, strict=True))
    return [next(full) if divided(x) else x for x in tensors]


def gathered(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield named tensors whole, of which few at a time take memory; all processes must use it up."""
    yield from ((name, x) for name, x in tensors.items() if not divided(x))
    for names in bundles({name: x for name, x in tensors.items() if divided(x)}):
        yield from zip(names, whole([tensors[name] for name in names]), strict=True)


def bundles(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the names of tensors in lists of one type of numbers, and of at most `BUNDLE` numbers or one tensor."""
    found: list[list[str]] = []
    for dtype in dict.fromkeys(x.dtype for x in tensors.values()):
        size = BUNDLE
        for name, x in tensors.items():
            if x.dtype == dtype:
                if size + x.numel() > BUNDLE:
                    found.append([])
                    size = 0
                found[-1].append(name)
                size += x.numel()
    return found


def kept(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Return named tensors whole, those that were divided on the CPU, in their order; all processes must call this.

    Arguments:
        tensors: Name -> tensor.
        keep: Whether this process wants them; if not, {} is returned.
    """
    found = {name: x.cpu() if divided(tensors[name]) else x for name, x in gathered(tensors) if keep}
    return {name: found[name] for name in tensors} if keep else {}


@torch.no_grad()
def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the norm of tensors taken together, (); all processes must call this."""
    norms = []
    for kind in by_kind(tensors):
        own = get_total_norm(local(kind))
        if divided(kind[0]):
            total = own.square()
            with noticed():
                dist.all_reduce(total, group=kind[0].device_mesh.get_group())
            own = total.sqrt()
        norms.append(own)
    return norms[0] if len(norms) == 1 else get_total_norm(norms)  # of none: 0
