"""Agreement with captions, judged by pairs whose vectors are known, and by a trained one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import soundfile
import torch
from stage_cases import SHAPES_PAIR
from tiny_runs import tiny
from torch import Tensor

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.contract.discover import build_domain
from polydiff.contract.domain import Domain, Samples
from polydiff.core.streams import streams
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.domain import Image
from polydiff.judging.agreement import PairJudge
from polydiff.judging.evaluate import evaluate
from polydiff.judging.retrieval import find
from polydiff.model.model import Model
from polydiff.support.errors import UserError

SHAPES = {"data.name": "shapes"}
WIDTH = 64
"""Numbers of a vector of the fake pair; far more than random vectors need to be nearly orthogonal."""


def vector(key: Any) -> Tensor:
    """A unit vector that is the same for equal keys and independent for different ones."""
    generator = torch.Generator().manual_seed(abs(hash(key)) % 2**31)
    v = torch.randn(WIDTH, generator=generator)
    return v / v.norm()


@dataclass
class Known:
    """A pair that gives each picture it knows the vector of its words, and every other picture an opposite one."""

    domain: Domain
    known: dict[bytes, str] = field(default_factory=dict)
    step: int = 7
    weights: str = "ema"

    def __post_init__(self) -> None:
        self.config = self.domain.config  # type: ignore[attr-defined]
        self.process = self.denoiser = self

    @classmethod
    def of(cls, domain: Domain, samples: Samples) -> Known:
        words = [row["text"] for row in domain.describe(samples.cond or {})]
        return cls(domain, {image.numpy().tobytes(): text for image, text in zip(samples.examples, words, strict=True)})

    def texts(self, cond: Mapping[str, Any] | None) -> dict[str, Any]:
        return {name: value for name, value in (cond or {}).items() if name == "text"}

    def embed(self, model: Any, x: Tensor, cond: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        words = [row["text"] for row in self.domain.describe(cond)]
        images = self.domain.decode(x, cast(Any, None))
        seen = [self.known.get(image.numpy().tobytes()) for image in images]
        texts = [vector(text) for text in words]
        own = [vector(a) if a else -b for a, b in zip(seen, texts, strict=True)]
        return torch.stack(own), torch.stack(texts)


def untrained(name: str, **overrides: Any) -> Model:
    """A model of a configuration with its initial weights."""
    config = resolve(name, values=overrides).config
    domain = build_domain(config)
    return Model(config, domain, build_denoiser(config, domain, torch.device("cpu")).eval())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("image", tmp_path_factory.mktemp("runs") / "shapes", **SHAPES)


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return Model.load(run)


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return polydiff.train("image", tmp_path_factory.mktemp("runs") / "pair", overrides={**SHAPES_PAIR, **SHAPES})


def test_pictures_under_their_own_captions_agree_fully_and_under_others_not(model: Model) -> None:
    real = model.domain.examples("test", 200)
    judge = PairJudge(model, cast(Model, Known.of(model.domain, real)))
    found = judge(real)
    assert found["caption_cosine"].value == pytest.approx(1)
    assert (found["caption_found"].value, found["caption_found"].n) == (1, 100)
    swapped = Samples([*real.examples[1:], real.examples[0]], real.cond)
    found = judge(swapped)
    words = [row["text"] for row in model.domain.describe(real.cond or {})]
    expected = [float(vector(a) @ vector(b)) for a, b in zip([*words[1:], words[0]], words, strict=True)]
    assert found["caption_cosine"].value == pytest.approx(sum(expected) / len(expected), abs=1e-5)
    assert found["caption_found"].value <= 0.02  # but for neighbours with one caption
    half = Samples([real.examples[i] if i % 2 else swapped.examples[i] for i in range(200)], real.cond)
    share = judge(half)["caption_found"]
    assert 0.4 < share.value < 0.6
    assert share.error == pytest.approx(math.sqrt(0.25 / 100), rel=0.05)


def test_an_evaluation_has_the_rows_of_samples_real_data_and_noise(model: Model) -> None:
    pair = Known.of(model.domain, model.domain.examples("test", 30))
    result = evaluate(model, 30, steps=2, pair=cast(Model, pair))
    rows = result["metrics"]
    for name, (other, own) in {"caption_cosine": (-1, 1), "caption_found": (0, 1)}.items():
        assert rows[name]["value"] == pytest.approx(other)  # what the pair does not know is opposite to its caption
        assert rows[name]["noise"] == pytest.approx(other)
        assert rows[name]["data"] == pytest.approx(own)
    assert result["pair"] == {"step": 7, "weights": "ema"}
    json.dumps(result, allow_nan=False)


def test_states_of_decoded_examples_are_those_of_the_data(model: Model) -> None:
    batch = model.domain.batch("test", range(5), streams(0, "augment", range(5)))
    again = cast(Any, model.domain).encode(model.domain.decode(batch.x, batch.space))
    torch.testing.assert_close(again.x, batch.x, atol=1e-5, rtol=0)
    assert again.space == batch.space


def test_a_group_finds_only_among_its_own() -> None:
    a = torch.eye(4)
    assert find(a, a, [0, 1, 2, 3]) == (4, [True] * 4)
    assert find(a, a.flip(0), [0, 1, 2, 3]) == (4, [False] * 4)
    assert find(a, a, [2]) == (0, [])
    many = torch.eye(250)
    k, hits = find(many, many, range(250))
    assert (k, len(hits), all(hits)) == (100, 200, True)


def test_another_vocabulary_is_read_by_words_with_a_warning(model: Model) -> None:
    fields = json.loads(json.dumps(model.domain.statistics["conditions"]))
    words = fields["text"]["vocabulary"]
    fields["text"]["vocabulary"] = [word for word in reversed(words) if word != "red"]
    other = Image(cast(ImageConfig, model.config), {**model.domain.statistics, "conditions": fields})
    real = model.domain.examples("test", 60)
    with pytest.warns(UserWarning, match="captions of other data"):
        judge = PairJudge(model, cast(Model, Known(other)))
    with pytest.warns(UserWarning, match="such as 'red'"):
        texts = judge.texts(real.cond)
    described = [row["text"] for row in other.describe(texts)]
    own = [row["text"] for row in model.domain.describe(real.cond or {})]
    assert described == [" ".join("?" if word == "red" else word for word in text.split()) for text in own]


def test_what_is_no_pair_of_these_data_is_an_error(model: Model) -> None:
    pair, large = untrained("image", **SHAPES_PAIR), untrained("image", **SHAPES_PAIR, **{"data.size": 64})
    for judged, by, message in (
        (model, model, "a run with learn=match, and this one has process=gaussian"),
        (
            model,
            large,
            "judges images of 3 x 64 x 64, and this run makes .* 32",
        ),
        (untrained("image", **{"data.size": 32, "data.channels": 3}), pair, "text, and the conditions .* are: label"),
        (untrained("audio"), pair, "of the domain image, this run of audio"),
        (pair, pair, "pair applies to samples"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(judged, 4, pair=by)
    with pytest.raises(UserError, match="Leave out the condition text"):
        evaluate(model, 4, pair=pair, cond={"text": "a red circle"})


def test_the_command_line_and_the_report_show_it(run: Path, pair_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", str(run), "-n", "12", "--steps", "2", "--pair", str(pair_run)]
    assert main([*words, "--guidance", "1", "--guidance", "2"]) == 0
    assert "caption_found" in capsys.readouterr().out
    result = json.loads((run / "evaluation.json").read_text())
    assert result["pair"]["path"] == str(pair_run)
    assert [set(at["metrics"]) >= {"caption_found", "caption_cosine"} for at in result["by_guidance"]] == [True, True]
    assert main(["report", str(run), "--from-files"]) == 0
    assert "caption found" in (run / "report.html").read_text()


def test_sounds_are_judged_by_a_pair_of_sounds(tmp_path: Path) -> None:
    rows = ["file_name,text"]
    for i in range(24):
        noise = 0.1 * torch.randn(512, generator=torch.Generator().manual_seed(i))
        soundfile.write(tmp_path / f"{i:02d}.wav", noise.numpy(), 8000, subtype="FLOAT")
        rows.append(f"{i:02d}.wav,{('low', 'high', 'soft', 'loud')[i % 4]} {('bell', 'drum', 'horn')[i % 3]}")
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    data = {"data.path": str(tmp_path / "clips.csv"), "data.sample_rate": 8000, "data.length": 512}
    data |= {"data.conditions": ("text:text",), "data.test_share": 0.5}
    small = {"backbone.channels": 16, "backbone.widest": 16, "backbone.embedding": 8, "backbone.levels": 2}
    model = untrained("audio", **data, **{"backbone.channels": 16, "backbone.blocks": 1})
    result = evaluate(model, 6, steps=1, pair=untrained("audio", **data, learn="match", **small))
    found = result["metrics"]
    assert 2 <= found["caption_found"]["n"] <= result["n"] == 6
    assert all(-1 <= found["caption_cosine"][column] <= 1 for column in ("value", "data", "noise"))
    batch = model.domain.batch("test", range(6), streams(0, "augment", range(6)))
    again = cast(Any, model.domain).encode(model.domain.decode(batch.x, batch.space))
    torch.testing.assert_close(again.x, batch.x, atol=1e-4, rtol=0)
    assert again.space == batch.space
