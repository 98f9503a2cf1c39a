"""The file of a pipeline is read strictly: an error names the file, the stage and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from repository import blocks

from polydiff.pipeline.file import pipeline_of, read_pipeline
from polydiff.support.errors import UserError
from polydiff.support.yaml_text import parse_yaml

GOOD: dict[str, Any] = {
    "domain": "image",
    "common": {"data.size": 32},
    "stages": {"base": {}, "up-2": {"task": "upsample"}, "old": {"run": "../base-12", "sha256": "12ab"}},
    "sample": {"up-2": {"level": 0.1, "guidance": 1}, "base": {"keep": 1, "of": 2}},
}


def read(**changes: Any) -> Any:
    return pipeline_of({**GOOD, **changes}, "my.yaml", Path("/work/mine"))


def test_it_reads_stages_in_order_with_paths_from_its_own_folder() -> None:
    pipeline = read()
    assert list(pipeline.stages) == ["base", "up-2", "old"]
    assert pipeline.stages["old"].run == Path("/work/base-12")
    assert pipeline.stages["old"].sha256 == "12ab"
    assert pipeline.earlier("up-2") == ["base"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stagse": {}}, r"my\.yaml: Unknown key 'stagse'\. Did you mean 'stages'\?"),
        ({"domain": 3}, r"my\.yaml: domain should be the name of a domain"),
        ({"stages": {}}, "should hold at least one stage"),
        ({"stages": ["a"]}, r"my\.yaml: stages should be names with values"),
        ({"stages": {"a.b": {}}}, r"my\.yaml: stages\.a\.b: the name of a stage consists of up to 64 letters"),
        ({"stages": {"../x": {}}}, "the name of a stage consists of up to 64 letters"),
        ({"stages": {"a": 3}}, r"my\.yaml: stages\.a should be names with values"),
        (
            {"stages": {"a": {"run": "x", "learn": "encode"}}},
            r"stages\.a: a run that exists takes no further keys, but",
        ),
        ({"stages": {"a": {"run": 3}}}, r"stages\.a\.run=3 should be the path of a run"),
        ({"stages": {"a": {"run": "x", "sha256": 12}}}, r"stages\.a\.sha256=12 should be the digest"),
        ({"sample": {"bsae": {}}}, r"my\.yaml: sample: Unknown stage 'bsae'\. Did you mean 'base'\?"),
        ({"sample": {"base": {"lvel": 1}}}, r"my\.yaml: sample\.base: Unknown key 'lvel'\. Did you mean 'level'\?"),
        ({"stages": {"a" * 65: {}}}, "the name of a stage consists of up to 64 letters"),
        ({"stages": {"Base": {}, "base": {}}}, r"my\.yaml: the stages Base and base differ in capitals alone"),
        ({"domain": None}, r"my\.yaml names no domain\. Add a line such as 'domain: image'"),
        ({"sample": {"base": {"steps": "many"}}}, r"my\.yaml: sample\.base: steps=many: should be a whole number"),
        ({"sample": {"base": {"level": "high"}}}, r"my\.yaml: sample\.base: level='high' should be a number"),
        ({"sample": {"base": {"level": -1}}}, r"sample\.base: level=-1 should be a number of at least 0"),
        ({"sample": {"base": {"of": 1.5}}}, r"sample\.base: of must be a whole number"),
        ({"sample": {"base": {"keep": 2}}}, r"sample\.base: keep=2 should be 1"),
        ({"common": 3}, r"my\.yaml: common should be names with values"),
    ],
)
def test_what_is_no_pipeline_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(**changes)


def test_a_stage_that_is_named_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("domain: image\nstages:\n  base: {}\n  base: {learn: encode}\n")
    with pytest.raises(UserError, match=r"a\.yaml, line .*the key 'base' is given twice"):
        read_pipeline(tmp_path / "a.yaml")


def test_the_domain_may_come_from_elsewhere_but_not_another_one() -> None:
    values = {key: value for key, value in GOOD.items() if key != "domain"}
    assert pipeline_of(values, "my.yaml", Path(), "audio").domain == "audio"
    with pytest.raises(UserError, match=r"my\.yaml is a pipeline of the domain image, not audio"):
        pipeline_of(GOOD, "my.yaml", Path(), "audio")


def test_its_text_reads_back_from_another_folder(tmp_path: Path) -> None:
    stages = {**GOOD["stages"], "on": {"train": {"steps": 4, "batch-size": 2}}, "1e3": {}}
    sample = {"up-2": {"level": 0.1, "guide": "../weak", "guidance": 2}, "on": {"guide": "base", "guidance": 2}}
    pipeline = read(stages=stages, sample=sample).with_values("up-2", {"train.steps": 5})
    pipeline = pipeline.with_values("on", {"train.steps": 5, "train.batch_size": 3})
    assert pipeline.stages["on"].values == {"train": {}, "train.steps": 5, "train.batch_size": 3}
    assert pipeline.sample["up-2"]["guide"] == "/work/mine/../weak"  # the kept file lies elsewhere
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "pipeline.yaml").write_text(pipeline.text(tmp_path / "deep"))
    again = read_pipeline(tmp_path / "deep" / "pipeline.yaml")
    assert again.stages == pipeline.stages
    assert (again.common, again.sample, again.domain) == (pipeline.common, pipeline.sample, "image")


def test_the_file_of_the_documentation_is_one() -> None:
    (text,) = blocks("docs/pipelines.md", "yaml")
    pipeline = pipeline_of(parse_yaml(text, "docs"), "docs/pipelines.md", Path())
    assert list(pipeline.stages) == ["pair", "prior", "decoder", "up"]
