"""A network of which each process holds a part: its weights, their average and the optimizer's state.

The weights of a layer are gathered from all processes when it computes, and freed again. Its gradients are averaged
over processes, of which each keeps those of its part (Zhao et al., FSDP, 2023, https://arxiv.org/abs/2304.11277;
Rajbhandari et al., ZeRO, 2020, https://arxiv.org/abs/1910.02054). What is learned beside the backbone, such as a noise
schedule, is small: each process holds all of it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import nn

from polydiff.machine.processes.shards import divided, gathered
from polydiff.machine.ranks import Ranks
from polydiff.support.errors import UserError

M = TypeVar("M", bound=nn.Module)
SIZES = 64
"""Number of kinds of layers and inputs for which torch compiles the method of a layer before it gives up."""


@dataclass
class Sharding:
    """How processes divide the weights of a backbone and their average.

    Arguments:
        units: Names of the classes of the layers that are gathered one at a time; all else is gathered at once.
        world: Number of processes.
        compiled: Whether the layers are compiled.
    """

    units: Collection[str]
    world: int
    compiled: bool = False
    form: nn.Module = field(init=False)

    def divide(self, module: nn.Module, average: nn.Module) -> None:
        """Leave to this process its part of a module, which has a `backbone`, and of its average; all must call it."""
        self.form = form_of(average)
        shard(average, self.units, self.world, trained=False)
        if self.compiled:
            compile_layers(module, self.units)
        shard(module, self.units, self.world, trained=True)

    def whole(self, average: M) -> M:
        """Return the average as a whole module, in evaluation mode; all processes must call this."""
        found = copy.deepcopy(self.form)
        own = average.state_dict()
        weights = {name: x.clone() if x is own[name] else x for name, x in gathered(own)}
        found.load_state_dict(weights, assign=True)
        return cast(M, found.requires_grad_(False))


def shard(module: nn.Module, units: Collection[str], world: int, trained: bool) -> None:
    """Leave to this process its part of the weights of the backbone of a module; all processes must call this.

    Arguments:
        module: What is trained, or its average; it has a `backbone`.
        units: Names of the classes of the layers that are gathered one at a time. All else is gathered at once.
        world: Number of processes.
        trained: Whether a backward pass follows each forward pass, before which the weights need not be freed.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(module.parameters()).device.type, (world,))
    for layer in reversed(layers(module, units)):  # the inner ones first
        fully_shard(layer, mesh=mesh)
    fully_shard(backbone_of(module), mesh=mesh, reshard_after_forward=None if trained else True)


def backbone_of(module: nn.Module) -> nn.Module:
    """Return the backbone of a module that is trained."""
    return module.get_submodule("backbone")


def layers(module: nn.Module, units: Collection[str]) -> list[nn.Module]:
    """Return the layers of the backbone of a module whose classes have these names; UserError if there are none."""
    backbone = backbone_of(module)
    found = [layer for layer in backbone.modules() if type(layer).__name__ in units and layer is not backbone]
    if not found:
        raise UserError(
            f"launch.strategy=fsdp: the network {type(backbone).__name__} has no layer of a class that its backbone "
            f"names as a unit ({', '.join(sorted(units))}). Set launch.strategy=ddp."
        )
    return found


def compile_layers(module: nn.Module, units: Collection[str]) -> None:
    """Compile the layers of a backbone that is to be sharded; weights are gathered outside of what is compiled."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SIZES)  # of a whole process
    for layer in layers(module, units):
        layer.forward = torch.compile(layer.forward)


def form_of(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose parameters have no values and take no memory."""
    empty: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False) for p in module.parameters()
    }
    return copy.deepcopy(module, empty)


def average_rest(parameters: Iterable[nn.Parameter], together: Ranks) -> None:
    """Average over processes the gradients of parameters that are not sharded, beside those that are."""
    for p in parameters:
        if not divided(p) and p.grad is not None:
            p.grad = together.mean(p.grad)
