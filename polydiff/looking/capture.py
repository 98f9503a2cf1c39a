"""Hooks that listen to a network while a context is open, and are removed when it ends.

A hook computes beside the network and returns nothing, so the network's outputs are the same bits with it and without
it. Outside of the context no hook exists, and nothing of this module is in the path of sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.contract.backbone import Attends, AttentionMap, Sends
from polydiff.support.protocols import provides

Listener = Callable[[str, nn.Module, tuple[Any, ...], Any], None]
"""Is called with the name of a layer, the layer, its inputs and its output."""


@contextmanager
def listening(layers: Mapping[str, nn.Module], listener: Listener) -> Iterator[None]:
    """Call a function after each call of some layers while the context is open.

    Arguments:
        layers: Name -> layer.
        listener: The function; it runs without gradients.
    """

    def hook(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        with torch.no_grad():
            listener(name, layer, inputs, output)

    hooks = [layer.register_forward_hook(partial(hook, name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def attending_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a network that show their attention, by name, in the order of their definition."""
    layers = dict(network.named_modules())
    return {name: layers[name] for name, layer in layers.items() if provides(layer, Attends)}


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[dict[str, AttentionMap]]:
    """Collect the attention weights of a network's layers while the context is open: name of a layer -> latest map."""
    found: dict[str, AttentionMap] = {}

    def keep(name: str, layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        found[name] = layer.attention_map(*inputs)

    with listening(attending_layers(network), keep):
        yield found


def sending_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a network of graphs that show their messages, by name, in the order of their definition."""
    layers = dict(network.named_modules())
    return {name: layers[name] for name, layer in layers.items() if provides(layer, Sends)}


@contextmanager
def message_matrices(network: nn.Module) -> Iterator[dict[str, Sequence[Tensor]]]:
    """Collect the norms of messages of a network's layers while the context is open: name of a layer -> latest ones."""
    found: dict[str, Sequence[Tensor]] = {}

    def keep(name: str, layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        found[name] = layer.message_sizes(*inputs)

    with listening(sending_layers(network), keep):
        yield found


@contextmanager
def outputs(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of layers while the context is open: name of a layer -> latest output.

    Of a layer that returns several tensors this is the first; others are left out.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor):
            found[name] = first

    with listening(layers, keep):
        yield found
