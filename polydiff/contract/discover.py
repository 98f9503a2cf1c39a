"""Find domains and backbones, and report why one cannot be used.

Both are found through Python's entry points, in the groups `polydiff.domains` and `polydiff.backbones`. The built-in
ones register in the same way as third parties' plugins. An entry point names a spec (`DomainSpec`, `BackboneSpec`),
whose module imports nothing heavy. The modules that the spec names load on first use. Each entry point is loaded alone:
a broken plugin is listed as broken and does not affect the others.

An extension (`polydiff.core.extensions`), such as a file after --plugin, offers the specs that it holds at its top
level. So a domain can be one file, with config=f"{__name__}:Class".
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from polydiff.contract.data.statistics import check_finite
from polydiff.contract.spec import API, FORMS, DomainSpec
from polydiff.core import extensions
from polydiff.core.isolate import Failed, check_survives, isolated
from polydiff.support.errors import UserError, one_line, unknown

if TYPE_CHECKING:
    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config

Status = Literal["ready", "needs install", "broken"]
IMPORT_SECONDS, FACTORY_SECONDS = 20.0, 120.0
"""Time limits of imports: of a plugin's spec or configuration, which import nothing heavy, and of its factory."""


class Finding(NamedTuple):
    """One line of `polydiff doctor`.

    Attributes:
        name: What was examined.
        status: "ok"; "absent", optional and not installed; "note", worth knowing; "broken", installed and unusable.
        text: Version, size, or what is wrong and what to do.
    """

    name: str
    status: Literal["ok", "absent", "note", "broken"]
    text: str


class PluginSpec(Protocol):
    """What discovery reads of a spec: a `DomainSpec` or a `BackboneSpec`."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    @property
    def requires(self) -> Sequence[str]: ...

    @property
    def install(self) -> str: ...

    @property
    def api(self) -> int: ...


Spec = TypeVar("Spec", bound=PluginSpec)


@dataclass(frozen=True)
class Plugin:
    """One entry point, and whether it can be used.

    Arguments:
        name: The entry point's name.
        distribution: Package that provides it, with its version, such as "polydiff 0.1.0".
        spec: Its spec; None if it is broken.
        status: "ready", "needs install" (a required module is missing) or "broken".
        reason: Why it is not ready, in one line; "" if it is.
    """

    name: str
    distribution: str
    spec: Any = None
    status: Status = "ready"
    reason: str = ""


def discover(kind: type[Spec]) -> list[Plugin]:
    """Return every plugin of a kind (`DomainSpec` or `BackboneSpec`), broken ones too, sorted by name.

    A third party's plugin is imported in a process of its own first, so that one that ends its process ends no command
    that lists plugins.
    """
    installed = [examined_first(kind, point) for point in entry_points(group=group(kind))]
    extensions.installed()
    return sorted([*installed, *in_extensions(kind, installed)], key=lambda plugin: plugin.name)


def in_extensions(kind: type[Spec], installed: Sequence[Plugin]) -> list[Plugin]:
    """Return the plugins of a kind in the extensions that are imported, without those of entry points (`installed`)."""
    known = {id(plugin.spec) for plugin in installed}
    held = {id(spec): (spec, place, source) for spec, place, source in extensions.held(kind) if id(spec) not in known}
    return [judged(kind, spec.name, place, source, spec) for spec, place, source in held.values()]


def examined_first(kind: type[Spec], point: EntryPoint) -> Plugin:
    """Load one entry point as `examine` does, after an import in a process of its own."""
    if not own(source_of(point)):
        try:
            check_survives(point.module, IMPORT_SECONDS)
        except Failed as error:
            return Plugin(point.name, source_of(point), status="broken", reason=str(error))
    return examine(kind, point)


def source_of(point: EntryPoint) -> str:
    """Return the package that provides an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"


def own(distribution: str) -> bool:
    """Return whether a package with its version is polydiff itself."""
    return distribution.startswith("polydiff ")


def group(kind: type[Spec]) -> str:
    """Return the entry-point group of a kind of plugin."""
    return f"polydiff.{kind.kind}s"


def tried(plugin: Plugin, *keys: str) -> Plugin:
    """Return a plugin after importing what its spec names under these keys; it is broken if that fails.

    Arguments:
        plugin: The plugin; one that is not ready is returned as it is.
        keys: Keys of the spec whose values are "module:name", such as "config".
    """
    for key in keys if plugin.status == "ready" else ():
        text = getattr(plugin.spec, key)
        try:
            limit = FACTORY_SECONDS if key == "factory" else IMPORT_SECONDS
            if not own(plugin.distribution):
                check_survives(text.partition(":")[0], limit)
            isolated(lambda text=text: imported(text), limit)  # type: ignore[misc]
        except Failed as error:
            return replace(plugin, status="broken", reason=f"its {key}, {text}, cannot be imported: {error}")
    return plugin


def examine(kind: type[Spec], point: EntryPoint) -> Plugin:
    """Load one entry point; an exception becomes the status "broken" with its reason."""
    source = source_of(point)
    try:
        spec = isolated(point.load, IMPORT_SECONDS)
    except Failed as error:
        return Plugin(point.name, source, status="broken", reason=str(error))
    return judged(kind, point.name, point.value, source, spec)


def judged(kind: type[Spec], name: str, place: str, source: str, spec: Any) -> Plugin:
    """Return the plugin of a loaded object, which may be no spec, or one that cannot be used.

    Arguments:
        kind: `DomainSpec` or `BackboneSpec`.
        name: Name by which it is found.
        place: "module:name" that was loaded.
        source: Package that provides it, or the extension's source.
        spec: What was loaded.
    """
    wrong = spec_error(kind, name, place, spec)
    if wrong:
        return Plugin(name, source, status="broken", reason=wrong)
    missing = missing_modules(spec.requires)
    if missing:
        reason = f"{', '.join(missing)} not installed" + (f"; type: {spec.install}" if spec.install else "")
        return Plugin(name, source, spec, "needs install", reason)
    return Plugin(name, source, spec)


def spec_error(kind: type[Spec], name: str, place: str, spec: object) -> str:
    """Return why a loaded object is not a usable spec, or ""; `name` and `place` as in `judged`."""
    if not isinstance(spec, kind):
        return f"{place} is a {type(spec).__name__}, not a {kind.__name__}"
    if spec.api != API:
        return f"it uses version {spec.api} of the plugin interface, this polydiff version {API}: update the older one"
    for key, (form, right) in FORMS.items():
        value = getattr(spec, key, None)
        if value is not None and not right(value):
            return f"{place}: {key} is {value!r}, but should be {form}"
    if spec.name != name:
        return f"{place} has the name {spec.name!r}, its entry point the name {name!r}"
    return ""


def missing_modules(names: Sequence[str]) -> list[str]:
    """Return the modules that are not installed, without importing any."""
    return [name for name in names if find_spec(name.partition(".")[0]) is None]


def load_spec(kind: type[Spec], name: str) -> Spec:
    """Return the spec of this name; its required modules may be missing (`require` checks them)."""
    named = [examine(kind, point) for point in entry_points(group=group(kind), name=name)]  # no other is imported
    named += [plugin for plugin in in_extensions(kind, named) if plugin.name == name]
    if not named:
        plugins = discover(kind)
        named = [plugin for plugin in plugins if plugin.name == name]  # of an extension that is imported only now
    if not named:
        raise unknown(kind.kind, name, (p.name for p in plugins if p.status != "broken"), hint(plugins))
    if len(named) > 1:
        sources = " and ".join(plugin.distribution for plugin in named)
        raise UserError(f"{len(named)} packages provide the {kind.kind} {name!r}: {sources}. Uninstall one of them.")
    plugin = named[0]
    if plugin.status == "broken":
        raise UserError(f"The {kind.kind} {name!r} of {plugin.distribution} is broken: {plugin.reason}.")
    spec: Spec = plugin.spec
    return spec


def provider(kind: str, name: str) -> str:
    """Return the package that provides a plugin, with its version, such as "polydiff 0.1.0"; "" if none is installed.

    Arguments:
        kind: "domain" or "backbone".
        name: Its name.
    """
    points = [point for point in entry_points(group=f"polydiff.{kind}s", name=name) if point.dist]
    return f"{points[0].dist.name} {points[0].dist.version}" if points and points[0].dist else ""


def hint(plugins: Sequence[Plugin]) -> str:
    """Return sentences that list the broken plugins, and say how a module that is not installed is named."""
    broken = [
        f"{plugin.name} of {plugin.distribution} ({plugin.reason})" for plugin in plugins if plugin.status == "broken"
    ]
    parts = (f"Installed but broken: {'; '.join(broken)}." if broken else "", extensions.broken(), extensions.HINT)
    return " ".join(filter(None, parts))


def duplicates(plugins: Sequence[Plugin]) -> set[str]:
    """Return the names that more than one plugin uses."""
    return {name for name, count in Counter(plugin.name for plugin in plugins).items() if count > 1}


def require(spec: PluginSpec) -> None:
    """Raise UserError, with the command that installs it, if a module that a spec requires is missing."""
    missing = missing_modules(spec.requires)
    if missing:
        way = f" Type: {spec.install}" if spec.install else ""
        raise UserError(f"The {spec.kind} {spec.name!r} needs {', '.join(missing)}, which is not installed.{way}")


def load_domain_spec(name: str) -> DomainSpec:
    """Return the spec of a domain."""
    return load_spec(DomainSpec, name)


def load(text: str) -> Any:
    """Return the object that "module:name" names; raise UserError if its import fails in any way."""
    try:
        return imported(text)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{text} cannot be loaded: {one_line(error)}.") from error


def imported(text: str) -> Any:
    """Return the object that "module:name" names."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise ValueError(f"Expected 'module:name', got {text!r}.")
    return getattr(importlib.import_module(module), name)


def domain_config_class(spec: DomainSpec) -> type[Config]:
    """Return the configuration class of a domain."""
    from polydiff.contract.sections.run import Config

    cls = load(spec.config)
    if not (isinstance(cls, type) and issubclass(cls, Config)):
        raise UserError(f"{spec.config} of the domain {spec.name!r} is no subclass of `polydiff.Config`.")
    return cls


def build_domain(config: Config, statistics: Mapping[str, Any] | None = None) -> Domain:
    """Return the domain that a configuration names.

    Arguments:
        config: The run's configuration.
        statistics: The codec's statistics from a checkpoint; None: measure them on the training data.

    Raises:
        UserError: The domain cannot be used, or a statistic is not finite.
    """
    spec = load_domain_spec(config.domain)
    require(spec)
    check_finite(statistics or {}, saved=True)
    make = load(spec.factory)
    if not callable(make):
        raise UserError(f"{spec.factory} of the domain {spec.name!r} is a {type(make).__name__}, not a class.")
    try:
        domain: Domain = make(config, statistics=statistics)
    except SystemExit as error:
        raise UserError(f"{spec.factory} called sys.exit({error.code!r}) instead of building the domain.") from error
    if not isinstance(getattr(domain, "statistics", None), Mapping):
        what = f"a {type(domain).__name__} without statistics, which is no domain"
        raise UserError(f"{spec.factory} of the domain {spec.name!r} returned {what}. See docs/domains.md.")
    check_finite(domain.statistics)
    return domain
