"""The metadata of a domain: what its entry point names, and what commands list without importing the domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

API = 1


@dataclass(frozen=True, kw_only=True)
class DomainSpec:
    """A domain's metadata: everything that polydiff lists without importing the domain itself.

    Arguments:
        name: Value of `--domain` that selects it; also the name of its entry point.
        summary: Description of one line.
        config: "module:Class" of its configuration, a `polydiff.contract.sections.run.Config` that imports no torch.
        factory: "module:Class" of the domain, called as factory(config, statistics=None).
        suffixes: Suffixes of the files that it reads, such as ".wav"; `polydiff data check` guesses the domain of a
            folder from them.
        files: Patterns of the names of files that hold whole data sets, such as "*.parquet"; they decide the domain
            of a folder in which the suffixes of all other files do not.
        columns: Words in a column's name by which a table (.csv, .tsv, .jsonl) is one of this domain, such as "smiles".
        prepares: Name of a data set -> "module:function", called as function(file, folder, count), that makes a data
            set in an empty folder of the file in which it is distributed, with at most `count` examples of each split
            if that is not None, and returns what it did in words; for `polydiff data prepare NAME FILE`. `file` is
            None if the user names none.
        requires: Modules that it needs beyond polydiff's own dependencies.
        install: Command that installs missing modules.
        presets: Name -> overrides with dotted keys, such as {"train.steps": 2000}; {} keeps the configuration's
            defaults. The first preset is the default one.
        learns: Value of `learn` -> defaults with dotted keys that it has for this domain, before its general ones, such
            as {"encode": {"backbone.name": "point_autoencoder"}}.
        pipelines: Name -> pipeline of several runs, as its file holds it but for the domain, such as
            {"stages": {"ae": {"learn": "encode"}, "diffusion": {"codec": "ae"}}}; a value of --preset as presets are.
        hub_tasks: Kind of a model -> task of the hub of Hugging Face that it does, for model cards: "generate", "text"
            if captions are a condition, "restore", "encode" or "match".
        api: Version of the plugin interface.
    """

    kind: ClassVar[str] = "domain"

    name: str
    summary: str
    config: str
    factory: str
    suffixes: Sequence[str] = ()
    files: Sequence[str] = ()
    columns: Sequence[str] = ()
    prepares: Mapping[str, str] = field(default_factory=dict)
    requires: Sequence[str] = ()
    install: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"quick": {}})
    learns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pipelines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hub_tasks: Mapping[str, str] = field(default_factory=dict)
    api: int = API


def is_words(value: object) -> bool:
    """Return whether a value is a list or a tuple of strings."""
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


def is_presets(value: object) -> bool:
    """Return whether a value maps names to mappings with keys of text, and is not empty."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(name, str) and isinstance(keys, Mapping) and all(isinstance(key, str) for key in keys)
            for name, keys in value.items()
        )
    )


def is_named_functions(value: object) -> bool:
    """Return whether a value maps names to texts "module:name"."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(text, str) and all(text.partition(":")) for name, text in value.items()
    )


TEXT = ("text", lambda value: isinstance(value, str))
NAMED = ("'module:name'", lambda value: isinstance(value, str) and all(value.partition(":")))
LIST = ("a list of texts", is_words)
FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": TEXT,
    "summary": TEXT,
    "role": ("denoiser, codec or tower", lambda value: value in ("denoiser", "codec", "tower")),
    "install": TEXT,
    "examine": TEXT,
    "config": NAMED,
    "factory": NAMED,
    "suffixes": LIST,
    "files": LIST,
    "requires": LIST,
    "prepares": ("a mapping of names to 'module:name'", is_named_functions),
    "dims": ("a list of whole numbers", lambda v: isinstance(v, list | tuple) and all(type(n) is int for n in v)),
    "presets": ("a mapping of names to overrides, with at least one preset", is_presets),
}
"""Key of a spec -> what its value should be, and the check of it."""
