"""Domains and backbones: how they are found, and what is said where one cannot be used.

Both are found through Python's entry points, groups `polydiff.domains` and `polydiff.backbones`; the built-in ones
register in the same way as anyone's. An entry point names a spec, a card that imports nothing heavy; the modules that
the spec names load on use. Each entry point is loaded alone, so that a broken plugin is listed as broken and harms
nothing else.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from polydiff.contract.domain import API, DomainSpec
from polydiff.support.errors import UserError, one_line, unknown

if TYPE_CHECKING:
    from torch import nn

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import BackboneConfig, Config
    from polydiff.core.conditions import Declared

Status = Literal["ready", "needs install", "broken"]


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A backbone's card: everything that can be said without importing it.

    Arguments:
        name: What `backbone.name` says.
        summary: One line.
        config: "module:Class" of its configuration, a `sections.BackboneConfig` that imports no torch.
        factory: "module:Class" of the network, called as factory(config, channels=, dims=, conditions=).
        dims: Kinds of data that it takes, as `build_backbone` counts them; (): any.
        requires: Modules that it needs beyond polydiff's own.
        install: What to type where one of them is missing.
        examine: "module:function" that returns `Finding`s on the backbone, for `polydiff doctor`; "": none.
        api: Version of this interface.
    """

    name: str
    summary: str
    config: str
    factory: str
    dims: Sequence[int] = ()
    requires: Sequence[str] = ()
    install: str = ""
    examine: str = ""
    api: int = API


class Finding(NamedTuple):
    """One line of `polydiff doctor`.

    Attributes:
        name: What was looked at.
        status: "ok"; "absent", optional and not installed; "note", worth knowing; "broken", installed and unusable.
        text: Version, size, or what is wrong and what to do.
    """

    name: str
    status: Literal["ok", "absent", "note", "broken"]
    text: str


Spec = TypeVar("Spec", DomainSpec, BackboneSpec)
GROUPS: Mapping[type, str] = {DomainSpec: "polydiff.domains", BackboneSpec: "polydiff.backbones"}
DATA = {0: "vectors", 1: "waveforms", 2: "images", 3: "atoms in space"}
KINDS: Mapping[type, str] = {DomainSpec: "domain", BackboneSpec: "backbone"}


@dataclass(frozen=True)
class Plugin:
    """One entry point, and what became of it.

    Arguments:
        name: The entry point's name.
        distribution: Who provides it, with its version, such as "polydiff 0.1.0".
        spec: Its card; None where it is broken.
        status: "ready", "needs install" (a required module is missing) or "broken".
        reason: Why it is not ready, in one line.
    """

    name: str
    distribution: str
    spec: Any = None
    status: Status = "ready"
    reason: str = ""


def discover(kind: type[Spec]) -> list[Plugin]:
    """Return every plugin of a kind (`DomainSpec` or `BackboneSpec`), broken ones too, sorted by name."""
    return sorted((examine(kind, point) for point in entry_points(group=GROUPS[kind])), key=lambda p: p.name)


def examine(kind: type[Spec], point: EntryPoint) -> Plugin:
    """Load one entry point; whatever goes wrong in it becomes its status."""
    source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
    try:
        spec = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way; it fails alone
        return Plugin(point.name, source, status="broken", reason=one_line(error))
    wrong = fault(kind, point, spec)
    if wrong:
        return Plugin(point.name, source, status="broken", reason=wrong)
    missing = missing_modules(spec.requires)
    if missing:
        reason = f"{', '.join(missing)} not installed" + (f"; type: {spec.install}" if spec.install else "")
        return Plugin(point.name, source, spec, "needs install", reason)
    return Plugin(point.name, source, spec)


def fault(kind: type[Spec], point: EntryPoint, spec: object) -> str:
    """Return what is wrong with a loaded spec, or ""."""
    if not isinstance(spec, kind):
        return f"{point.value} is a {type(spec).__name__}, not a {kind.__name__}"
    if spec.api != API:
        return f"it speaks version {spec.api} of the plugin interface, this polydiff {API}: update the older one"
    if spec.name != point.name:
        return f"{point.value} calls itself {spec.name!r}, its entry point {point.name!r}"
    return ""


def missing_modules(names: Sequence[str]) -> list[str]:
    """Return those modules that are not installed, without importing the others."""
    return [name for name in names if find_spec(name.partition(".")[0]) is None]


def load_spec(kind: type[Spec], name: str) -> Spec:
    """Return the spec of this name; its required modules may be missing, which `require` tells."""
    plugins = discover(kind)
    named = [plugin for plugin in plugins if plugin.name == name]
    if not named:
        raise unknown(KINDS[kind], name, (p.name for p in plugins if p.status != "broken"), hint(plugins))
    if len(named) > 1:
        sources = " and ".join(plugin.distribution for plugin in named)
        raise UserError(f"{len(named)} packages provide the {KINDS[kind]} {name!r}: {sources}. Uninstall one of them.")
    plugin = named[0]
    if plugin.status == "broken":
        raise UserError(f"The {KINDS[kind]} {name!r} of {plugin.distribution} is broken: {plugin.reason}.")
    spec: Spec = plugin.spec
    return spec


def hint(plugins: Sequence[Plugin]) -> str:
    """Return a sentence on the plugins that could not be loaded, or ""."""
    broken = [
        f"{plugin.name} of {plugin.distribution} ({plugin.reason})" for plugin in plugins if plugin.status == "broken"
    ]
    return f"Installed but broken: {'; '.join(broken)}." if broken else ""


def duplicates(plugins: Sequence[Plugin]) -> set[str]:
    """Return the names that more than one plugin has."""
    return {name for name, count in Counter(plugin.name for plugin in plugins).items() if count > 1}


def require(spec: DomainSpec | BackboneSpec) -> None:
    """Raise the error that says what to install, where a module that a spec requires is missing."""
    missing = missing_modules(spec.requires)
    if missing:
        way = f" Type: {spec.install}" if spec.install else ""
        raise UserError(f"The {KINDS[type(spec)]} {spec.name!r} needs {', '.join(missing)}, not installed here.{way}")


def load_domain_spec(name: str) -> DomainSpec:
    """Return the spec of a domain."""
    return load_spec(DomainSpec, name)


def load_backbone_spec(name: str) -> BackboneSpec:
    """Return the spec of a backbone."""
    return load_spec(BackboneSpec, name)


def load(text: str) -> Any:
    """Return the object that "module:name" names."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise ValueError(f"Expected 'module:name', got {text!r}.")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{text} cannot be loaded: {one_line(error)}.") from error


def domain_config_class(spec: DomainSpec) -> type[Config]:
    """Return the config class of a domain."""
    cls: type[Config] = load(spec.config)
    return cls


def backbone_config_class(spec: BackboneSpec) -> type[BackboneConfig]:
    """Return the config class of a backbone."""
    cls: type[BackboneConfig] = load(spec.config)
    return cls


def build_domain(config: Config, statistics: Mapping[str, Any] | None = None) -> Domain:
    """Return the domain that a config names.

    Arguments:
        config: The run's config.
        statistics: What the codec measured in training; None: measure it on the training data.
    """
    spec = load_domain_spec(config.domain)
    require(spec)
    domain: Domain = load(spec.factory)(config, statistics=statistics)
    return domain


def build_backbone(config: BackboneConfig, *, channels: int, dims: int, conditions: Declared) -> nn.Module:
    """Return the network that a config names.

    Arguments:
        config: The run's `backbone` section.
        channels: Channels of the data; features an atom for dims = 3, width of the vector for dims = 0.
        dims: 1 waveforms, 2 images, 3 atoms in space, 0 vectors.
        conditions: Name -> kind. `config.step_size` adds the size of a step, `config.self_condition` an estimate.
    """
    from polydiff.core.conditions import ESTIMATE, STEP, Aligned, Number, as_kinds

    kinds = as_kinds(conditions)
    if own := [name for name in conditions if name.startswith("_")]:
        raise ValueError(f"The condition {own[0]!r}: names that begin with an underscore are the core's.")
    if config.step_size:
        kinds[STEP] = Number()
    if config.self_condition:
        kinds[ESTIMATE] = Aligned(channels)
    spec = load_backbone_spec(config.name)
    require(spec)
    if spec.dims and dims not in spec.dims:
        takes = " and ".join(DATA.get(d, str(d)) for d in spec.dims)
        raise UserError(f"backbone.name={spec.name}: it takes {takes}, and these data are {DATA.get(dims, dims)}.")
    network: nn.Module = load(spec.factory)(config, channels=channels, dims=dims, conditions=kinds)
    return network
