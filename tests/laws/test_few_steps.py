"""Few-step objectives: no gradient at the exact solution, exact steps of an exact network, runs that resume."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from fewstep_cases import SCHEDULE, SPACES, TOP, Recorder, average, ect, network
from oracles import euclidean
from repository import FEW as FEW_WORDS
from repository import ROOT, blocks, commands
from tiny_runs import assert_same_run, stop_at, tiny
from torch import Tensor
from torch.testing import assert_close

from polydiff.backbones.config import MLPConfig
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.config.saved import resolved_text
from polydiff.contract.backbone import build_backbone
from polydiff.contract.sections.run import Config
from polydiff.core.condition_batch import drop_condition, without
from polydiff.core.conditions import STEP, Condition
from polydiff.core.objective import Moment
from polydiff.core.rules import Rule
from polydiff.core.space import Batch, Euclidean, Space, State, normal
from polydiff.core.streams import streams
from polydiff.gaussian.control.replacement import repaint
from polydiff.gaussian.denoise import Denoiser
from polydiff.gaussian.guidance.guided import ClassifierFree
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.objective.base import OBJECTIVES, DenoisingObjective, build_objective
from polydiff.gaussian.objective.shortcut import Shortcut
from polydiff.gaussian.process.checks import check_names
from polydiff.gaussian.sampling.execute import run_plan, sample
from polydiff.gaussian.sampling.plan import SAMPLERS, evaluation_rows
from polydiff.gaussian.sampling.spacing import noise_levels
from polydiff.gaussian.schedule.closed_forms import EDM
from polydiff.gaussian.step_size import StepSize
from polydiff.model.edit import interpolate
from polydiff.model.model import Model
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.run.parents import open_parents
from polydiff.support.errors import UserError
from polydiff.training.steps import begin, initial_checkpoint
from polydiff.training.trainer import resume

# Easy consistency training


# Shortcut models


def test_dense_and_packed_molecules_have_the_same_few_step_losses() -> None:
    for objective in (ect(), Shortcut(Loss(), share=0.5)):
        found = []
        for make in ("dense", "packed"):
            space = SPACES[make](6)
            x_0 = space.noise(streams(0, "x", range(6)))
            denoiser = network(6, lambda s, step: 0.3 + 1 / (1 + s) - torch.where(step.isnan(), 0.0, 0.01 * step))
            u = (torch.arange(6).double() + 0.5) / 6
            moment = Moment(500, 1000, denoiser)
            found.append(objective(denoiser, Batch(x_0, space), u, streams(0, "z", range(6)), moment))
        assert_close(found[0].losses, found[1].losses)
        assert torch.equal(found[0].level, found[1].level)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("start", [None, 3.0])
def test_an_exact_shortcut_network_is_exact_in_any_number_of_steps(space: str, steps: int, start: float | None) -> None:
    """From any level, since the wrapper gives each step's own size; x ends at x_T / sqrt(1 + T^2)."""
    where = SPACES[space](3)
    denoiser = network(3, average)
    levels = noise_levels(SCHEDULE, steps, "flow", start)
    generators = [streams(1, "s", range(3)) for _ in range(2)]
    x_top = levels[0] * where.noise(generators[0])
    sized = StepSize(denoiser, SAMPLERS["shortcut"](levels))
    x = sample(sized, where, generators=generators[1], levels=levels, sampler="shortcut")
    assert_close(x, x_top / math.sqrt(1 + levels[0] ** 2), rtol=1e-9, atol=1e-9)


def test_steps_finer_than_the_finest_have_no_size() -> None:
    recorder = Recorder()
    for steps in (4, 8, 16):
        levels = noise_levels(EDM(), steps, "flow")
        cond = {"label": torch.zeros(2).long()}
        sized = StepSize(recorder, SAMPLERS["euler"](levels), finest=8)
        sample(sized, euclidean(2), cond, generators=streams(0, "s", range(2)), levels=levels, sampler="euler")
    assert all("label" in cond for cond in recorder.conditions)
    seen = recorder.sizes
    assert_close(torch.cat(seen[:4]), torch.full((8,), -2.0).double())
    assert bool(torch.cat(seen[4:]).isnan().all())
    assert len(seen) == 28


def test_repeated_steps_are_conditioned_on_their_own_size() -> None:
    """A plan that goes back to the top of each piece, with an exact network: every piece ends where the flow leads."""
    levels = noise_levels(SCHEDULE, 8, "flow")
    rows = repaint(levels, "shortcut", jump=3, resample=2)
    seen: list[tuple[float, float]] = []

    def gain(s: Tensor, step: Tensor) -> Tensor:
        seen.append((s[0].item(), step[0].item()))
        return average(s, step)

    where = euclidean(2)
    x = where.noise(streams(0, "x", range(2)))
    for _ in run_plan(rows, StepSize(network(2, gain), rows), x, where, None, streams(1, "x", range(2))):
        pass
    sizes = {a: a / (1 + a) - b / (1 + b) for a, b in pairwise(levels)}
    assert len(seen) == 16
    assert_close([step for _, step in seen], [math.log2(sizes[row.at] / TOP) for row in evaluation_rows(rows)])


# Samplers and conditions


def test_the_consistency_sampler_keeps_the_law_of_the_data() -> None:
    """Rows jump and add noise; with D = x / sqrt(1 + s^2) the variance goes v <- (v + s^2) / (1 + s^2), from 0."""
    levels = noise_levels(EDM(), 3, "flow")
    rows = SAMPLERS["consistency"](levels)
    assert [(row.at, row.A, row.B, row.C, row.to) for row in rows] == [
        (a, 0.0, (1.0,), b, b) for a, b in pairwise(levels)
    ]
    space = Euclidean(6000, (3,), dtype=torch.float64)
    denoiser = network(6000, lambda t, step: torch.rsqrt(1 + t**2))
    x = sample(denoiser, space, generators=streams(0, "c", range(6000)), levels=levels, sampler="consistency")
    v = 0.0
    for s in levels[:-1]:
        v = (v + s**2) / (1 + s**2)
    assert x.var().item() == pytest.approx(v, abs=4 * math.sqrt(2 / 18000))


def test_dropout_of_conditions_and_guidance_keep_the_size_of_a_step() -> None:
    """Dropout of conditions and classifier-free guidance leave names with a leading underscore alone."""
    cond = {"label": torch.tensor([1, 2]), STEP: torch.tensor([-1.0, -2.0])}
    dropped = drop_condition(cond, torch.tensor([True, False]))
    assert dropped["label"].tolist() == [1, -1]
    assert torch.equal(dropped[STEP], cond[STEP])
    assert without(cond) == {STEP: cond[STEP]}
    assert without({"label": cond["label"]}) is None
    assert without(None) is None
    space, recorder = euclidean(2), Recorder()
    ClassifierFree(recorder, 3.0)(space.noise(streams(0, "x", range(2))), torch.ones(2), space, cond)
    assert sorted(map(sorted, recorder.conditions)) == [[STEP], [STEP, "label"]]


def test_a_domain_may_not_take_the_cores_names() -> None:
    with pytest.raises(ValueError, match="begin with an underscore"):
        build_backbone(MLPConfig(), channels=2, dims=0, conditions={"_step": 0})


# Runs

FEW: dict[str, Any] = {"train.steps": 6, "train.checkpoint_every": 3}


@pytest.mark.parametrize(
    ("domain", "objective"),
    [
        ("image", "shortcut"),
        ("molecule", "ect"),
        ("molecule", "shortcut"),
        ("image", "mean_flow"),
        pytest.param("image", "ect", marks=pytest.mark.slow),
        pytest.param("audio", "shortcut", marks=pytest.mark.slow),
    ],
)
def test_a_few_step_run_that_was_interrupted_ends_with_the_same_bits(
    domain: str, objective: str, tmp_path: Path
) -> None:
    words = {**FEW, "loss.objective": objective, "sample.steps": 2}
    whole = tiny(domain, tmp_path / "whole", **words)
    with pytest.raises(KeyboardInterrupt):
        tiny(domain, tmp_path / "cut", stop_at(4), **words)
    resume(tmp_path / "cut")
    assert_same_run(whole, tmp_path / "cut")
    assert Model.load(whole).plan().sampler == ("consistency" if objective == "ect" else "shortcut")


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("audio", tmp_path_factory.mktemp("shortcut") / "run", **FEW, **{"loss.objective": "shortcut"})


def held_out(model: Model) -> Batch:
    return model.domain.batch("test", range(2), streams(0, "augment", range(2)))


def test_a_guide_is_conditioned_on_the_size_of_steps_too(shortcut: Path) -> None:
    """A shortcut model that is guided by itself is itself."""
    model = Model.load(shortcut)
    plan = model.plan(guidance=3.0, guide=shortcut)
    space, cond = model.domain.blank(streams(0, "blank", range(2)), {})
    plain = model.states(space, cond, 0, range(2), model.plan())
    assert_close(model.states(space, cond, 0, range(2), plan), plain, rtol=0, atol=1e-6)


def test_an_interpolation_is_not_conditioned_on_the_size_of_steps(
    shortcut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[Tensor] = []
    predict = Denoiser.predict

    def listening(self: Denoiser, x: State, sigma: Tensor, space: Space, cond: Condition | None = None) -> State:
        sizes.append((cond or {}).get(STEP, torch.full((space.batch,), math.nan)))
        return predict(self, x, sigma, space, cond)

    monkeypatch.setattr(Denoiser, "predict", listening)
    model = Model.load(shortcut)
    given = held_out(model)
    interpolate(model, given, given, [0.5], steps=3)
    assert sizes
    assert bool(torch.cat(sizes).isnan().all())


def test_a_run_is_tuned_into_a_consistency_model(tmp_path: Path) -> None:
    """It begins with the averaged weights and the statistics of the run, which must be of the same domain."""
    teacher = tiny("audio", tmp_path / "teacher", **FEW, **{"loss.times": "adaptive"})
    words = ["loss.objective=ect", f"train.init={teacher}", "train.steps=2", "--judge", "0"]
    resolved = str(teacher / "config.resolved.yaml")
    assert main(["train", "-c", resolved, "-o", str(tmp_path / "tuned"), *words]) == 0
    source = Checkpoint.load(latest(Run(teacher).checkpoints))
    tuned = Model.load(tmp_path / "tuned")
    plan = tuned.plan()
    assert (plan.sampler, plan.steps, plan.spacing, plan.guidance) == ("consistency", 2, "flow", 1)
    assert dict(tuned.domain.statistics) == source.state["statistics"]
    first = begin(tuned.config, tuned.domain, init_of(tuned.config))
    begun = first.module.state_dict()
    assert all(torch.equal(value, source.ema[name]) for name, value in begun.items())
    assert {name.partition(".")[0] for name in source.ema.keys() - begun.keys()} == {"aids"}
    with pytest.raises(UserError, match="a run of the domain audio, not image"):
        tiny("image", tmp_path / "other", **{"train.init": teacher})


def test_step_sizes_come_and_go_with_the_objective(tmp_path: Path) -> None:
    """From denoising to jumps and back: each run begins with what its parent gives without a step size."""
    runs: list[Path] = []
    for name, objective in enumerate(("denoising", "mean_flow", "shortcut", "denoising", "shortcut", "ect")):
        init = {"train.init": runs[-1]} if runs else {}
        runs.append(tiny("image", tmp_path / str(name), **{"loss.objective": objective, "train.steps": 2}, **init))
    for before, after in pairwise(runs):
        parent, child = Model.load(before), Model.load(after)
        begun = begin(child.config, child.domain, init_of(child.config)).module.eval()
        x, space, cond = child.domain.batch("test", range(3), streams(0, "batch", range(3)))
        sigma, sized = torch.tensor([0.1, 1.0, 9.0]), child.config.backbone.step_size
        assert_close(begun(x, sigma, space, cond), parent.denoiser(x, sigma, space, cond), rtol=1e-5, atol=1e-5)
        if sized and not parent.config.backbone.step_size:
            step = {**(cond or {}), STEP: torch.tensor([0.0, -2.0, math.nan])}
            assert torch.equal(begun(x, sigma, space, step), parent.denoiser(x, sigma, space, cond))


def init_of(config: Config) -> Checkpoint:
    checkpoint = initial_checkpoint(config, open_parents(config))
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"target": "eps"}, "predicts edm, so its weights do not fit target=eps"),
        (
            {"backbone.channels": 24},
            r"train.init=.* does not fit the network .* \d+ tensors? ha(s|ve) another shape, such as",
        ),
        (
            {"backbone.blocks": 2},
            r"train.init=.* does not fit the network .*: \d+ tensors? (is|are) missing, .* run has backbone.blocks=1\.",
        ),
        (
            {"loss.objective": "denoising", "backbone.self_condition": True},
            r"another shape, such as backbone\.stem\.weight\. .* That run has .*backbone\.self_condition=false\.",
        ),
    ],
)
def test_initial_weights_that_do_not_fit_raise_an_error(
    shortcut: Path, tmp_path: Path, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tiny("audio", tmp_path / "run", **{"loss.objective": "shortcut", "train.init": shortcut, **words})


def test_statistics_of_other_conditions_raise_an_error_that_names_them(tmp_path: Path) -> None:
    first = tiny("molecule", tmp_path / "first", **{"train.steps": 1})
    message = r"train.init=.*: its statistics do not fit the domain molecule: .* That run has data\.conditions=\[logp, "
    with pytest.raises(UserError, match=message):
        tiny("molecule", tmp_path / "run", **{"train.init": first, "data.conditions": ["logp"]})


def test_weights_go_from_any_schedule_to_any(tmp_path: Path) -> None:
    """The network's do, conditioned on the noise level alone; a learned path continues that of the earlier run."""
    learned = {"schedule": "learned", "loss.weighting": "elbo", "loss.times": "uniform", "optim.lr": 0.01}
    other = {"schedule": "cosine", "schedule_options": {"shift": 2}}
    runs: dict[str, Path] = {}
    for name, words in (("learned", learned), ("fixed", other), ("back", learned), ("again", learned)):
        init = {"train.init": list(runs.values())[-1]} if runs else {}
        runs[name] = tiny("audio", tmp_path / name, **{"train.steps": 1}, **init, **words)
    states = {name: Checkpoint.load(latest(Run(path).checkpoints)) for name, path in runs.items()}
    for before, after in pairwise(runs):
        model = Model.load(runs[after])
        begun = begin(model.config, model.domain, init_of(model.config)).module.state_dict()
        source = states[before].ema
        assert all(torch.equal(begun[name], source[name]) for name in source.keys() & begun.keys())
        path = {name for name in begun if name.startswith("schedule.")}
        assert bool(path) == (after != "fixed")
        assert path <= source.keys() or after == "back"


def test_an_objective_sets_defaults_that_settings_override(tmp_path: Path) -> None:
    words = {"loss.objective": "shortcut", "sample.steps": "8"}
    config, provenance, said = resolve("image", words=words)
    assert (config.backbone.step_size, config.sample.sampler, config.sample.steps) == (True, "shortcut", 8)
    assert provenance["sample.sampler"] == "objective shortcut"
    assert provenance["sample.steps"] == "command line"
    path = tmp_path / "said.yaml"
    path.write_text(str(said))
    assert resolve(files=[path]).config == config
    check_names(config)


@pytest.mark.parametrize("old", ["ect", "shortcut", "mean_flow", "hybrid", "vlb"])
@pytest.mark.parametrize("new", ["denoising", "ect", "shortcut", "mean_flow"])
def test_what_suited_an_objective_leaves_with_it(old: str, new: str, tmp_path: Path) -> None:
    """A resolved configuration of one objective, and another on the command line: as if that had been said at first."""
    path = tmp_path / "config.resolved.yaml"
    own = {"sample.batch_size": "7", "loss.norm": "huber"}
    before = resolve("image", words={"loss.objective": old, **own})
    path.write_text(resolved_text(before.config, before.provenance))
    after = resolve(files=[path], words={"loss.objective": new}).config
    assert after == resolve("image", words={"loss.objective": new, **own}).config
    check_names(after)
    kept = resolve(files=[path], words={"loss.objective": new, "sample.steps": "3"}).config
    assert kept.sample.steps == 3
    assert resolve(files=[path], words={"loss.objective": old}).config == before.config


def test_the_settings_of_a_file_stay_when_its_objective_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{domain: image, loss.objective: ect, sample: {steps: 9, spacing: karras}, loss: {times: cauchy}}")
    sample = resolve(files=[path], words={"loss.objective": "denoising"}).config.sample
    assert (sample.steps, sample.spacing) == (9, "karras")


def test_an_objective_of_ones_own_declares_its_defaults_and_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Mine(DenoisingObjective):
        """An objective that is only looked up."""

        power: float = 1.0
        suits: ClassVar[Mapping[str, Any]] = {"sample.steps": 3, "loss.norm": "l1"}
        rules: ClassVar[Sequence[Rule]] = (Rule("target", ("v", "flow"), "needs target=v or flow."),)
        teaches: ClassVar[Sequence[str]] = ("backbone.self_condition",)

    monkeypatch.setitem(OBJECTIVES._entries, "mine", Mine)
    words = {"loss.objective": "mine", "loss.objective_options.power": "2", "target": "v"}
    config = resolve("image", words={**words, "backbone.self_condition": "true"}).config
    assert (config.sample.steps, config.loss.norm) == (3, "l1")
    check_names(config)
    assert build_objective(config) == Mine(
        Loss(**config.loss.model_dump(exclude={"objective", "objective_options"})), 2
    )
    for more, said in (
        ({"target": "edm"}, "loss.objective=mine needs target=v or flow."),
        ({"backbone.step_size": "true"}, "only loss.objective=mean_flow or shortcut trains it, not mine"),
        ({"loss.objective_options.powr": "2"}, "Did you mean 'power'"),
    ):
        with pytest.raises(UserError, match=said):
            check_names(resolve("image", words={**words, **more}).config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"loss.objective": "ect", "target": "x0"}, "needs D\\(x, 0\\) = x"),
        ({"loss.objective": "shortcut", "backbone.step_size": "false"}, "needs backbone.step_size=true"),
        ({"backbone.step_size": "true"}, "only loss.objective=mean_flow or shortcut trains it, not denoising"),
        ({"sample.sampler": "shortcut"}, "sample.sampler=shortcut needs loss.objective=shortcut or mean_flow"),
        ({"loss.objective": "ect", "loss.objective_options": "{q: 0.5}"}, "ect needs q > 1"),
        ({"loss.objective": "shortcut", "loss.objective_options": "{finest: 100}"}, "power of 2"),
        ({"loss.objective": "shortcuts"}, "Did you mean 'shortcut'"),
    ],
)
def test_objectives_that_cannot_work_raise_an_error(words: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_names(resolve("image", words=words).config)


# The page and the benchmark


def test_the_commands_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page_commands = commands("docs/few_step.md")
    assert [words[0] for words in page_commands] == ["train", "train", "sample", "train", "sample", "sample", "train"]
    for words in page_commands:
        few = [*FEW_WORDS[:-1], "0", "train.sample_every=100"] if words[0] == "train" else []
        few = [word for word in few if not word.startswith("sample.")]
        assert main([*("2" if word == "16" else word for word in words), *few]) == 0, words
    assert Model.load("runs/image-002").config.loss.objective == "ect"
    assert Model.load("runs/image-003").plan().sampler == "shortcut"
    assert Model.load("runs/image-004").config.loss.objective == "mean_flow"


def test_the_python_of_the_page_trains_and_samples() -> None:
    torch.manual_seed(0)
    network = build_backbone(MLPConfig(hidden=32, layers=1), channels=2, dims=0, conditions={})
    scope: dict[str, Any] = {"network": network}
    scope["ring"] = lambda n, step: normal(streams(step, "x", range(n)), (2,), "cpu")
    (code,) = blocks("docs/few_step.md", "python")
    assert "steps=1000" in code
    exec(code.replace("steps=1000", "steps=30"), scope)
    assert torch.isfinite(scope["x"]).all()
    assert 0.5 < scope["x"].std() < 2


@pytest.mark.slow
def test_few_steps_suffice_where_one_step_of_denoising_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the benchmark's ring, after 1,200 steps; one step of Euler gives the mean of the data, a distance near 1."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    few_step = importlib.import_module("few_step")
    found = {name: few_step.measure(name, 1200, hidden=96) for name in few_step.METHODS}
    assert found["denoising"][1] > 0.8
    for name in ("ect", "shortcut", "mean_flow"):
        assert found[name][1] < 0.2
        assert found[name][2] < 0.15
