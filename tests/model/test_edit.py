"""Guidance and editing of a trained run, from Python and from the command line, with the ring domain."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_plugins import install_ring

from polydiff import inpaint, interpolate, vary
from polydiff.cli import main
from polydiff.core.space import Batch
from polydiff.core.streams import streams
from polydiff.judging.evaluate import evaluate
from polydiff.judging.likelihood import likelihood
from polydiff.model.model import Model
from polydiff.run.checkpoint import latest
from polydiff.support.errors import UserError
from polydiff.training.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, which no test changes, beside a worse one of the same data."""
    folder = tmp_path_factory.mktemp("editing")
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_ring(folder / "plugins", monkeypatch)
        for name, steps in (("run", 300), ("worse", 20)):
            words = [f"train.steps={steps}", "train.batch_size=64", "backbone.hidden=32", "--judge", "0"]
            assert main(["train", "-d", "ring", "-o", str(folder / name), *words]) == 0
    return folder / "run"


pytestmark = pytest.mark.usefixtures("ring")


def held_out(model: Model, n: int, first: int = 0) -> Batch:
    indices = range(first, first + n)
    return model.domain.batch("test", indices, streams(0, "augment", indices))


def positions(examples: object) -> torch.Tensor:
    return torch.stack([torch.as_tensor(point) for point in examples])  # type: ignore[attr-defined]


def test_every_method_of_guidance_can_be_named(run: Path) -> None:
    model = Model.load(run)
    requested: dict = {"cond": {"half": "upper"}, "steps": 5, "sampler": "ddim"}
    plain = positions(model.sample(4, guidance=1.0, **requested).examples)
    cfg = positions(model.sample(4, guidance=2.0, **requested).examples)
    assert not torch.equal(plain, cfg)
    ways: list[dict] = [
        {"guidance_options": {"rescale": 0.7}},
        {"guidance_method": "apg", "guidance_options": {"momentum": -0.5, "radius": 0.1}},
        {"guidance_method": "cfg_pp", "guidance": 0.4},
        {"guidance_method": "cfg_zero", "guidance_options": {"zero_steps": 1}},
        {"guidance_interval": (0.3, 5)},
        {"guide": run.parent / "worse"},
        {"negative": {"half": "lower"}},
    ]
    for way in ways:
        how = {"guidance": 2.0, **requested, **way}
        x = positions(model.sample(4, **how).examples)
        assert not torch.equal(x, cfg), way
        assert torch.equal(positions(model.sample(4, **how).examples), x)
        alone = positions(model.sample(4, batch_size=1, **how).examples)
        assert torch.allclose(alone, x, atol=1e-5), way


def test_evaluations_are_counted_with_guidance(run: Path) -> None:
    model = Model.load(run)

    def count(**changes: object) -> int:
        return model.evaluations(model.plan(steps=10, sampler="ddim", **changes))

    assert count(guidance=1.0) == 10
    assert count(guidance=0.0) == 10
    assert count(guidance=2.0) == 20
    assert count(guidance=2.0, guide=run.parent / "worse") == 20
    assert 10 < count(guidance=2.0, guidance_interval=(0.3, 5)) < 20


def test_a_negative_condition_is_encoded_like_a_requested_one(run: Path) -> None:
    model = Model.load(run)
    assert model.request().unwanted(0, range(3)) is None
    unwanted = model.request(guidance=2.0, negative={"half": "lower"}).unwanted(0, range(3))
    requested = model.conditions({"half": "lower"}, 0, range(3))
    assert unwanted is not None
    assert torch.equal(unwanted["half"], requested["half"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance_method": "cgf"}, "Unknown guidance method 'cgf'. Did you mean 'cfg'?"),
        ({"guidance_options": {"rescal": 1}}, "Unknown option of the guidance method cfg 'rescal'. Did you mean"),
        ({"guidance_options": {"rescale": 2}}, "sample.guidance: rescale must be between 0 and 1, not 2."),
        ({"guidance_method": "cfg_pp"}, "Use the sampler ddim, ddpm or euler with it."),
        ({"guidance_interval": (5, 0.3)}, "interval must be a low and a higher noise level"),
        ({"guide": "worse", "guidance": 1.0}, "A guide has no effect at guidance 1."),
        ({"negative": {"half": "lower"}, "guidance": 1.0}, "A negative condition has no effect at"),
        ({"guidance_method": "apg", "guidance": 1.0}, "A method of guidance has no effect at guidance 1. Set"),
        ({"guidance_options": {"rescale": 0.5}, "guidance": 1.0}, "An option of guidance has no effect at guidance 1."),
        ({"guidance_interval": (0.3, 5), "guidance": 1.0}, "An interval of guidance has no effect at guidance 1."),
        ({"guidance_options": {"rescale": "abc"}}, "sample.guidance_options.rescale='abc': should be a number."),
        ({"guidance_options": {"rescale": [1, 2]}}, "sample.guidance_options.rescale=[1, 2]: should be a number."),
        ({"guidance_options": {"rescale": True}}, "sample.guidance_options.rescale=True: should be a number."),
        (
            {"guidance_method": "cfg_zero", "guidance_options": {"zero_steps": 1.5}},
            "sample.guidance_options.zero_steps=1.5: should be a whole number.",
        ),
        (
            {"guidance_method": "apg", "guidance_options": {"eta": float("nan")}},
            "sample.guidance_options.eta=nan: should be a number.",
        ),
        (
            {"guidance_method": "apg", "guidance_options": {"momentum": 0.5}},
            "sample.guidance: momentum must be above -1 and at most 0 (none), not 0.5.",
        ),
        ({"guidance_interval": 5}, "guidance_interval=5: should be two noise levels, the lower first, such as 0.3,5."),
        ({"guidance_interval": [5]}, "guidance_interval=[5]: should be two noise levels, the lower first"),
        (
            {"guidance_interval": (500, 900)},
            "sample.guidance_interval: interval [500.0, 900.0] holds no noise level of this schedule, which go from",
        ),
        ({"guidance_interval": (1e-5, 1e-4)}, "holds no noise level of this schedule"),
        ({"guide": "nowhere"}, "There is no run folder"),
        ({"negative": {"hlaf": 1}}, "Unknown condition 'hlaf'. Did you mean 'half'?"),
    ],
)
def test_guidance_that_cannot_work_raises_an_error(run: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        Model.load(run).sample(2, **{"guidance": 2.0, "sampler": "heun", **changes})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "ddpm", "options": {"foo": 1}}, "sample.options: Unknown option of the sampler ddpm 'foo'."),
        ({"sampler": "ddpm", "options": {"variance": "huge"}}, "variance must be 'small', 'large' or 'learned'"),
        (
            {"sampler": "ddpm", "options": {"variance": "learned"}},
            "variance=learned: this network predicts no",
        ),
        ({"sampler": "ddpm", "options": {"variance": [1]}}, "sample.options.variance=[1]: should be a name."),
        ({"sampler": "ddim", "options": {"eta": "much"}}, "sample.options.eta='much': should be a number."),
        ({"sampler": "ddim", "options": {"eta": 7}}, "eta must be between 0 and 1, not 7."),
        ({"sampler": "unipc", "options": {"corrector": 2}}, "sample.options.corrector=2: should be true or false."),
        ({"options": 5}, "options=5: should be names with values"),
        ({"step": 5}, "Unknown option 'step'. Did you mean 'steps'?"),
        ({"sead": 5}, "Unknown option 'sead'. Did you mean 'seed'?"),
        ({"sampler": "ddmi"}, "Unknown sampler 'ddmi'. Did you mean 'ddim'?"),
        ({"spacing": "karas"}, "sample.spacing: Unknown spacing 'karas'. Did you mean 'karras'?"),
        ({"spacing": "karras", "spacing_options": {"roh": 5}}, "Unknown option of the spacing karras 'roh'."),
        ({"spacing": "karras", "spacing_options": {"rho": -1}}, "rho must be above 0, not -1."),
        ({"spacing": "own", "spacing_options": {"levels": [1, 2]}}, "one number a step: 4, not 2."),
    ],
)
def test_options_of_sampling_are_checked_as_a_configuration_is(run: Path, changes: dict, message: str) -> None:
    for use in (Model.load(run).plan, lambda **how: Model.load(run).sample(2, **how)):
        with pytest.raises(UserError) as error:
            use(**changes)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n": 2.5}, "n must be a whole number of at least 1, not 2.5."),
        ({"n": 0}, "n must be a whole number of at least 1, not 0."),
        ({"n": True}, "n must be a whole number of at least 1, not True."),
        ({"n": 2, "cond": 7}, "Conditions are names with values, such as {'label': 7}, not 7."),
        ({"n": 2, "cond": [("half", "upper")]}, "Conditions are names with values, such as {'label': 7}, not [("),
    ],
)
def test_a_wrong_request_raises_an_error_that_names_it(run: Path, how: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        Model.load(run).sample(**how)
    assert str(error.value).startswith(message)


def test_a_scale_of_1_turns_off_configured_guidance(run: Path) -> None:
    """Turning guidance off needs no reset of each setting that it was configured with."""
    model = Model.load(run)
    section = model.config.sample.model_copy(update={"guidance": 2.0, "negative": {"half": "lower"}})
    configured = replace(model, config=model.config.model_copy(update={"sample": section}))
    assert configured.plan().negative == {"half": "lower"}
    off = configured.plan(guidance=1.0)
    assert (off.guidance, off.negative, off.guide) == (1.0, {}, None)
    plain = positions(model.sample(2, guidance=1.0).examples)
    assert torch.equal(positions(configured.sample(2, guidance=1.0).examples), plain)


def test_a_guide_of_other_data_raises_an_error(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert main(["train", "-d", "ring", "-o", str(other), "data.radius=3", "train.steps=2", "--judge", "0"]) == 0
    with pytest.raises(UserError, match="was trained on other data"):
        Model.load(run).sample(2, guidance=2.0, guide=other)
    how = {"guidance": 2.0, "guide": latest(run / "checkpoints")}
    assert len(Model.load(run).sample(2, **how)) == 2


def test_variations_are_nearer_the_less_noise_they_get(run: Path) -> None:
    model = Model.load(run)
    given = held_out(model, 24)
    begun = positions(model.domain.decode(given.x, given.space))

    def distance(strength: float) -> float:
        made = positions(vary(model, given, strength=strength, steps=12).examples)
        return (made - begun).norm(dim=-1).mean().item()

    near, far, new = distance(0.1), distance(0.5), distance(1.0)
    assert near < 0.1 < far < new
    whole = vary(model, given, strength=0.5, steps=12)
    part = vary(model, held_out(model, 4, first=8), strength=0.5, steps=12, first=8)
    assert torch.allclose(positions(whole.examples)[8:12], positions(part.examples))
    assert whole.cond is not None
    turned = vary(model, given, strength=1.0, steps=12, cond={"half": "upper"})
    assert turned.cond is not None
    assert len(set(turned.cond["half"].tolist())) == 1
    with pytest.raises(UserError, match="strength must be above 0"):
        vary(model, given, strength=0.0)


def test_what_is_known_of_an_example_is_kept_and_the_rest_is_new(run: Path) -> None:
    model = Model.load(run)
    given = held_out(model, 8)
    mask = torch.tensor([1.0, 0.0])
    begun = positions(model.domain.decode(given.x, given.space))
    made = positions(inpaint(model, given, mask, resample=3, steps=12, sampler="ddpm").examples)
    assert torch.allclose(made[:, 0], begun[:, 0], atol=1e-4)
    assert (made[:, 1] - begun[:, 1]).abs().mean() > 0.05
    with pytest.raises(UserError, match="resample must be a whole number of at least 1, not 0"):
        inpaint(model, given, mask, resample=0)
    wrong = {
        "inpaint: mask must be a tensor": [1.0, 0.0],
        "inpaint: mask has the shape (3,), which does not broadcast against (8, 2).": torch.ones(3),
        "inpaint: mask must hold only 0 and 1": torch.tensor([1.0, float("nan")]),
    }
    for message, of_no_use in wrong.items():
        with pytest.raises(UserError) as error:
            inpaint(model, given, of_no_use)  # type: ignore[arg-type]
        assert message in str(error.value)
    for same in (mask.bool(), mask.long(), mask.expand(8, 2)):
        assert torch.equal(positions(inpaint(model, given, same, steps=3).examples), known_by(model, given, mask))


def known_by(model: Model, given: Batch, mask: torch.Tensor) -> torch.Tensor:
    return positions(inpaint(model, given, mask, steps=3).examples)


def test_given_examples_that_are_not_finite_are_named(run: Path) -> None:
    """And not blamed on the sampler."""
    model = Model.load(run)
    given = held_out(model, 4)
    given.x[2] = torch.nan
    for edit in (
        lambda: vary(model, given),
        lambda: inpaint(model, given, torch.ones(1)),
        lambda: interpolate(model, given, given, [0.5]),
    ):
        with pytest.raises(UserError, match=r"has NaN in 1 of 4 examples: 2 of the batch"):
            edit()
    with pytest.raises(UserError, match="has the shape"):
        vary(model, given._replace(x=given.x[:, :1] if given.x.shape[1] > 1 else given.x[:1]))


@pytest.mark.parametrize("steps", [1, 0, 2.5])
def test_an_interpolation_needs_two_levels(run: Path, steps: int) -> None:
    model = Model.load(run)
    with pytest.raises(UserError, match=f"steps must be a whole number of at least 2, not {steps}"):
        interpolate(model, held_out(model, 2), held_out(model, 2), [0.5], steps=steps)


@pytest.mark.parametrize("name", ["n", "draws", "batch_size"])
def test_a_judgement_needs_something_to_judge(run: Path, name: str) -> None:
    model = Model.load(run)
    for wrong in (0, -1, 1.5):
        with pytest.raises(UserError, match=f"^{name} must be a whole number of at least 1, not {wrong}"):
            likelihood(model, **{"n": 2, name: wrong})
    with pytest.raises(UserError, match="n must be a whole number"):
        evaluate(model, 0)


def test_interpolations_begin_and_end_at_the_examples(run: Path) -> None:
    model = Model.load(run)
    a, b = held_out(model, 3), held_out(model, 3, first=3)
    first, middle, last = interpolate(model, a, b, [0.0, 0.5, 1.0], steps=40)
    for made, given in ((first, a), (last, b)):
        assert torch.allclose(positions(made.examples), positions(model.domain.decode(given.x, given.space)), atol=0.05)
    assert len(middle) == 3
    with pytest.raises(UserError, match="of the same size"):
        interpolate(model, a, held_out(model, 2), [0.5])


def test_the_command_line_guides(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "sample", str(run), "-n", "3", "-o", str(tmp_path / "out"), "--guidance", "2", "--guidance-method", "apg",
        "--guidance-option", "momentum=-0.5", "--guidance-interval", "0.3,5", "--negative", "half=lower",
        "--guide", str(run.parent / "worse"),
    ]  # fmt: skip
    assert main(words) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["guidance_method"] == "apg"
    assert manifest["guidance_options"] == {"momentum": -0.5}
    assert manifest["guidance_interval"] == [0.3, 5]
    assert manifest["negative"] == {"half": "lower"}
    assert manifest["guide"] == str(run.parent / "worse")
    capsys.readouterr()
    wrong = [
        (["--guidance", "2", "--guidance-option", "rescal=1"], "Did you mean 'rescale'?"),
        (["--guidance-option", "rescale"], "--guidance-option rescale is not of the form NAME=VALUE"),
        (["--guidance-interval", "1,2,3"], "guidance_interval"),
        (["--negative", "half=lower", "--negative", "half=upper"], "--negative half is given twice."),
    ]
    for extra, message in wrong:
        assert main(["sample", str(run), "-n", "2", *extra]) == 2
        assert message in capsys.readouterr().err


def test_a_report_shows_how_to_repeat_an_evaluation_with_guidance(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    words = [
        "--guidance", "2.0", "--guidance-method", "apg", "--guide", str(run.parent / "worse"), "--guidance-interval",
        "0.3,5", "--guidance-option", "eta=0.2", "--negative", "half=lower",
    ]  # fmt: skip
    assert main(["eval", str(copy), "-n", "8", *words]) == 0
    result = json.loads((copy / "evaluation.json").read_text())
    assert result["guidance_method"] == "apg"
    assert main(["report", str(copy)]) == 0
    page = (copy / "report.html").read_text()
    said = f"--guidance-method apg --guide {run.parent / 'worse'} --guidance-interval 0.3,5 --guidance-option eta=0.2"
    assert said in page
    assert "--negative half=lower" in page


def test_a_configuration_of_guidance_is_checked_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [
        ("sample.guidance_method=cgf", "Did you mean 'cfg'?"),
        ("sample.guidance_options.rescal=1", "Did you mean 'rescale'?"),
        ("sample.guidance_options.rescale=3", "rescale must be between 0 and 1"),
        ("sample.guidance_interval=5,1", "a low and a higher noise level"),
        ("sample={guide: nowhere, guidance: 2}", "there is no such run or checkpoint"),
        ("sample.guide=nowhere", "A guide has no effect at guidance 1."),
        ("sample.negative={half: lower}", "A negative condition has no effect at guidance 1."),
        ("sample.guidance_options.rescale=abc", "sample.guidance_options.rescale='abc': should be a number."),
        ("sample.guidance_interval=500,900", "holds no noise level of this schedule"),
    ]
    for word, message in wrong:
        assert main(["train", "-d", "ring", "-o", str(tmp_path / "run"), word]) == 2
        assert message in capsys.readouterr().err
    word = "sample.guidance_method=apg"
    assert main(["config", "show", "-d", "ring", word, "sample.guidance_options.eta=0.5"]) == 0
    assert "eta: 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sample.negative": {"hlaf": "upper"}}, "Unknown condition 'hlaf'. Did you mean 'half'?"),
        ({"sample.negative": {"half": "uper"}}, "uper"),
        ({"sample.guide": "run", "sample.guidance": 1}, "A guide has no effect at guidance 1."),
        ({"sample.guide": "run", "data.radius": 3}, "was trained on other data"),
    ],
)
def test_sampling_settings_that_cannot_work_raise_an_error_before_training(
    run: Path, tmp_path: Path, words: dict, message: str
) -> None:
    words = {"train.steps": 2, "sample.guidance": 2, **words}
    if "sample.guide" in words:
        words["sample.guide"] = run
    with pytest.raises(UserError) as error:
        train("ring", tmp_path / "run", overrides=words)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_command_line_varies(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["vary", str(copy), "-n", "5", "--first", "3", "--strength", "0.3", "--batch-size", "2"]) == 0
    folder = copy / "samples" / "varied-001"
    assert capsys.readouterr().out.strip() == str(folder)
    for part in ("given", "made"):
        manifest = json.loads((folder / part / "manifest.json").read_text())
        assert len(manifest["samples"]) == 5
        assert (folder / part / "show.html").exists()
    assert manifest["strength"] == 0.3
    assert manifest["first"] == 3
    for extra, message in (
        (["-n", "99"], "there are 32 held-out examples."),
        (["--strength", "2"], "vary: strength must be above 0 and at most 1, not 2.0."),
        (["-o", str(folder)], "exists and is not an empty folder. Choose another -o."),
        (["point.json"], "The domain ring reads no files. Name no file, to use held-out examples."),
    ):
        assert main(["vary", str(copy), *extra]) == 2
        assert message in capsys.readouterr().err
    assert main(["inpaint", str(copy), "--gap", "0:1"]) == 2
    assert "The domain ring has no notation for parts of its examples." in capsys.readouterr().err
