"""Settings: precedence, provenance, messages, and files that are read back as the same configuration."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from settings_cases import resolve_words

from polydiff import load, train
from polydiff.backbones.config import MLPConfig, UNetConfig
from polydiff.config.merge import resolve
from polydiff.config.saved import config_from, resolved_text
from polydiff.gaussian.process.checks import check_names
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import dump_yaml, parse_yaml, read_yaml

pytestmark = pytest.mark.usefixtures("ring")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_later_layer_overrides_an_earlier_one(tmp_path: Path) -> None:
    one = write(tmp_path / "one.yaml", "train: {steps: 20, batch_size: 5}\noptim.lr: 1e-3\n")
    two = write(tmp_path / "two.yaml", "train:\n  batch-size: 6\n")
    config, provenance, user_values = resolve_words("seed=7", preset="wide", files=[one, two])
    assert (config.train.steps, config.train.batch_size, config.optim.lr, config.seed) == (20, 6, 1e-3, 7)
    assert (config.backbone.hidden, config.train.log_every, config.optim.warmup) == (32, 1, 100)  # type: ignore[attr-defined]
    assert provenance["train.steps"] == provenance["optim.lr"] == f"file {one}"
    assert provenance["train.batch_size"] == f"file {two}"
    assert provenance["backbone.hidden"] == "preset wide"
    assert provenance["seed"] == provenance["preset"] == "command line"
    assert provenance["train.log_every"] == provenance["sample.steps"] == "default"
    assert user_values == {
        "domain": "ring",
        "preset": "wide",
        "seed": 7,
        "optim": {"lr": 1e-3},
        "train": {"steps": 20, "batch_size": 6},
    }


def test_user_values_are_a_file_that_gives_the_same_configuration(tmp_path: Path) -> None:
    config, _, user_values = resolve_words(
        "data.sizes=[9,3]", "loss.times_options.std=2", "data.folder=/tmp/x y", preset="wide"
    )
    path = write(tmp_path / "user.yaml", dump_yaml(user_values, {}))
    assert resolve(files=[path]).config == config


def test_a_file_or_a_word_can_set_domain_and_preset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "domain: ring\npreset: wide\n")
    assert resolve(files=[path]).config.train.steps == 9
    assert resolve(preset="quick", files=[path]).config.train.steps == 6
    assert resolve_words("domain=ring", "preset=wide", domain=None).config.train.steps == 9


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("data.sizes=[5,2]", (5, 2)),
        ("data.sizes=5,2", (5, 2)),
        ("data.sizes=(5, 2)", (5, 2)),
        ("data.sizes=[]", ()),
        ("data.closed=no", False),
        ("data.closed=0", False),
        ("data.closed=False", False),
        ("data.closed=yes", True),
        ("data.closed=1", True),
        ("data.closed=true", True),
        ("data.folder=none", None),
        ("data.folder=/a/b", Path("/a/b")),
        ("data.folder=12", Path("12")),
        ("data.fault=no", "no"),
        ("data.fault=1e3", "1e3"),
        ("data.fault=", ""),
        ("data.radius=2", 2.0),
        ("data.radius=1e-4", 1e-4),
        ("data.radius=.5", 0.5),
        ("train.batch-size=3", 3),
        ("train.steps=1e3", 1000),
        ("train.steps=1_000", 1000),
        ("optim.decay=cosine", "cosine"),
        ("optim.betas=[0.5, 0.9]", (0.5, 0.9)),
        ("schedule_options={sigma_min: 1e-3}", {"sigma_min": 1e-3}),
        ("schedule_options.T=500", {"T": 500}),
        ("loss.times_options.mean=-3", {"mean": -3.0, "std": 1.2}),
        ("loss.times_options={mean: -3}", {"mean": -3.0}),
        ("sample.options.eta=0.5", {"eta": 0.5}),
    ],
)
def test_words_are_read_by_the_types_of_their_keys(word: str, value: object) -> None:
    found: Any = resolve_words(word).config
    for part in word.partition("=")[0].replace("-", "_").split(".")[:2]:
        found = getattr(found, part, found)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.stpes=3", "Unknown key 'train.stpes' (command line). Did you mean 'train.steps'? Keys of train: steps"),
        (
            "backbone.hiden=3",
            "Did you mean 'backbone.hidden'? Keys of backbone: name, step_size, self_condition, ",
        ),
        ("hidden=3", "Did you mean 'backbone.hidden'?"),
        ("steps=3", "Did you mean 'train.steps' or 'sample.steps'?"),
        ("nonsense.zebra=3", "Unknown key 'nonsense.zebra' (command line). Keys: domain, preset, seed"),
        ("train.steps.more=3", "Unknown key 'train.steps.more'"),
        ("train.steps=0", "train.steps=0 (command line): should be greater than or equal to 1."),
        ("train.steps=many", "train.steps=many (command line): should be a whole number"),
        ("train.steps=1.5", "train.steps=1.5 (command line): should be a whole number"),
        ("train=5", "train=5 (command line): train is a section. Keys of train: steps"),
        ("data.sizes=[1,x]", "data.sizes[1]=x (command line): should be a whole number"),
        ("data.sizes=[1", "data.sizes, line 1, column 3: this is not YAML"),
        ("loss.times_options={mean: low}", "loss.times_options.mean=low (command line): should be a number"),
        ("schedule_options={T: few}", "schedule_options.T=few (command line): should be a number"),
        ("optim.decay=cosin", "optim.decay=cosin (command line): should be 'constant', 'cosine' or 'linear'."),
        ("data.closed=maybe", "data.closed=maybe (command line): should be true or false"),
        ("optim.decay=cos\ny", r"optim.decay=cos\ny (command line): should be 'constant'"),
        ("schedule_options={.inf: 1}", "schedule_options (command line): the key inf should be text"),
        ("backbone.name=ml", "Unknown backbone 'ml'. Did you mean 'mlp'?"),
        ("preset=wdie", "Unknown preset of ring 'wdie'. Did you mean 'wide'? Known: quick, wide."),
    ],
)
def test_a_wrong_word_gets_a_message_of_one_line(word: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve_words(word)
    text = str(error.value)
    assert message in text
    assert "\n" not in text
    assert "pydantic" not in text


def test_the_message_about_a_wrong_file_names_it(tmp_path: Path) -> None:
    def complaint(text: str) -> str:
        path = write(tmp_path / "my.yaml", text)
        with pytest.raises(UserError) as error:
            resolve("ring", files=[path])
        return str(error.value).replace(str(path), "my.yaml")

    assert complaint("train: {stpes: 3}").startswith(
        "Unknown key 'train.stpes' (file my.yaml). Did you mean 'train.steps'?"
    )
    assert complaint("train: {steps: -1}") == "train.steps=-1 (file my.yaml): should be greater than or equal to 1."
    assert complaint("train: {steps: 1, steps: 2}").startswith(
        "my.yaml, line 1, column 8: this is not YAML: the key 'steps'"
    )
    assert complaint("- 3").startswith("my.yaml should hold keys and values")
    assert complaint("a: [").startswith("my.yaml, line 1")
    with pytest.raises(UserError, match=r"Cannot read the config file .*none\.yaml: No such file"):
        resolve("ring", files=[tmp_path / "none.yaml"])


def test_a_missing_domain_raises_an_error() -> None:
    with pytest.raises(UserError, match="Which domain"):
        resolve_words(domain=None)
    with pytest.raises(UserError, match="'domian': did you mean 'domain'"):
        resolve_words("domian=ring", domain=None)


def test_another_backbone_brings_its_own_section() -> None:
    config, provenance, _ = resolve_words("backbone.name=unet", "backbone.kernel=5")
    assert isinstance(config.backbone, UNetConfig)
    assert provenance["backbone.name"] == "command line"
    assert provenance["backbone.channels"] == "default"
    assert config_from(config.model_dump(mode="json")) == config
    with pytest.raises(UserError, match=r"Unknown key 'backbone\.hidden'"):
        resolve_words("backbone.name=unet", "backbone.hidden=3")


def test_a_preset_that_is_a_pipeline_is_named_as_such() -> None:
    with pytest.raises(UserError, match=r"latent of image is a pipeline .*--domain image --preset latent"):
        resolve("image", "latent")
    with pytest.raises(UserError, match=r"Did you mean 'latent'\?"):
        resolve("image", "latnet")


def test_a_preset_sets_no_keys_of_another_backbone() -> None:
    config, provenance, _ = resolve_words("backbone.name=unet", preset="wide")
    assert config.train.steps == 9
    assert {provenance[key] for key in provenance if key.startswith("backbone.")} == {"command line", "default"}
    own = resolve_words("backbone.name=mlp", preset="wide").config.backbone
    assert isinstance(own, MLPConfig)
    assert own.hidden == 32


def test_a_file_with_keys_of_another_backbone_raises_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "backbone: {hidden: 8}")
    with pytest.raises(UserError, match=r"Unknown key 'backbone\.hidden' \(file"):
        resolve_words("backbone.name=unet", files=[path])


def test_a_new_name_removes_the_options_of_the_old_one() -> None:
    assert resolve_words("loss.times=uniform").config.loss.times_options == {}
    assert resolve_words("loss.times=log_normal").config.loss.times_options == {"mean": -1.2, "std": 1.2}
    both = resolve_words("loss.times_options={std: 2}", "loss.times=logit_normal").config.loss
    assert (both.times, both.times_options) == ("logit_normal", {"std": 2.0})


@pytest.mark.parametrize("domain", ["image", "audio", "molecule"])
def test_options_keep_the_type_in_which_they_were_given(domain: str) -> None:
    """16 must not become 16.0, which is no number of sigmoids, and true must not become 1.0."""
    learned = ("schedule=learned", "loss.times=uniform", "loss.weighting=elbo")
    config = resolve_words(*learned, "schedule_options.hidden=16", domain=domain).config
    check_names(config)
    assert type(config.schedule_options["hidden"]) is int
    assert config_from(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    switched = resolve_words("schedule=linear", "schedule_options.zero_terminal_snr=true", domain=domain).config
    assert switched.schedule_options["zero_terminal_snr"] is True
    loss = resolve_words("loss.weighting_options={a: 1}", "loss.norm_options={a: true}", domain=domain).config.loss
    assert type(loss.weighting_options["a"]) is int
    assert loss.norm_options["a"] is True
    wrong = {"0": r": hidden must be a whole number of at least 1, not 0\.", "1.5": r"\.hidden=1\.5: should be a whole"}
    for hidden, message in wrong.items():
        with pytest.raises(UserError, match=f"^schedule_options{message}"):
            check_names(resolve_words(*learned, f"schedule_options.hidden={hidden}", domain=domain).config)


class Colour(StrEnum):
    RED = "red"


WORDS = {"a": "yes", "b": "1e-3", "c": "null", "d": "", "lines": "one\n two\n", "quote": "'\"#: {"}


@pytest.mark.parametrize(
    ("key", "given", "kept"),
    [
        ("sample.negative", {"caption": "tab\there, back\\slash"}, {"caption": "tab\there, back\\slash"}),
        ("sample.negative", WORDS, WORDS),
        ("sample.negative", {"colour": Colour.RED, "folder": Path("a b")}, {"colour": "red", "folder": "a b"}),
        ("sample.spacing_options", {"levels": np.linspace(3, 1, 3)}, {"levels": [3.0, 2.0, 1.0]}),
        ("sample.options", {"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(1)}, {"a": 0.5, "b": 3, "c": True}),
        ("sample.options", {"nested": ({"x": (1, 2)}, None)}, {"nested": [{"x": [1, 2]}, None]}),
        ("sample.options", {"tensor": torch.tensor([1.5, 2.0])}, {"tensor": [1.5, 2.0]}),
        ("loss.times_options", {"mean": np.float64(0.1)}, {"mean": 0.1}),
        ("loss.times_options.std", np.float32(0.5), 0.5),
        ("optim.betas", np.array([0.5, 0.25]), (0.5, 0.25)),
        ("optim.lr", np.float64(1e-3), 1e-3),
        ("optim.lr", "0.1", 0.1),
        ("train.steps", np.int64(7), 7),
        ("train.steps", "7", 7),
        ("data.sizes", [9, 3], (9, 3)),
        ("data.sizes", (), ()),
        ("data.closed", False, False),
        ("data.folder", Path("/x/y z"), Path("/x/y z")),
        ("data.folder", "null", Path("null")),
        ("data.folder", None, None),
        ("data.fault", "1e3", "1e3"),
        ("data.fault", "yes", "yes"),
        ("sample.guide", None, None),
    ],
)
def test_a_python_value_is_kept_and_reads_back(key: str, given: object, kept: object) -> None:
    def found(config: Any) -> object:
        for part in key.split("."):
            config = config[part] if isinstance(config, dict) else getattr(config, part)
        return config

    section, _, name = key.rpartition(".")
    for values in ({key: given}, {section: {name: given}}):
        settings = resolve("ring", values=values)
        assert found(settings.config) == kept
        assert type(found(settings.config)) is type(kept)
        assert settings.provenance.get(key, "arguments") == settings.provenance["domain"] == "arguments"
        text = resolved_text(settings.config, settings.provenance)
        assert config_from(parse_yaml(text, "here")) == settings.config
        assert resolve(values=parse_yaml(dump_yaml(settings.user_values, {}), "here")).config == settings.config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train.steps": "many"}, "train.steps='many' (arguments): should be a whole number"),
        ({"train.stpes": 3}, "Unknown key 'train.stpes' (arguments). Did you mean 'train.steps'?"),
        ({"loss.times_options": {"mean": "0.1"}}, "times_options.mean='0.1' (arguments): should be a number."),
        (
            {"loss.times_options": "{mean: 1}"},
            "times_options='{mean: 1}' (arguments): should be names with values",
        ),
        ({"data.sizes": "5,2"}, "data.sizes='5,2' (arguments): should be a list, such as [1, 2]."),
        ({"sample.options": {"f": print}}, "sample.options.f: a configuration cannot hold the type builtin_function"),
        ({"train": 5}, "train=5 (arguments): train is a section."),
    ],
)
def test_the_message_about_a_wrong_python_value_names_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve("ring", values=values)
    assert message in str(error.value)


@pytest.mark.parametrize("text", [".inf: 3", "1: 2", "true: 2", "null: 3"])
def test_a_key_that_is_no_text_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.yaml: the key (inf|1|True|None) should be text"):
        resolve("ring", files=[write(tmp_path / "a.yaml", text)])


@pytest.mark.parametrize(("word", "found"), [("5", (5,)), ("5,2", (5, 2)), ("[5]", (5,)), ("(5, 2)", (5, 2))])
def test_one_number_on_the_command_line_is_a_list_of_one(word: str, found: tuple[int, ...]) -> None:
    assert resolve("ring", words={"data.sizes": word}).config.data.sizes == found  # type: ignore[attr-defined]


def test_words_override_values_and_values_override_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "train: {steps: 2, batch_size: 3}\nseed: 4\n")
    config, provenance, _ = resolve(
        "ring", files=[path], values={"train": {"steps": 5}, "seed": 6}, words={"seed": "7"}
    )
    assert (config.train.steps, config.train.batch_size, config.seed) == (5, 3, 7)
    assert [provenance[key] for key in ("train.steps", "seed")] == ["arguments", "command line"]
    assert provenance["domain"] == "command line"


def test_train_and_sample_take_values_of_numpy(tmp_path: Path) -> None:
    """Arrays and numbers of numpy keep their values in overrides and in options of `sample`."""
    spaced = {"sample.spacing": "own", "sample.spacing_options": {"levels": np.linspace(3, 1, 4)}}
    path = train("ring", tmp_path / "run", overrides={**spaced, "train.steps": np.int64(2)})
    config = config_from(read_yaml(path / "config.resolved.yaml"))
    assert config.sample.spacing_options == {"levels": np.linspace(3, 1, 4).tolist()}
    assert config.train.steps == 2
    assert "steps: 2  # arguments" in (path / "config.resolved.yaml").read_text()
    model = load(path)
    levels: dict[str, Any] = {"spacing": "own", "spacing_options": {"levels": np.array([2.0, 1.5, 1.0])}}
    drawn = [model.sample(2, steps=n, **levels) for n in (np.int64(3), 3)]
    assert all((a == b).all() for a, b in zip(drawn[0].examples, drawn[1].examples, strict=True))
    plan = model.plan(steps=3, **levels).model_dump(mode="json")
    assert plan["spacing_options"] == {"levels": [2.0, 1.5, 1.0]}
    with pytest.raises(UserError, match="steps=lots: should be a whole number"):
        model.sample(1, steps="lots")  # type: ignore[arg-type]


def test_the_name_of_a_data_set_has_a_default() -> None:
    from polydiff.contract.sections.data import DataConfig

    class Plain(DataConfig):
        """A section of a new domain without a name."""

    assert Plain().name == "data"


def test_runs_that_a_file_names_are_found_in_its_folder_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key of a run, and the text encoder; what is not there, and data, are in the current folder."""
    keys = {
        "domain": "image", "codec": "parts/codec", "tell": {"embedding": "parts/tell"}, "tell.other": "hf:me/pair",
        "sample.guide": "parts/guide", "train.init": "base", "data.path": "photos",
        "data.text": {"encoder": "../encoder"},
    }  # fmt: skip
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    place = tmp_path / "given"
    for name in ("parts/codec", "parts/tell", "parts/guide", "photos", "../encoder"):
        (place / name).mkdir(parents=True)
    write(place / "config.resolved.yaml", dump_yaml(keys, {}))
    for folder in (place, tmp_path / "moved"):
        config = resolve(files=[Path("..") / folder.name / "config.resolved.yaml"]).config
        assert config.codec == folder / "parts" / "codec"
        assert config.tell == {"embedding": folder / "parts" / "tell", "other": Path("hf:me/pair")}
        assert config.sample.guide == folder / "parts" / "guide"
        assert config.train.init == tmp_path / "here" / "base"
        assert config.data.path == tmp_path / "here" / "photos"
        assert (config.data.text.encoder or place).resolve() == tmp_path / "encoder"  # type: ignore[attr-defined]
        if folder == place:
            place.rename(tmp_path / "moved")


def test_a_codec_of_a_name_that_no_file_can_have_is_read_as_no_run() -> None:
    """Opening it is the error, as for other paths without a run."""
    codec = resolve("image", words={"codec": "x" * 500}).config.codec
    assert codec is not None
    assert codec.name == "x" * 500


def test_an_interval_of_noise_levels_is_no_default_of_processes_with_levels_from_0_to_1(tmp_path: Path) -> None:
    """The error of sounds and letters is about them, not about a key that nobody set."""
    assert resolve("audio").config.sample.guidance_interval == (1.0, 1e4)
    assert resolve("audio", values={"process": "masked"}).config.sample.guidance_interval is None
    with pytest.raises(UserError, match="process=masked needs states that are letters"):
        train("audio", tmp_path / "run", overrides={"process": "masked", "data.n_train": 50})
