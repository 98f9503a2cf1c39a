"""Backbones: the spec that a plugin registers, and the network built from a configuration.

A backbone is found through the entry-point group `polydiff.backbones`. Its entry point names a `BackboneSpec`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from polydiff.contract.discover import discover, load, load_spec, require
from polydiff.contract.spec import API
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from polydiff.contract.sections.network import BackboneConfig
    from polydiff.contract.sections.run import Config
    from polydiff.core.conditions import Declared

DATA = {0: "vectors", 1: "waveforms", 2: "images", 3: "atoms in space"}
"""Dimensions, as `build_backbone` counts them -> the data that have them."""
PAIRS = "pairs"
"""Word in `BackboneSpec.takes` of a network with numbers of pairs of atoms."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A backbone's metadata: everything that polydiff lists without importing the network.

    Arguments:
        name: Value of `backbone.name` that selects it; also the name of its entry point.
        summary: Description of one line.
        config: "module:Class" of its configuration, a `contract.sections.network.BackboneConfig` that imports no torch.
        factory: "module:Class" of the network, called as factory(config, channels=, dims=, conditions=).
        dims: Kinds of data that it accepts, as `build_backbone` counts them; (): any.
        takes: What it accepts beyond the state: "pairs", numbers of pairs of atoms such as bonds, which it takes as the
            argument `edges` and returns beside the state. Its factory then has the argument `pairs`, how many these
            are.
        units: Names of the classes of its layers whose weights are gathered one layer at a time where processes hold
            a part of the weights each (`launch.strategy=fsdp`); (): it cannot be divided so.
        role: "denoiser"; "codec" for a network that `learn=encode` trains; "tower" for one of `learn=match`.
        requires: Modules that it needs beyond polydiff's own dependencies.
        install: Command that installs missing modules.
        examine: "module:function" that returns `polydiff.contract.discover.Finding`s for `polydiff doctor`; "": none.
        api: Version of the plugin interface.
    """

    kind: ClassVar[str] = "backbone"

    name: str
    summary: str
    config: str
    factory: str
    dims: Sequence[int] = ()
    takes: Collection[str] = ()
    units: Collection[str] = ()
    role: str = "denoiser"
    requires: Sequence[str] = ()
    install: str = ""
    examine: str = ""
    api: int = API


class AttentionMap(NamedTuple):
    """Weights with which the places of a layer attend to tokens of conditions and to places.

    Attributes:
        weights: Softmax over the M keys, (B, heads, N, M), for each place of a grid.
        sizes: Places along each axis of the grid, whose product is N: (W,) of a waveform, (H, W) of an image.
        tokens: Number of keys that are tokens of conditions, which come first, the learned token before all; the other
            keys are the places of the grid.
    """

    weights: Tensor
    sizes: tuple[int, ...]
    tokens: int


class Attends(Protocol):
    """A layer of a network, an `nn.Module`, whose attention `polydiff look` shows."""

    def attention_map(self, *inputs: Any) -> AttentionMap:
        """Compute the weights again from the inputs of `forward`, outside of any fused kernel."""


class Inherits(Protocol):
    """A layer of a network, an `nn.Module`, that can begin with the weights of one with other conditions."""

    def inherited(
        self, weights: Mapping[str, Tensor], added: Collection[str], dropped: Collection[str]
    ) -> Mapping[str, Tensor]:
        """Return weights of this layer, by name, with which its network gives what the other network gives.

        Arguments:
            weights: Tensors of the other network's layer, by name.
            added: Conditions that only this network has, which change nothing at first, whatever their values.
            dropped: Conditions that only the other network has, which it takes as not given.
        """


class Sends(Protocol):
    """A layer of a network of graphs, an `nn.Module`, the size of whose messages `polydiff look` shows."""

    def message_sizes(self, *inputs: Any) -> Sequence[Tensor]:
        """Compute the norms of messages again from the inputs of `forward`, one (n, n) for each of B graphs.

        Row i has those that node i receives, column j those that node j sends; the diagonal is 0.
        """


def load_backbone_spec(name: str) -> BackboneSpec:
    """Return the spec of a backbone."""
    return load_spec(BackboneSpec, name)


def check_role(name: str, role: str, purpose: str) -> None:
    """Raise UserError unless a backbone has a role.

    Arguments:
        name: The backbone's name.
        role: "denoiser", "codec" or "tower".
        purpose: What needs the role, such as "learn=encode".
    """
    found = load_backbone_spec(name).role
    if found != role:
        others = [plugin.name for plugin in discover(BackboneSpec) if plugin.spec and plugin.spec.role == role]
        advice = f"Take {' or '.join(others)}."
        raise UserError(f"backbone.name={name}: this network is a {found}, and {purpose} needs a {role}. {advice}")


def check_learner(config: Config, role: str) -> None:
    """Raise UserError unless a run that generates nothing has a backbone of a role, and neither codec nor task."""
    check_role(config.backbone.name, role, f"learn={config.learn}")
    if config.codec is not None:
        raise UserError(f"learn={config.learn} works on examples, not on codes. Leave out codec.")
    if config.tell:
        raise UserError(f"learn={config.learn} generates nothing from embeddings. Leave out tell.")
    task = getattr(config, "task", "generate")
    if task != "generate":
        raise UserError(f"learn={config.learn} has no tasks. Leave out task={task}.")


def backbone_config_class(spec: BackboneSpec) -> type[BackboneConfig]:
    """Return the configuration class of a backbone."""
    cls: type[BackboneConfig] = load(spec.config)
    return cls


def build_backbone(
    config: BackboneConfig,
    *,
    channels: int,
    dims: int,
    conditions: Declared,
    augment: int = 0,
    pairs: int = 0,
    levels: Sequence[str] = (),
) -> nn.Module:
    """Return the network that a configuration names.

    Arguments:
        config: The run's `backbone` section. `config.step_size` adds a condition for the sampler's step size,
            `config.self_condition` one for the previous estimate.
        channels: Channels of the data; features per atom for dims = 3, width of the vector for dims = 0.
        dims: 1 waveforms, 2 images, 3 atoms in space, 0 vectors.
        conditions: Name -> kind, as `Domain.conditions`.
        augment: Length of the vector "_augment" that says how a training example was changed, a condition that the
            domain's training batches contain and no others do; 0: examples are not changed, or the network is not to
            know.
        pairs: Numbers of a pair of atoms, such as one for each kind of bond; 0: none.
        levels: Conditions that hold levels of further parts of the states (`polydiff.parts.network.level_conditions`).

    Raises:
        ValueError: A condition's name begins with an underscore.
        UserError: The backbone is unknown, lacks a dependency, or does not accept data of these dimensions.
    """
    from polydiff.core.conditions import AUGMENT, ESTIMATE, STEP, Aligned, Number, Vector, as_kinds

    kinds = as_kinds(conditions)
    if own := [name for name in conditions if name.startswith("_")]:
        raise ValueError(f"The condition {own[0]!r}: names that begin with an underscore are reserved.")
    kinds |= {name: Number() for name in levels}
    if config.step_size:
        kinds[STEP] = Number()
    if config.self_condition:
        kinds[ESTIMATE] = Aligned(channels)
    if augment:
        kinds[AUGMENT] = Vector(augment)
    spec = load_backbone_spec(config.name)
    require(spec)
    if spec.dims and dims not in spec.dims:
        takes = " and ".join(DATA.get(d, str(d)) for d in spec.dims)
        raise UserError(
            f"backbone.name={spec.name}: this backbone accepts {takes}, but these data are {DATA.get(dims, dims)}."
        )
    if pairs and PAIRS not in spec.takes:
        able = [plugin.name for plugin in discover(BackboneSpec) if plugin.spec and PAIRS in plugin.spec.takes]
        raise UserError(
            f"backbone.name={spec.name}: this network has no state of pairs of atoms, which bonds need. "
            f"Take {' or '.join(able)}."
        )
    further = {"pairs": pairs} if pairs else {}
    network: nn.Module = load(spec.factory)(config, channels=channels, dims=dims, conditions=kinds, **further)
    return network
