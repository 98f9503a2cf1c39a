"""Extensions: their names work on the command line; each is imported on demand, and a broken one affects no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_plugins import EXTENSIONS, distribution, install_ring, on_path, polydiff
from repository import blocks

from polydiff import SAMPLERS, UserError
from polydiff.core import extensions

SAMPLER = """
from itertools import pairwise
from polydiff import SAMPLERS, Row

@SAMPLERS.register("{name}")
def sampler(levels, damping: float = 1.0):
    return [Row(s0, s1 / s0, (damping * (1 - s1 / s0),), 0.0, s1) for s0, s1 in pairwise(levels)]
"""
FEW = ["train.steps=2", "train.batch_size=4", "sample.steps=3", "--judge", "0"]


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the domain ring, with no extension loaded in this process."""
    install_ring(tmp_path / "installed", monkeypatch)
    monkeypatch.setattr(extensions, "_loaded", {})
    monkeypatch.delenv(extensions.VARIABLE, raising=False)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, source: str = "") -> None:
    """Install a distribution with one extension; write its module if `source` is not empty."""
    folder.mkdir(exist_ok=True)
    if source:
        (folder / f"{module}.py").write_text(source)
    distribution(folder, f"dist-{name}", {EXTENSIONS: {name: module}})
    on_path(monkeypatch, folder)


def run(*words: str, code: int = 0, cwd: Path) -> str:
    """Run polydiff in a process of its own; return stdout, or stderr if the expected exit code is not 0."""
    done = polydiff(*words, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_names_of_an_installed_package_train_and_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "installed", monkeypatch, "ring", "ring_extension")
    words = ["loss.weighting=ring_flat", "loss.objective=ring_denoising", "sample.sampler=ring_euler"]
    run("train", "-d", "ring", "-o", "run", *FEW, *words, "sample.options.damping=0.9", cwd=tmp_path)
    run("sample", "run", "-n", "2", "--sampler", "ring_euler", "-o", "drawn", cwd=tmp_path)
    assert json.loads((tmp_path / "drawn" / "manifest.json").read_text())["sampler"] == "ring_euler"
    run("resume", "run", "train.steps=3", "--judge", "0", cwd=tmp_path)
    wrong = run("train", "-d", "ring", *FEW, "sample.options.dampin=1", words[-1], code=2, cwd=tmp_path)
    assert "Unknown option of the sampler ring_euler 'dampin'. Did you mean 'damping'?" in wrong


def test_a_broken_extension_is_reported_and_affects_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", monkeypatch, "wreck", "wreck_extension", "raise ImportError('no flux capacitor')")
    install(tmp_path / "b", monkeypatch, "sound", "sound_extension", SAMPLER.format(name="sound_euler"))
    assert "error" not in run("train", "-d", "ring", *FEW, "-o", "run", cwd=tmp_path)
    message = run("sample", "run", "--sampler", "sound_eluer", code=2, cwd=tmp_path)
    assert "Unknown sampler 'sound_eluer'. Did you mean 'sound_euler'?" in message
    assert "cannot be imported: wreck of dist-wreck 1.0 (ImportError: no flux capacitor)." in message
    run("sample", "run", "-n", "1", "--sampler", "sound_euler", "-o", "drawn", cwd=tmp_path)
    findings = {found["name"]: found for found in json.loads(polydiff("doctor", "--json").stdout)}
    assert findings["extension wreck"]["status"] == "broken"
    assert findings["extension wreck"]["text"] == "dist-wreck 1.0; ImportError: no flux capacitor"
    assert findings["extension sound"] == {"name": "extension sound", "status": "ok", "text": "dist-sound 1.0"}


@pytest.mark.parametrize("way", ["--plugin file", "--plugin module", "variable"])
def test_a_module_without_a_package(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that uses its sampler does not import it; without the plugin, the error explains how to add it."""
    (tmp_path / "my_module.py").write_text(SAMPLER.format(name="homemade"))
    ways = {"--plugin file": ["--plugin", "my_module.py"], "--plugin module": ["--plugin=my_module"], "variable": []}
    give = ways[way]
    if way == "variable":
        modules = [str(tmp_path / "my_module.py"), "nothing_of_this_name"]
        monkeypatch.setenv("POLYDIFF_PLUGINS", os.pathsep.join(modules))
    run("train", *give, "-d", "ring", "-o", "run", *FEW, "sample.sampler=homemade", cwd=tmp_path)
    run("sample", "run", "-n", "1", *give, "-o", "drawn", cwd=tmp_path)
    monkeypatch.delenv("POLYDIFF_PLUGINS", raising=False)
    message = run("sample", "run", "-n", "1", "-o", "again", code=2, cwd=tmp_path)
    assert "Unknown sampler 'homemade'." in message
    assert "add --plugin MODULE (a file or a module's name), or set POLYDIFF_PLUGINS" in message


def test_a_plugin_that_cannot_be_imported_stops_the_command(tmp_path: Path) -> None:
    (tmp_path / "torn.py").write_text("def f(:\n")
    (tmp_path / "taken.py").write_text(SAMPLER.format(name="heun"))
    for module, message in {
        "torn.py": "The plugin torn.py cannot be imported: SyntaxError",
        "absent.py": "there is no file absent.py",
        "nothing_of_this_name": "No module named 'nothing_of_this_name'",
        "taken.py": "The sampler 'heun' is registered already, by polydiff.gaussian.sampling.",
        "./some/folder": "neither a file that ends in .py nor the name of a module",
        "..up": "neither a file that ends in .py nor the name of a module",
    }.items():
        assert message in run("config", "show", "-d", "ring", "--plugin", module, code=2, cwd=tmp_path)


def test_every_verb_has_the_option_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    from polydiff.cli import VERBS, main

    for verb in VERBS:
        try:
            code: object = main([verb, "--help"])
        except SystemExit as stop:
            code = stop.code
        assert not code
        assert "--plugin MODULE" in capsys.readouterr().out, verb


def test_extensions_are_imported_only_for_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", monkeypatch, "late", "late_extension", "import sys; print('LOADED', file=sys.stderr)")
    code = (
        "import sys\nfrom polydiff.cli import main\nassert main(['config', 'show', '-d', 'ring']) == 0\n"
        "from polydiff import SAMPLERS\nSAMPLERS['heun']\nassert 'heun' in SAMPLERS\n"
        "print('BEFORE', file=sys.stderr)\n'x' in SAMPLERS"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["BEFORE", "LOADED"]


def test_a_file_is_loaded_from_python(tmp_path: Path) -> None:
    path = tmp_path / "random.py"  # the name of a module of Python
    path.write_text(SAMPLER.format(name="from_python") + "raise RuntimeError('not yet')")
    with SAMPLERS.temporary():
        with pytest.raises(UserError, match="RuntimeError: not yet"):
            extensions.load(path)
        assert "from_python" not in SAMPLERS  # the failed import leaves nothing behind
        path.write_text(SAMPLER.format(name="from_python"))
        (tmp_path / "link.py").symlink_to(path)
        for same in (path, path, tmp_path / "." / "random.py", tmp_path / "link.py"):  # only the first call imports
            extensions.load(same)
        assert "from_python" in SAMPLERS
        (extension,) = extensions.installed()
        assert (extension.source, extension.reason) == ("--plugin", "")
    import random

    assert not str(random.__file__).startswith(str(tmp_path))


def test_an_extension_can_look_up_names_during_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from polydiff import SAMPLERS\nassert 'not_there' not in SAMPLERS\n" + SAMPLER.format(name="curious")
    install(tmp_path / "a", monkeypatch, "curious", "curious_extension", source)
    monkeypatch.delitem(sys.modules, "curious_extension", raising=False)
    with SAMPLERS.temporary():
        names: Sequence[str] = list(SAMPLERS)
        assert "curious" in names


def test_the_module_on_the_docs_page_registers_a_sampler() -> None:
    (code,) = blocks("docs/extensions.md", "python")
    with SAMPLERS.temporary():
        exec(code, {})
        assert SAMPLERS["damped"]([2.0, 1.0])[0].at == 2.0  # type: ignore[operator]


def test_training_with_known_names_imports_no_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", monkeypatch, "late", "late_extension", "open('loaded', 'w').close()")
    run("train", "-d", "ring", "-o", "run", *FEW, cwd=tmp_path)
    assert not (tmp_path / "loaded").exists()


OBJECTIVE = """
from polydiff.gaussian.objective.base import OBJECTIVES
@OBJECTIVES.register("plain")
def plain(loss):
    return OBJECTIVES["denoising"](loss)
"""
WEIGHTING = """
from polydiff.gaussian.loss.weightings import WEIGHTINGS
@WEIGHTINGS.register("mine")
def mine(sigma, snr, sigma_data):
    {}
"""


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        (OBJECTIVE, [], ""),  # a function has neither `teaches` nor `suits`, and affects no other objective
        (WEIGHTING.format("return 1.0"), ["loss.weighting=mine"], "loss.weighting"),
        (WEIGHTING.format("return {}['gone']"), ["loss.weighting=mine"], "KeyError: 'gone'"),
        (WEIGHTING.format("return sigma.nothing"), ["loss.weighting=mine"], "has no attribute 'nothing'"),
        (WEIGHTING.format("assert False"), ["loss.weighting=mine"], "AssertionError"),
    ],
)
def test_components_that_do_not_keep_to_the_interface_are_errors_of_one_line(
    source: str, words: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(source)
    code = 2 if message else 0
    text = run("train", "--plugin", "mine.py", "-d", "ring", "-o", "run", *FEW, *words, code=code, cwd=tmp_path)
    assert message in text
