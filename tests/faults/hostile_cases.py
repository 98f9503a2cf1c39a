"""Hostile runs: what somebody may put into a run's folder to run code, read other files, or fill memory and time.

Each case changes a run with one whole checkpoint. `canary` is a file that appears if code of the case is run.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from polydiff.run.checkpoint import latest, write_files
from polydiff.run.folder import step_of
from polydiff.run.reading import AVERAGES, EMA, MANIFEST, MODEL, OPTIMIZER, STATE, Manifest

Make = Callable[[Path, Path], object]
"""Changes the run in a folder; the second path is the canary's."""


class Case(NamedTuple):
    """A hostile run.

    Attributes:
        name: What it does.
        make: Puts it into a run.
        verb: Verb of the program that reads it.
        harmless: Whether the program may work as if nothing were there.
    """

    name: str
    make: Make
    verb: str = "sample"
    harmless: bool = False


def newest(run: Path) -> Path:
    return latest(run / "checkpoints")


def with_files(run: Path, **changed: bytes) -> None:
    """Rewrite the checkpoint with other files, `name_suffix=content`, and a right manifest."""
    folder = newest(run)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    files |= {name.replace("_", ".", 1): data for name, data in changed.items()}
    write_files(folder, files, step_of(folder) or 0)


def with_state(run: Path, key: str, value: Any, text: str | None = None) -> None:
    """Rewrite the checkpoint with another value at a dotted key of its state, or with a text in place of the value."""
    state = json.loads((newest(run) / STATE).read_text())
    *path, name = key.split(".")
    at = state
    for part in path:
        at = at.setdefault(part, {})
    at[name] = "@@" if text is not None else value
    with_files(run, state_json=json.dumps(state).replace('"@@"', text or "").encode())


class Payload:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.canary, "code was run"))


def pickles(canary: Path) -> dict[str, bytes]:
    """Return pickles in the forms in which weights are passed on."""
    forms = {f"protocol {n}": pickle.dumps(Payload(canary), protocol=n) for n in range(6)}
    forms["system call"] = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    for name, new in (("torch zip", True), ("torch legacy", False)):
        buffer = io.BytesIO()
        torch.save({"weight": Payload(canary)}, buffer, _use_new_zipfile_serialization=new)
        forms[name] = buffer.getvalue()
    for name, count in (("zip bomb", 200), ("zipped pickle", 0)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("archive/data.pkl", pickle.dumps(Payload(canary)))
            file.writestr("archive/data/0", bytes(count * 2**20))
        forms[name] = buffer.getvalue()
    return forms


def header(text: bytes | str, data: bytes = b"", size: int | None = None) -> bytes:
    """Return a safetensors file with this header, and perhaps another size of it than it has."""
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def headers() -> dict[str, bytes]:
    """Return damaged and giant headers of safetensors files."""
    one = '{"a": {"dtype": "F32", "shape": [%s], "data_offsets": [%s]}}'
    same, none = '"%s": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}', '{"dtype": "F32", "shape": [0]'
    many = ", ".join(f'"{i}": {none}, "data_offsets": [0, 0]}}' for i in range(200_000))
    return {
        "size 2^63": header("{}", size=2**63),
        "size 2^64 - 1": header("{}", size=2**64 - 1),
        "100 MB of header": header(b"{" + b" " * 100_000_000 + b"}"),
        "size beyond the file": header("{}", size=10**6),
        "offsets beyond the file": header(one % ("4", "0, 16")),
        "offsets backwards": header(one % ("4", "16, 0"), bytes(16)),
        "negative offsets": header(one % ("4", "-16, 0"), bytes(16)),
        "shape that overflows": header(one % (f"{2**32}, {2**32}", "0, 16"), bytes(16)),
        "shape of 10^18": header(one % (10**18, "0, 16"), bytes(16)),
        "overlap": header("{" + ", ".join(same % name for name in "ab") + "}", bytes(16)),
        "unknown type": header('{"a": {"dtype": "PICKLE", "shape": [4], "data_offsets": [0, 16]}}', bytes(16)),
        "deep": header(b"[" * 10**6),
        "200,000 tensors": header("{" + many + "}"),
        "odd metadata": header('{"__metadata__": {"a": [1]}}'),
        "digits": header('{"a": ' + "9" * 10**5 + "}"),
        "empty": b"",
    }


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        server.bind(path.name)
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": unix_socket,
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to /dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "link outside": lambda path: path.symlink_to("/etc/passwd"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "broken link": lambda path: path.symlink_to("absent"),
    "folder": lambda path: path.mkdir(),
    "sparse terabyte": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


def special(name: str, kind: str, run: Path) -> None:
    """Put something else in place of a file of the run, or of its checkpoint."""
    path = (newest(run) if name in (MANIFEST, STATE, MODEL, EMA, OPTIMIZER, AVERAGES) else run) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    SPECIAL[kind](path)


def sparse(run: Path) -> None:
    """Let the weights be a sparse file of a terabyte that the manifest lists with its size."""
    special(EMA, "sparse terabyte", run)
    entries = json.loads((newest(run) / MANIFEST).read_text())
    step = entries.pop("set")["step"]
    files = {name: (entry["size"], entry["sha256"]) for name, entry in entries.items()}
    files[EMA] = (2**40, files[EMA][1])
    with_manifest(run, json.dumps(Manifest(files, step).to_json()))


def with_manifest(run: Path, text: str) -> None:
    (newest(run) / MANIFEST).write_text(text)


ENTRY = '{"size": 3, "sha256": "' + "0" * 64 + '"}'
MANIFESTS = {
    "name ../x": f'{{"../x": {ENTRY}}}',
    "absolute name": f'{{"/etc/passwd": {ENTRY}}}',
    "NUL in a name": f'{{"a\\u0000b": {ENTRY}}}',
    "name of 4 KB": f'{{"{"x" * 4096}": {ENTRY}}}',
    "pickle's name": f'{{"model.pt": {ENTRY}}}',
    "a list": "[]",
    "deep": '{"a":' * 10**5,
    "300,000 names": "{" + ", ".join(f'"{i}": {ENTRY}' for i in range(300_000)) + "}",
    "size Infinity": f'{{"{EMA}": {{"size": Infinity, "sha256": "0"}}}}',
    "size 1e400": f'{{"{EMA}": {{"size": 1e400, "sha256": "0"}}}}',
    "digits": f'{{"{EMA}": {{"size": {"9" * 10**5}}}}}',
    "100 MB": " " * 10**8,
}
VALUES: list[tuple[str, Any]] = [
    ("config.domain", "evil_module"), ("config.domain", "evil_module:SPEC"), ("config.domain", "os:system"),
    ("config.domain", "../../evil"), ("config.domain", ["image"]), ("config.domain", "x" * 10**6),
    ("config.backbone.name", "evil_module:BACKBONE"), ("config.backbone.name", "torch.hub"),
    ("config.backbone._target_", "evil_module.run"), ("config._class_path", "evil_module.run"),
    ("config.backbone.class_path", "evil_module.run"), ("config.loss.objective", "evil_module:loss"),
    ("config.sample.sampler", "evil_module:sampler"), ("config.schedule", "evil_module"),
    ("config.process", "evil_module:PROCESS"), ("config.optim.name", "evil_module:Optimizer"),
    ("config.learn", "evil_module"), ("config.codec", "/dev/zero"), ("config.tell", {"embedding": "evil_module"}),
    ("config.sample.guide", "evil_module"), ("config.train.init", 3),
    ("config.backbone.channels", 10**9), ("config.backbone.channels", 2**62), ("config.backbone.blocks", 10**7),
    ("config.backbone.mult", [2**20, 2**20]), ("config.backbone.mult", [1] * 10**5), ("config.backbone.heads", 10**9),
    ("config.backbone.attention", [0] * 10**5), ("config.backbone.text.width", 10**9),
    ("config.backbone.kernel", 10**6 + 1), ("config.backbone.group_size", -1), ("config.data.size", 10**6),
    ("config.data.channels", 10**6), ("config.sample.steps", 10**12), ("config.train.batch_size", 10**12),
    ("config.schedule_options", {"sigma_min": 1e308, "sigma_max": 1e308}),
    ("config.schedule_options", {"rounds": 10**12}), ("config.sample.options", {"order": 10**9}),
    ("statistics", {}), ("statistics", []), ("statistics.std", 0.0), ("statistics.std", -1.0),
    ("statistics.std", 1e308), ("statistics.std", [1.0] * 10**6), ("statistics.mean", "evil_module"),
    ("statistics.shape", [10**9, 10**9]), ("statistics.channels", 10**9), ("statistics.counts", {"a": 10**400}),
    ("format", 10**9), ("format", "evil"), ("format", True), ("step", 10**14), ("step", -1), ("step", "50"),
    ("tensors", {"ema": 10**9}), ("parents", {"codec": {"path": "/dev/zero"}}), ("environment", [[]]),
    ("plugins", {"domain": 3}),
]  # fmt: skip
IN_RUN = ("metrics.jsonl", "evaluation.json", "config.resolved.yaml", "config.input.yaml", "samples/views/views.json")
REPEATS = "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 7)}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
YAML = {
    "python object": "!!python/object/apply:os.system ['touch {canary}']",
    "python name": "a: !!python/name:evil_module.run",
    "billion laughs": f"a: &a [x, x, x]\n{REPEATS}",
    "ten megabytes": "a: [" + "1, " * 3_000_000 + "]",
    "deep": "[" * 10**5,
    "binary": "a: !!binary AAAA",
    "int": "a: !!int '" + "9" * 10**4 + "'",
}
FORMS = (
    *(f"protocol {n}" for n in range(6)),
    "system call",
    "torch zip",
    "torch legacy",
    "zip bomb",
    "zipped pickle",
)
"""Names of `pickles`."""
NOWHERE = ("config.backbone.text.width", "statistics.channels", "statistics.shape")
UNUSED = {"sample": (*NOWHERE, "config.optim.name"), "resume": NOWHERE}
"""Verb -> keys that it does not read of a run without texts, of a domain without such a statistic."""


def put_special(name: str, kind: str) -> Make:
    return lambda run, canary: special(name, kind, run)


def put_pickle(stem: str, form: str) -> Make:
    return lambda run, canary: with_files(run, **{f"{stem}_safetensors": pickles(canary)[form]})


def put_header(name: str) -> Make:
    return lambda run, canary: with_files(run, ema_safetensors=headers()[name])


def put_manifest(text: str) -> Make:
    return lambda run, canary: with_manifest(run, text)


def put_value(key: str, value: Any) -> Make:
    return lambda run, canary: with_state(run, key, value)


def put_yaml(text: str) -> Make:
    return lambda run, canary: (run / "config.resolved.yaml").write_text(text.replace("{canary}", str(canary)))


def cases() -> Iterator[Case]:
    """Yield all hostile runs."""
    for kind in SPECIAL:
        for name in (MANIFEST, STATE, EMA, MODEL, OPTIMIZER):
            yield Case(f"{name} is a {kind}", put_special(name, kind))
        for name in IN_RUN:
            yield Case(f"{name} of the run is a {kind}", put_special(name, kind), "report")
        yield Case(f"goal.json is a {kind}", put_special("goal.json", kind), "resume", kind == "broken link")
        yield Case(f".lock is a {kind}", put_special(".lock", kind), "resume", kind == "sparse terabyte")
    for form in FORMS:
        for stem in ("ema", "model", "optimizer"):
            yield Case(f"{stem}: a pickle, {form}", put_pickle(stem, form))
    for name in headers():
        yield Case(f"header: {name}", put_header(name))
    for name, text in MANIFESTS.items():
        yield Case(f"manifest: {name}", put_manifest(text))
    for key, value in VALUES:
        for verb in ("sample", "resume"):
            yield Case(f"state: {key} = {str(value)[:30]}", put_value(key, value), verb, key in UNUSED[verb])
    for name, text in YAML.items():
        yield Case(f"yaml: {name}", put_yaml(text), "report")
    yield Case("weights are a sparse terabyte with a right size", lambda run, canary: sparse(run))
    yield Case("a seed of 5,000 digits", lambda run, canary: with_state(run, "config.seed", 0, "9" * 5000))
