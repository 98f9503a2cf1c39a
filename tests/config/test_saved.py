"""Saved configurations: resolved text, JSON and presets are read back as the same configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from settings_cases import resolve_words

from polydiff.config.merge import resolve
from polydiff.config.processes import process_of
from polydiff.config.saved import config_from, resolved_text
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import read_yaml

pytestmark = pytest.mark.usefixtures("ring")


@pytest.mark.parametrize(
    "words", [[], ["backbone.name=unet"], ["data.folder=/a b/c", "data.sizes=[3,4]", "optim.lr=1e-7"]]
)
def test_the_resolved_text_is_the_same_configuration(tmp_path: Path, words: list[str]) -> None:
    config, provenance, _ = resolve_words(*words, preset="wide")
    text = resolved_text(config, provenance)
    path = tmp_path / "config.resolved.yaml"
    path.write_text(text)
    assert config_from(read_yaml(path)) == config
    assert resolve(files=[path]).config == config
    assert config_from(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert "steps: 9  # preset wide" in text
    assert "!!" not in text


def test_every_preset_of_every_installed_domain_resolves() -> None:
    from polydiff.contract.discover import discover
    from polydiff.contract.spec import DomainSpec

    for plugin in discover(DomainSpec):
        for preset in plugin.spec.presets:
            config, provenance, _ = resolve(plugin.name, preset)
            assert config.preset == preset
            assert config_from(yaml.safe_load(resolved_text(config, provenance))) == config
            process_of(config).check(config)


def test_a_saved_configuration_without_a_domain_raises_an_error() -> None:
    with pytest.raises(UserError, match=r"my run does not name its domain"):
        config_from({"train.steps": 3}, "my run")


def test_a_section_within_a_section_keeps_the_behaviour_from_before_its_newer_keys() -> None:
    values = resolve("image", values={"data.name": "shapes"}).config.model_dump(mode="json")
    assert values["backbone"]["text"].pop("kernel") > 0
    assert config_from(values).backbone.text.kernel == 0
    values["backbone"]["text"]["kernel"] = 7
    assert config_from(values).backbone.text.kernel == 7


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_keys_that_had_no_effect_and_are_an_error_now_do_not_keep_a_run_from_loading(name: str) -> None:
    config = resolve("image", values={"data.name": name}).config
    nested = config.model_dump(mode="json")
    nested["data"]["text"] |= {"tokens": "bytes", "longest": 9}
    dotted = {**config.model_dump(mode="json"), "data.text.tokens": "bytes", "data.name": name}
    dotted["data"] = {key: value for key, value in dotted["data"].items() if key != "text"}
    assert config_from(nested) == config
    assert config_from(dotted) == config
    with pytest.raises(UserError, match=r"leave out data.text.tokens"):
        resolve("image", values={"data.name": name, "data.text.tokens": "bytes"})
    nested["data"]["captions"] = "title"  # always was an error
    with pytest.raises(UserError, match=r"leave out data.captions"):
        config_from(nested)


def test_keys_of_captions_of_a_folder_are_read() -> None:
    config = resolve("image", values={"data.path": "photos", "data.text.tokens": "bytes"}).config
    assert config_from(config.model_dump(mode="json")) == config
