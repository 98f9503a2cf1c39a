"""Each stage gets the configuration of a run; names of earlier stages stand for their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polydiff.pipeline.file import pipeline_of
from polydiff.pipeline.folder import PipelineFolder
from polydiff.pipeline.settings import Words, stage_settings
from polydiff.support.errors import UserError


def settings(
    stages: dict[str, Any], folder: Path, every: dict[str, str] | None = None, own: Any = None, **more: Any
) -> Any:
    pipeline = pipeline_of({"domain": "image", "stages": stages, **more}, "my.yaml", folder)
    return stage_settings(pipeline, PipelineFolder(folder / "out", pipeline).runs, Words(every or {}, own or {}))


LATENT = {"ae": {"learn": "encode"}, "ldm": {"codec": "ae"}}


def test_the_name_of_an_earlier_stage_is_its_run(tmp_path: Path) -> None:
    found, _ = settings(LATENT, tmp_path)
    assert found["ldm"].config.codec == tmp_path.resolve() / "out" / "stages" / "ae"
    assert found["ldm"].provenance["codec"] == "my.yaml, stages.ldm"
    found, _ = settings({"a": {}, "b": {"train.init": "a"}, "c": {"sample": {"guide": "b"}}}, tmp_path)
    assert found["b"].config.train.init.name == "a"
    assert found["c"].config.sample.guide.name == "b"


def test_a_stage_that_exists_and_a_path_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    found, kept = settings({"ae": {"run": "old"}, "ldm": {"codec": "ae"}}, tmp_path)
    assert found["ldm"].config.codec == (tmp_path / "old").resolve()
    found, kept = settings({"ldm": {"codec": "old"}}, tmp_path)
    assert found["ldm"].config.codec == tmp_path / "old"
    assert kept.stages["ldm"].values["codec"] == str(tmp_path / "old")  # the kept file lies elsewhere


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"ldm": {"codec": "ae"}, "ae": {"learn": "encode"}}, r"my\.yaml: stage ldm: codec=ae: this stage comes later"),
        ({"ae": {"learn": "encode"}, "ldm": {"codec": "ldm"}}, "codec=ldm: this is the stage itself"),
        ({"ae": {"learn": "encode"}, "ldm": {"codec": "ea"}}, "codec=ea: there is no such run.*Did you mean 'ae'"),
        ({"ae": {"lern": "encode"}}, r"stage ae: Unknown key 'lern' \(my\.yaml, stages\.ae\)\. Did you mean 'learn'"),
        ({"ae": {"domain": "audio"}}, r"my\.yaml: stage ae: domain=audio: all stages of a pipeline are of one domain"),
        ({"ae": {"learn": "encode"}}, r"my\.yaml: no stage generates samples: ae"),
        ({"ae": {"train.steps": 3, "train": {"steps": 4}}}, r"my\.yaml, stages\.ae: train\.steps is given twice"),
        ({"ae": {"train.init": 3}}, r"train\.init=3 .*should be the path of a file or folder"),
        ({"ae": {"train.steps": "many"}}, r"stage ae: train\.steps=many \(my\.yaml, stages\.ae\)"),
    ],
)
def test_errors_name_the_stage_and_the_key(stages: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        settings(stages, tmp_path)


def test_common_keys_go_where_they_are_used_and_somewhere(tmp_path: Path) -> None:
    common = {"sample.steps": 7, "backbone": {"widest": 16}, "train.steps": 9}
    found, _ = settings(LATENT, tmp_path, common=common)
    assert (found["ae"].config.backbone.widest, found["ldm"].config.sample.steps) == (16, 7)
    assert found["ae"].config.train.steps == found["ldm"].config.train.steps == 9
    with pytest.raises(UserError, match=r"my\.yaml: no stage uses data\.sise: .*Did you mean 'data\.size'"):
        settings(LATENT, tmp_path, common={"data.sise": 3})


def test_common_keys_without_effect_on_a_stage_are_not_its_own(tmp_path: Path) -> None:
    stages = {"pair": {"learn": "match"}, "ae": {"learn": "encode", "encode.bits": 2}, "b": {"tell.embedding": "pair"}}
    common = {"tell_noise": 0.2, "encode.kl": 0.1}
    found, _ = settings({**stages, "ae-2": {"learn": "encode"}, "a": {}}, tmp_path, common=common)
    assert {name: one.config.tell_noise for name, one in found.items() if name in "ab"} == {"a": 0.1, "b": 0.2}
    assert [found[name].config.encode.kl for name in ("ae", "ae-2")] == [1e-3, 0.1]
    with pytest.raises(UserError, match=r"no stage uses encode\.kl: encode\.kl has no effect beside encode\.bits=2"):
        settings({"ae": stages["ae"], "ldm": {"codec": "ae"}}, tmp_path, common={"encode.kl": 0.1})


def test_the_command_line_overrides_and_is_kept_in_the_file(tmp_path: Path) -> None:
    stages = {"ae": {"learn": "encode", "train": {"steps": 5}}, "ldm": {"codec": "ae"}}
    found, kept = settings(stages, tmp_path, {"train.steps": "8"}, {"ldm": {"train.steps": "9", "optim.lr": "1e-3"}})
    assert (found["ae"].config.train.steps, found["ldm"].config.train.steps) == (8, 9)
    again, _ = stage_settings(kept, PipelineFolder(tmp_path / "out", kept).runs)
    assert [again[name].config for name in again] == [found[name].config for name in found]


def test_an_option_of_a_stage_that_is_not_trained_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown stage 'up'"):
        settings(LATENT, tmp_path, own={"up": {"train.steps": "3"}})
    (tmp_path / "old").mkdir()
    with pytest.raises(UserError, match="Stage ae is a run that exists"):
        settings({"ae": {"run": "old"}, "ldm": {"codec": "ae"}}, tmp_path, own={"ae": {"train.steps": "3"}})


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"ae": {"steps": 3}}, r"my\.yaml: sample\.ae: The stage generates no samples"),
        ({"ldm": {"sampler": "eulr"}}, r"my\.yaml: sample\.ldm: sample.sampler: Unknown sampler 'eulr'"),
        ({"ldm": {"guide": "ae", "guidance": 1}}, r"my\.yaml: sample\.ldm: A guide has no effect at guidance 1"),
    ],
)
def test_how_stages_sample_is_checked_before_they_are_trained(
    sample: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        settings(LATENT, tmp_path, sample=sample)


def test_paths_of_data_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    stages = {"a": {"data": {"path": "mine", "size": 8}}, "b": {}, "c": {"data.path": str(tmp_path / "c")}}
    found, kept = settings(stages, tmp_path, common={"data": {"path": "ours"}})
    places = [str(tmp_path / name) for name in ("mine", "ours", "c")]
    assert [str(one.config.data.path) for one in found.values()] == places
    assert [stage.values["data.path"] for stage in kept.stages.values()] == places  # the kept file lies elsewhere
    again, _ = stage_settings(kept, PipelineFolder(tmp_path / "out", kept).runs)
    assert [one.config for one in again.values()] == [one.config for one in found.values()]


def test_a_key_of_one_stage_points_to_its_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no stage uses ldm\.train\.steps: .* --stage ldm\.train\.steps=VALUE"):
        settings(LATENT, tmp_path, {"ldm.train.steps": "3"})
    with pytest.raises(UserError, match="domain=audio: all stages of a pipeline are of one domain, here image"):
        settings(LATENT, tmp_path, {"domain": "audio"})
