"""Plugins: each is loaded alone, and what is wrong with one is said and harms nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_plugins import BACKBONES, DOMAINS, PLUGINS, distribution, install_ring, on_path, polydiff
from repository import ROOT

from polydiff.checkup.doctor import backbones
from polydiff.checkup.plugin_errors import failed_plugin
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.contract import discover as discovery
from polydiff.contract.backbone import BackboneSpec, build_backbone, load_backbone_spec
from polydiff.contract.discover import build_domain, discover, duplicates, load, load_domain_spec, require, tried
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.spec import DomainSpec
from polydiff.core import extensions
from polydiff.core.conditions import Classes
from polydiff.support.errors import UserError

SPEC = 'SPEC = DomainSpec(name="{name}", summary="s", config="ring:RingConfig", factory="ring_domain:Ring"{more})\n'
HEAD = "from polydiff.contract.spec import DomainSpec\n"


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    """Install a domain whose module has this source."""
    module = f"planted_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source)
    distribution(folder, f"dist-{name}", {DOMAINS: {name: f"{module}:SPEC"}})
    on_path(monkeypatch, folder)


def found(name: str) -> tuple[str, str]:
    (plugin,) = [plugin for plugin in discover(DomainSpec) if plugin.name == name]
    return plugin.status, plugin.reason


def test_the_built_in_ones_are_plugins_like_any_other() -> None:
    domains = {plugin.name: plugin for plugin in discover(DomainSpec)}
    backbones = {plugin.name: plugin for plugin in discover(BackboneSpec)}
    assert {"image", "audio", "molecule"} <= set(domains)
    assert {"unet", "egnn", "mlp"} <= set(backbones)
    assert all(p.distribution.startswith("polydiff ") for p in [*domains.values(), *backbones.values()])
    assert all(p.status != "broken" for p in [*domains.values(), *backbones.values()])


def test_a_third_party_domain_is_found_and_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path, monkeypatch)
    assert found("ring") == ("ready", "")
    domain = build_domain(resolve("ring").config)
    assert domain.size("train") == 64
    assert sum(p.numel() for p in domain.backbone().parameters()) > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("SPEC = 3\n", "is a int, not a DomainSpec"),
        ("OTHER = 3\n", "has no attribute 'SPEC'"),
        (HEAD + SPEC.format(name="bad", more=", api=99"), "uses version 99 of the plugin interface"),
        (HEAD + SPEC.format(name="worse", more=""), "has the name 'worse'"),
        (HEAD + SPEC.format(name="bad", more=", colour=3"), "unexpected keyword argument 'colour'"),
    ],
)
def test_a_broken_plugin_is_reported_and_affects_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    install_ring(tmp_path / "ring", monkeypatch)
    plant(tmp_path, monkeypatch, "bad", source)
    status, said = found("bad")
    assert status == "broken"
    assert reason in said
    assert "\n" not in said
    assert load_domain_spec("ring").summary == "Points on a ring."
    with pytest.raises(UserError, match=r"'bad' of dist-bad 1\.0 is broken"):
        load_domain_spec("bad")
    with pytest.raises(UserError) as error:
        load_domain_spec("rnig")
    assert "Did you mean 'ring'?" in str(error.value)
    assert "Installed but broken: bad of dist-bad 1.0" in str(error.value)


def test_a_missing_module_raises_an_error_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ", requires=('json', 'nothing_of_this_name.inner'), install='pip install thing'"
    plant(tmp_path, monkeypatch, "far", HEAD + SPEC.format(name="far", more=more))
    assert found("far") == ("needs install", "nothing_of_this_name.inner not installed; type: pip install thing")
    spec = load_domain_spec("far")
    with pytest.raises(
        UserError, match=r"needs nothing_of_this_name\.inner, which is not installed\. Type: pip install thing"
    ):
        require(spec)


def test_two_of_one_name_are_an_error_that_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ring(tmp_path / "a", monkeypatch)
    distribution(tmp_path / "b", "ring-again", {DOMAINS: {"ring": "ring:SPEC"}}, version="2.5")
    on_path(monkeypatch, tmp_path / "b")
    assert duplicates(discover(DomainSpec)) == {"ring"}
    with pytest.raises(UserError, match=r"2 packages provide the domain 'ring'") as error:
        load_domain_spec("ring")
    assert "polydiff-ring 1.0" in str(error.value)
    assert "ring-again 2.5" in str(error.value)
    assert load_domain_spec("image").name == "image"


def test_a_backbone_of_a_third_party_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_net.py").write_text(
        "from polydiff.contract.backbone import BackboneSpec\n"
        "from polydiff.contract.sections.network import BackboneConfig\n"
        "class Config(BackboneConfig):\n    name: str = 'line'\n    width: int = 3\n"
        "def build(config, **rest): return config.width, rest\n"
        "SPEC = BackboneSpec(name='line', summary='s', config='planted_net:Config', factory='planted_net:build')\n"
    )
    distribution(tmp_path, "net", {BACKBONES: {"line": "planted_net:SPEC"}})
    on_path(monkeypatch, tmp_path)
    section = load(load_backbone_spec("line").config)(width=7)
    assert isinstance(section, BackboneConfig)
    built = build_backbone(section, channels=2, dims=0, conditions={"a": 3})
    assert built == (7, {"channels": 2, "dims": 0, "conditions": {"a": Classes(3)}})
    with pytest.raises(UserError, match=r"Unknown backbone 'lime'\. Did you mean 'line'"):
        build_backbone(section.model_copy(update={"name": "lime"}), channels=2, dims=0, conditions={})


def test_a_backbone_examines_itself_and_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_self.py").write_text(
        "from polydiff.contract.backbone import BackboneSpec\n"
        "from polydiff.contract.discover import Finding\n"
        "def examine(): return [Finding('lines', 'note', 'thin')]\n"
        "def fail(): raise RuntimeError('no ruler')\n"
        "def spec(name, function): return BackboneSpec(name=name, summary='s', config='c:C', factory='f:F',"
        " examine=f'planted_self:{function}')\n"
        "GOOD, BAD = spec('good', 'examine'), spec('bad', 'fail')\n"
    )
    distribution(tmp_path, "net", {BACKBONES: {"good": "planted_self:GOOD", "bad": "planted_self:BAD"}})
    on_path(monkeypatch, tmp_path)
    found = {finding.name: finding for finding in backbones()}
    assert found["lines"] == ("lines", "note", "thin")
    assert found["backbone bad"] == ("backbone bad", "broken", "its examination fails: RuntimeError: no ruler")
    assert "C++ kernel" in found


def test_a_backbone_for_other_data_raises_an_error() -> None:
    config = resolve("image", words={"backbone.name": "mlp"}).config
    with pytest.raises(
        UserError, match=r"backbone\.name=mlp: this backbone accepts vectors, but these data are images\."
    ):
        build_backbone(config.backbone, channels=1, dims=2, conditions={})


def test_the_error_of_load_names_what_it_cannot_load() -> None:
    assert load("pathlib:Path") is Path
    for text in ("nothing_of_this_name:X", "pathlib:Paht"):
        with pytest.raises(UserError, match=f"{text} cannot be loaded"):
            load(text)
    with pytest.raises(UserError, match="module:name"):
        load("pathlib")


def test_discovery_loads_no_torch() -> None:
    code = (
        "import sys; from polydiff.contract.backbone import BackboneSpec;"
        "from polydiff.contract.discover import discover;"
        "from polydiff.contract.spec import DomainSpec;"
        "discover(DomainSpec); discover(BackboneSpec); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CARD = 'SPEC = DomainSpec(name="bad", summary={summary}, config={config}, factory="f:F"{more})\n'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("class Odd(BaseException): pass\nraise Odd('x')\n", "Odd: x"),
        (HEAD + CARD.format(summary=5, config="'a:B'", more=""), "summary is 5, but should be text"),
        (HEAD + CARD.format(summary="'s'", config="None", more=", suffixes='.png'"), "suffixes is '.png'"),
        (HEAD + CARD.format(summary="'s'", config="'a'", more=""), "config is 'a', but should be 'module:name'"),
        (HEAD + CARD.format(summary="'s'", config="'a:B'", more=", requires='torch'"), "should be a list of texts"),
        (HEAD + CARD.format(summary="'s'", config="'a:B'", more=", presets=['x']"), "presets is ['x']"),
        (HEAD + CARD.format(summary="'s'", config="'a:B'", more=", presets={}"), "at least one preset"),
        (HEAD + CARD.format(summary="'s'", config="'a:B'", more=", presets={'x': 3}"), "presets is"),
        (HEAD + CARD.format(summary="'s'", config="'a:B'", more=", prepares={'x': 'f'}"), "prepares is {'x': 'f'}"),
    ],
)
def test_a_plugin_that_ends_the_program_or_has_a_card_of_wrong_types_is_broken_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    install_ring(tmp_path / "ring", monkeypatch)
    plant(tmp_path, monkeypatch, "bad", source)
    status, said = found("bad")
    assert status == "broken"
    assert reason in said
    assert found("ring") == ("ready", "")


@pytest.mark.parametrize("harm", ["sys.stdout.close()", "os.close(1)", "print('noise')", "sys.exit(0)"])
def test_the_list_is_whole_beside_a_plugin_that_harms_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    plant(tmp_path, monkeypatch, "bad", f"import os, sys\n{harm}\n")
    done = polydiff("domains", "list", "--json")
    assert done.returncode == 0, done.stderr
    listed = {row["name"]: row["status"] for row in json.loads(done.stdout)}
    assert listed["image"] == "ready"
    assert listed["bad"] == "broken"


def test_a_command_imports_the_plugins_that_it_names_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_ring(tmp_path / "ring", monkeypatch)
    plant(tmp_path, monkeypatch, "slow", "import time\nopen('imported', 'w').close()\ntime.sleep(100)\n")
    done = polydiff("config", "show", "-d", "ring", cwd=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "imported").exists()


def test_a_plugin_whose_import_does_not_end_is_broken_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "IMPORT_SECONDS", 0.3)
    plant(tmp_path, monkeypatch, "slow", "import time\ntime.sleep(5)\n")
    assert found("slow") == ("broken", "it did not finish within 0.3 s")


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("config", "nothing_of_this_name:C", "its config, nothing_of_this_name:C, cannot be imported: ModuleNotFound"),
        ("config", "ring:Nothing", "has no attribute 'Nothing'"),
        ("config", "broken_module:C", "NameError"),
        ("factory", "broken_module:C", "its factory, broken_module:C, cannot be imported: NameError"),
    ],
)
def test_a_plugin_whose_modules_cannot_be_imported_is_broken_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str, reason: str
) -> None:
    install_ring(tmp_path / "ring", monkeypatch)
    values = {"config": "ring:RingConfig", "factory": "ring_domain:Ring", key: text}
    plant(
        tmp_path, monkeypatch, "bad",
        HEAD + f'SPEC = DomainSpec(name="bad", summary="s", config="{values["config"]}", '
        f'factory="{values["factory"]}")\n',
    )  # fmt: skip
    (tmp_path / "broken_module.py").write_text("undefined_name\n")
    (plugin,) = [plugin for plugin in discover(DomainSpec) if plugin.name == "bad"]
    assert plugin.status == "ready"
    broken = tried(plugin, "config", "factory")
    assert broken.status == "broken"
    assert reason in broken.reason
    if key == "config":
        done = polydiff("domains", "check", "bad")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert text in done.stderr


def test_a_configuration_of_another_type_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        tmp_path, monkeypatch, "bad", HEAD + SPEC.format(name="bad", more="").replace("ring:RingConfig", "json:dumps")
    )
    with pytest.raises(UserError, match=r"json:dumps of the domain 'bad' is no subclass"):
        resolve("bad")


RAISES = """
from ring_domain import Ring

class Bad(Ring):
    def size(self, split):
        raise ValueError("no size")

class Odd(Ring):
    def size(self, split):
        return "many"
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Bad", "ValueError: no size. It was raised in the plugin dist-bad 1.0, planted_domain, line 6."),
        ("Odd", "The plugin dist-bad 1.0 is in use and may be the cause: `polydiff domains check NAME` examines it."),
    ],
)
def test_an_exception_of_a_plugin_in_use_is_one_line_that_names_it(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_path(monkeypatch, PLUGINS)
    (tmp_path / "planted_domain.py").write_text(RAISES)
    card = SPEC.format(name="bad", more="").replace("ring_domain:Ring", f"planted_domain:{name}")
    plant(tmp_path, monkeypatch, "bad", HEAD + card)
    words_of_command = ["train", "--domain", "bad", "--dry-run"]
    assert main(words_of_command) == 1
    assert words in capsys.readouterr().err
    monkeypatch.setenv("POLYDIFF_DEBUG", "1")
    with pytest.raises((ValueError, TypeError)):
        main(words_of_command)
    del sys.modules["planted_domain"]
    assert failed_plugin(ValueError()) == ""


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 11)"])
def test_a_plugin_that_ends_its_process_ends_no_listing(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, monkeypatch, "bad", f"import os\n{end}\n")
    status, said = found("bad")
    assert status == "broken"
    assert re.search(r"its import ends the process \((exit code 0|SIGSEGV)\)", said)
    with pytest.raises(UserError, match="Did you mean 'image'"):
        load_domain_spec("imgae")


def test_a_factory_that_makes_no_domain_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, PLUGINS)
    (tmp_path / "planted_odd.py").write_text("Number = 3\ndef none(config, statistics=None): return None\n")
    for name, problem in (("Number", "is a int, not a class"), ("none", "returned a NoneType without statistics")):
        sys.modules.pop("planted_bad", None)
        card = SPEC.format(name="bad", more="").replace("ring_domain:Ring", f"planted_odd:{name}")
        plant(tmp_path / name, monkeypatch, "bad", HEAD + card)
        on_path(monkeypatch, tmp_path)
        with pytest.raises(UserError, match=problem):
            build_domain(resolve("bad").config)
        (tmp_path / name).rename(tmp_path / f"{name}-gone")


MOONS = ROOT / "examples" / "moons.py"


def test_a_domain_in_one_file_is_checked_trained_sampled_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extensions, "_loaded", {})
    plugin = ["--plugin", str(MOONS)]
    assert main(["domains", "check", "moons", *plugin]) == 0, capsys.readouterr().out
    words = ["train.steps=20", "train.batch_size=32", "sample.steps=4", "--judge", "0", "-o", "run"]
    assert main(["train", "--domain", "moons", *words, *plugin]) == 0
    assert main(["sample", "run", "-n", "2", "--cond", "moon=lower", "-o", "drawn", *plugin]) == 0
    assert json.loads((tmp_path / "drawn" / "manifest.json").read_text())["samples"][1]["cond"] == {"moon": "lower"}
    assert main(["eval", "run", "-n", "50", *plugin]) == 0
    assert main(["domains", "list"]) == 0
    assert re.search(r"moons +ready +--plugin +Points on two half circles", capsys.readouterr().out)


def test_a_run_of_a_domain_in_a_file_says_how_to_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_loaded", {})
    with pytest.raises(UserError, match=r"Unknown domain 'moons'.*add --plugin MODULE"):
        load_domain_spec("moons")
    monkeypatch.setenv(extensions.VARIABLE, str(MOONS))
    monkeypatch.setattr(extensions, "_loaded", {})
    assert load_domain_spec("moons").summary == "Points on two half circles, by half circle."
    assert load_domain_spec("moons") is load_domain_spec("moons")


def test_a_file_with_the_name_of_an_installed_domain_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "_loaded", {})
    (tmp_path / "mine.py").write_text(HEAD + SPEC.format(name="image", more=""))
    extensions.load(tmp_path / "mine.py")
    with pytest.raises(UserError, match=r"2 packages provide the domain 'image': polydiff .* and --plugin"):
        load_domain_spec("image")
    (tmp_path / "odd.py").write_text("from polydiff.domains.image import SPEC\n")
    monkeypatch.setattr(extensions, "_loaded", {})
    extensions.load(tmp_path / "odd.py")  # the built-in one again, by import
    assert load_domain_spec("image").name == "image"
