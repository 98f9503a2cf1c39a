"""The command line: from nothing to a report, every mistake in one line, and nothing heavy before it is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fake_plugins import install_ring, polydiff

from polydiff.cli import VERBS, main
from polydiff.cli.printing.tables import evaluation_table
from polydiff.config.saved import config_from
from polydiff.report.numbers import DASH
from polydiff.run.folder import steps_saved
from polydiff.support.yaml_text import read_yaml

QUICK = ("--judge", "8")


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is finished, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        install_ring(folder / "plugins", monkeypatch)
        assert main(["train", "-d", "ring", "-o", str(folder / "run"), *QUICK]) == 0
    return folder / "run"


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run words that are a mistake: code 2, one message on stderr, nothing on stdout. Return the message."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("polydiff: ")
    assert err.count("\n") == 1
    return err.removeprefix("polydiff: ").strip()


def test_one_word_trains_samples_judges_and_reports(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--domain", "ring", *QUICK]) == 0
    out, err = capsys.readouterr()
    run = here / "runs" / "ring-001"
    assert "Run:     runs/ring-001" in out
    assert "polydiff sample runs/ring-001 -n 16" in out
    assert re.search(r"distance +[\d.]+ +[\d.]+ +[\d.]+ +radii +lower", out)
    assert re.search(r"step 6/6  loss \d", err)
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((run / "evaluation.json").read_text())["n"] == 8
    assert steps_saved(run / "checkpoints") == [6]
    assert yaml.safe_load((run / "config.input.yaml").read_text()) == {"domain": "ring"}
    assert config_from(read_yaml(run / "config.resolved.yaml")).train.steps == 6
    assert main(["train", "--domain", "ring", "train.steps=1", "--judge", "0"]) == 0
    assert (here / "runs" / "ring-002" / "report.html").exists()
    assert not (here / "runs" / "ring-002" / "evaluation.json").exists()


def test_a_run_that_exists_is_not_overwritten(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-d", "ring", "-o", str(trained)]) == 2
    assert f"Resume it with `polydiff resume {trained}`, or choose another -o." in capsys.readouterr().err


def test_a_run_that_cannot_begin_leaves_no_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-d", "ring", "device=gpu7"]) == 2
    assert "device=gpu7" in capsys.readouterr().err
    assert main(["train", "-d", "ring", "train.init=nope", "-o", "new/folder"]) == 2
    assert "there is no such run or checkpoint" in capsys.readouterr().err
    (here / "mine").mkdir()
    assert main(["train", "-d", "ring", "train.init=nope", "-o", "mine/folder"]) == 2
    assert [path.name for path in here.iterdir() if path.name in ("runs", "new", "mine")] == ["mine"]
    assert list((here / "mine").iterdir()) == []


@pytest.mark.parametrize("verb", ["sample", "vary"])
def test_a_verb_that_fails_at_its_work_leaves_no_folder(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    complaint(capsys, verb, str(trained), "-n", "2", "--cond", "hlaf=upper", "-o", "new/folder")
    assert not (here / "new").exists()


def test_resume_continues_a_run_and_may_lengthen_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-d", "ring", "train.steps=4", "-o", "run", "--judge", "0"]) == 0
    assert main(["resume", "run", "train.steps=7", *QUICK]) == 0
    assert "step 7/7" in capsys.readouterr().err
    assert main(["resume", "run", "--train.steps", "8", "--judge", "0"]) == 0
    assert steps_saved(here / "run" / "checkpoints")[-1] == 8
    assert "steps are done" not in capsys.readouterr().err
    assert main(["resume", "run", "--judge", "0"]) == 0
    assert "All 8 steps are done. Set train.steps=N to train longer." in capsys.readouterr().err
    said = complaint(capsys, "resume", "run", "optim.lr=3")
    assert "polydiff train -c run/config.resolved.yaml optim.lr=3" in said
    said = complaint(capsys, "resume", "run", "train.stepz=4")
    assert "There is no key 'train.stepz'. Did you mean 'train.steps'?" in said
    assert "stepz=" not in said
    assert "Did you mean" not in complaint(capsys, "resume", "run", "zzzzzzzzzzzzzzzz=4")
    assert complaint(capsys, "resume", "run", "train.steps=x").startswith("train.steps=x is not a whole number")


def test_sample_writes_files_that_do_not_depend_on_the_batch(trained: Path, here: Path) -> None:
    common = ["sample", str(trained), "-n", "5", "--seed", "3", "--cond", "half=upper", "--guidance", "2"]
    assert main([*common, "-o", "a"]) == 0
    assert main([*common, "-o", "b", "--batch-size", "2"]) == 0
    points = [[json.loads(path.read_text()) for path in sorted(Path(name).glob("sample-*.json"))] for name in "ab"]
    assert len(points[0]) == 5
    assert points[0] == [pytest.approx(point, abs=1e-5) for point in points[1]]
    manifest = json.loads((here / "a" / "manifest.json").read_text())
    assert [entry["file"] for entry in manifest["samples"]] == [f"sample-{i:05d}.json" for i in range(5)]
    assert all(entry["cond"] == {"half": "upper"} for entry in manifest["samples"])
    facts = {key: manifest[key] for key in ("domain", "step", "weights", "seed", "requested", "guidance", "steps")}
    requested = {"half": "upper"}
    assert facts == {
        "domain": "ring", "step": 6, "weights": "ema", "seed": 3, "requested": requested, "guidance": 2.0, "steps": 4
    }  # fmt: skip
    assert (here / "a" / "show.html").exists()


def test_samples_have_a_place_of_their_own_by_default(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = []
    for _ in range(2):
        assert main(["sample", str(trained / "checkpoints" / "step-00000006"), "-n", "1", "--weights", "model"]) == 0
        places.append(Path(capsys.readouterr().out.strip()))
    assert places == [trained / "samples" / f"generated-{number:03d}" for number in (1, 2)]
    assert all(json.loads((place / "manifest.json").read_text())["weights"] == "model" for place in places)


def test_sample_never_replaces_what_is_there(trained: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("all of it")
    said = complaint(capsys, "sample", str(trained), "-o", "mine")
    assert said == "mine exists and is not an empty folder. Choose another -o."
    assert (here / "mine" / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize("verb", ["sample", "vary"])
def test_a_folder_to_write_to_may_exist_empty_and_is_made_once_the_run_is_found(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (here / "empty").mkdir()
    assert main([verb, str(trained), "-n", "2", "-o", "empty"]) == 0
    assert list((here / "empty").rglob("manifest.json"))
    capsys.readouterr()
    assert complaint(capsys, verb, str(trained), "-n", "2", "-o", "empty").startswith("empty exists and is not")
    assert "There is no run folder nope." in complaint(capsys, verb, "nope", "-o", "new/folder")
    assert "Unknown sampler 'dim'" in complaint(capsys, verb, str(trained), "--sampler", "dim", "-o", "new/folder")
    assert not (here / "new").exists()


def test_options_of_a_sampler_and_a_spacing_are_used_and_recorded(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--sampler", "ddim", "--option", "eta=0.5", "--spacing", "karras", "--spacing-option", "rho=5"]
    expected = {"sampler": "ddim", "options": {"eta": 0.5}, "spacing": "karras", "spacing_options": {"rho": 5}}
    for verb, place in (("sample", "s/manifest.json"), ("vary", "v/made/manifest.json")):
        assert main([verb, str(trained), "-n", "2", "-o", verb[0], *words]) == 0
        manifest = json.loads((here / place).read_text())
        assert expected == {key: manifest[key] for key in expected}
    capsys.readouterr()
    shutil.copytree(trained, here / "run")
    assert main(["eval", "run", "-n", "4", *words]) == 0
    kept = json.loads((here / "run" / "evaluation.json").read_text())
    assert expected == {key: kept[key] for key in expected}
    assert main(["report", "run"]) == 0
    again = "--spacing karras --option eta=0.5 --spacing-option rho=5"
    assert again in (here / "run" / "report.html").read_text()


def test_features_of_ones_own_are_compared_on(trained: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "own.py").write_text("def radius(x):\n    return x.norm(dim=1, keepdim=True)\n")
    shutil.copytree(trained, here / "run")
    assert main(["eval", "run", "-n", "6", "--features", "own.py:radius"]) == 0
    assert "feature_fd" in capsys.readouterr().out
    kept = json.loads((here / "run" / "evaluation.json").read_text())
    for name in ("fd", "kid", "precision", "recall", "density", "coverage"):
        row = kept["metrics"][f"feature_{name}"]
        assert all(row[part] is None for part in ("value", "data", "noise"))
        assert "Not measured: it needs 30 examples of each set, there are 6." in row["meaning"]
    row = kept["metrics"]["feature_fd"]
    assert "on 1 features by own.py:radius" in row["meaning"]
    assert main(["report", "run"]) == 0
    assert "--features own.py:radius" in (here / "run" / "report.html").read_text()


def test_guidance_may_be_repeated_for_an_evaluation_and_the_report_shows_each_weight(
    trained: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, here / "run")
    assert main(["eval", "run", "-n", "4", "--steps", "2", "--guidance", "1", "--guidance", "2.5"]) == 0
    table = capsys.readouterr().out.partition("By guidance weight: 4 samples each")[2].splitlines()
    assert table[2].split() == ["metric", "1", "2.5", "real", "data", "better"]
    kept = json.loads((here / "run" / "evaluation.json").read_text())
    assert [row["guidance"] for row in kept["by_guidance"]] == [1, 2.5]
    assert kept["guidance"] == 1
    assert main(["report", "run"]) == 0
    page = (here / "run" / "report.html").read_text()
    assert "--guidance 1 --guidance 2.5" in page
    assert "By guidance weight" in page
    assert main(["eval", "run", "-n", "4", "--steps", "2", "--guidance", "2.5"]) == 0
    assert "By guidance" not in capsys.readouterr().out
    assert main(["eval", "run", "--guidance", "2", "--guidance", "2"]) == 2
    assert "all be different" in capsys.readouterr().err


def test_a_baseline_has_a_column_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"value": 1.0, "data": None, "noise": 3.0, "unit": "dB", "better": "lower", "meaning": "Far."}
    plain = {"n": 4, "step": 5, "weights": "ema", "sampler": "ddim", "steps": 3, "evaluations": 3, "seed": 0}
    plain |= {"environment": {"versions": {"python": "3.11"}}}
    evaluation_table(plain | {"metrics": {"far": row | {"baseline": 2.5}, "near": row}, "baseline": "sinc"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "python 3.11"
    assert lines[3].split() == ["metric", "samples", "baseline", "real", "data", "noise", "unit", "better"]
    assert lines[4].split() == ["far", "1", "2.5", DASH, "3", "dB", "lower"]
    assert lines[5].split() == ["near", "1", DASH, DASH, "3", "dB", "lower"]
    assert "The baseline is sinc." in lines
    evaluation_table(plain | {"metrics": {"near": row}})
    assert "baseline" not in capsys.readouterr().out


def test_a_number_stands_beside_its_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"value": 0.8125, "value_error": 0.0174, "data": 1.0, "noise": 0.0, "noise_error": 0.5}
    row |= {"unit": "", "better": "higher", "meaning": "Share."}
    plain = {"n": 4, "step": 5, "weights": "ema", "sampler": "ddim", "steps": 3, "evaluations": 3, "seed": 0}
    evaluation_table(plain | {"environment": {"versions": {}}, "metrics": {"valid": row}})
    out = capsys.readouterr().out
    assert out.splitlines()[4].split() == ["valid", "0.81±0.02", "1", "0", "higher"]
    assert "standard error over sets of samples of the same model" in " ".join(out.split())
    tiny = row | {"data": 4.2e-6, "data_error": 2e-6}
    evaluation_table(plain | {"environment": {"versions": {}}, "metrics": {"valid_connected_rdkit": tiny}})
    line = capsys.readouterr().out.splitlines()[4]
    assert line.split() == ["valid_connected_rdkit", "0.81±0.02", "4.2e-06", "0", "higher"]


def test_a_learned_variance_can_be_requested(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["loss.objective=hybrid", "train.steps=2", "data.sizes=[16,8]", "--judge", "0"]
    assert main(["train", "-d", "ring", "-o", "run", *words]) == 0
    drawn = []
    for variance in ("learned", "small"):
        how = ["--sampler", "ddpm", "--option", f"variance={variance}"]
        assert main(["sample", "run", "-n", "1", "-o", variance, *how]) == 0
        drawn.append(json.loads((here / variance / "sample-00000.json").read_text()))
    assert drawn[0] != drawn[1]


def test_the_command_line_knows_every_bound() -> None:
    """It lists them itself, so that help need not wait for torch."""
    from polydiff.cli.judge import BOUNDS
    from polydiff.gaussian.process.bounds import BOUNDS as LIKELIHOODS

    assert set(BOUNDS) == {*LIKELIHOODS, "all"}


def test_likelihood_alone_may_stand_before_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    run = str(trained)
    for words in (["--likelihood", run], [run, "--likelihood"], ["--likelihood", "vlb", run]):
        assert main(["eval", "-n", "2", "--json", *words]) == 0
        found.append(json.loads(capsys.readouterr().out)["likelihood"])
    assert list(found[0]) == ["vlb"]
    assert found[0] == found[1] == found[2]


def test_eval_of_a_checkpoint_says_that_it_keeps_nothing(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = trained / "checkpoints" / "step-00000006"
    assert main(["eval", str(checkpoint), "-n", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n"] == 2
    assert err == f"Nothing was saved: RUN is a checkpoint, and evaluation.json belongs to a run, {trained}.\n"


def test_eval_prints_a_table_or_only_json(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(trained), "-n", "6", "--steps", "3", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 samples, 6 real examples, step 6, ema weights, auto, 3 steps (3 evaluations), seed 1")
    assert "Mean distance from the ring." in out
    assert main(["eval", str(trained), "-n", "6", "--sampler", "heun", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["sampler"], result["steps"], result["n"]) == ("heun", 4, 6)
    assert set(result["metrics"]["distance"]) == {"value", "data", "noise", "unit", "better", "meaning"}
    assert json.loads((trained / "evaluation.json").read_text()) == result


def test_report_says_where_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(trained)]) == 0
    assert Path(capsys.readouterr().out.strip()) == trained / "report.html"


def test_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-d", "ring", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"parameters +\d+", out)
    assert re.search(r"batch shape +\[8, 2\]", out)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Unknown verb 'trian'. Did you mean 'train'?"),
        (["train"], "Which domain? Add --domain NAME; `polydiff domains list` shows the names."),
        (["train", "-d", "rign"], "Unknown domain 'rign'. Did you mean 'ring'?"),
        (["train", "-d", "ring", "-p", "wdie"], "Unknown preset of ring 'wdie'. Did you mean 'wide'?"),
        (["train", "-d", "ring", "--presett", "wide"], "Unknown key 'presett' (command line). Did you mean 'preset'?"),
        (["train", "-d", "ring", "train.stpes=3"], "Did you mean 'train.steps'?"),
        (["train", "-d", "ring", "schedule=edn"], "schedule: Unknown schedule 'edn'. Did you mean 'edm'?"),
        (["train", "-d", "ring", "word"], "'word' is neither an option nor key=value"),
        (["train", "-d", "ring", "-c", "no.yaml"], "Cannot read the config file no.yaml: No such file or directory."),
        (["train", "-d"], "Argument -d/--domain: expected one argument. `polydiff train --help` lists the options."),
        (["sample", "nowhere"], "There is no run folder nowhere."),
        (["eval", "plugins"], "There is no run folder plugins."),
        (["report", "."], ". is not a run folder"),
        (["resume", "nowhere"], "There is no run folder nowhere."),
        (["sample", "RUN", "--smapler", "ddim"], "Unknown option '--smapler'. Did you mean '--sampler'?"),
        (["sample", "RUN", "extra"], "extra: samples are drawn from noise. Name the part of it that is given"),
        (["sample", "RUN", "-n", "0"], "Argument -n: 0 is below 1."),
        (["sample", "RUN", "-n", "few"], "Argument -n: 'few' is not a whole number."),
        (["sample", "RUN", "--sampler", "dpm_2m"], "Unknown sampler 'dpm_2m'. Did you mean 'dpmpp_2m'?"),
        (["sample", "RUN", "--cond", "upper"], "--cond upper is not of the form NAME=VALUE"),
        (["sample", "RUN", "--cond", "haf=upper"], "Unknown condition 'haf'. Did you mean 'half'?"),
        (["sample", "RUN", "--cond", "half=left"], "half=left: lower or upper."),
        (["sample", "RUN", "--sampler", "ddim", "--option", "et=1"], "Unknown option of the sampler ddim 'et'."),
        (["vary", "RUN", "--option", "eta=1"], "sample.options: Unknown option of the sampler auto 'eta'."),
        (["sample", "RUN", "--sampler", "ddim", "--option", "eta=much"], "options.eta='much': should be a number."),
        (["sample", "RUN", "--sampler", "ddpm", "--option", "variance=learned"], "this network predicts no variance"),
        (["sample", "RUN", "--option", "eta"], "--option eta is not of the form NAME=VALUE, such as --option eta=0.5."),
        (["sample", "RUN", "--spacing", "karas"], "Unknown spacing 'karas'. Did you mean 'karras'?"),
        (["sample", "RUN", "--spacing", "karras", "--spacing-option", "roh=5"], "Did you mean 'rho'?"),
        (["sample", "RUN", "--negative", "half=lower"], "A negative condition has no effect at guidance 1."),
        (["sample", "RUN", "--guidance-method", "apg"], "A method of guidance has no effect at guidance 1."),
        (["eval", "RUN", "--guidance-option", "rescale=1"], "An option of guidance has no effect at guidance 1."),
        (["sample", "RUN", "--guidance", "2", "--guidance-interval", "5"], "should be two noise levels, the lower"),
        (["eval", "RUN", "--likelihood", "--option", "eta=1"], "--option applies to samples only."),
        (["eval", "RUN", "--likelihood", "--features", "a.pt"], "--features applies to samples only."),
        (["eval", "RUN", "--features", "nowhere.pt"], "There is no file nowhere.pt."),
        (
            ["eval", "RUN", "--likelihood", "--guidance-option", "rescale=1"],
            "--guidance-option applies to samples only.",
        ),
        (["eval", "RUN", "--guidance", "-1"], "guidance=-1.0: should be greater than or equal to 0."),
        (["domains", "check"], "The domain to check is missing"),
        (["domains", "check", "rign"], "Unknown domain 'rign'. Did you mean 'ring'?"),
        (["domains", "check", "ring", "data.radios=2"], "Did you mean 'data.radius'?"),
        (["domains", "list", "ring", "--jsn"], "Did you mean '--json'?"),
        (["presets", "show", "ring/wdie"], "Unknown preset of ring 'wdie'. Did you mean 'wide'?"),
        (["config", "shwo", "-d", "ring"], "Did you mean 'show'?"),
    ],
)
def test_a_mistake_ends_with_one_message(
    trained: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in complaint(capsys, *(str(trained) if word == "RUN" else word for word in words))


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDIFF_DEBUG", "1")
    assert main(["train", "-d", "ring", "train.steps=0"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("polydiff: train.steps=0 (command line): should be greater than or equal to 1.\n")


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} +\w", out, re.MULTILINE) for verb in VERBS)
    assert main(["--version"]) == 0
    assert re.fullmatch(r"polydiff \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_train_help_shows_the_keys_of_one_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "Number of optimizer steps" not in capsys.readouterr().out
    assert main(["train", "-d", "ring", "backbone.name=egnn", "--help"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"data\.radius=1\.4 +Radius of the ring\. \(number\)", out)
    assert re.search(r"train\.steps=6 +Number of optimizer steps\. \(int >=1", out)
    assert "backbone.cutoff" in out
    assert "data.sample_rate" not in out


LIGHT = [
    ["--help"],
    ["train", "--help"],
    ["train", "-d", "ring", "--help"],
    ["sample", "--help"],
    ["domains", "list"],
    ["presets", "list"],
    ["presets", "show", "ring/wide"],
    ["config", "show", "-d", "ring", "train.steps=3"],
    ["config", "diff", "-d", "ring"],
    ["train", "-d", "ring", "train.stpes=3"],
]


def test_commands_that_only_print_load_no_torch() -> None:
    code = (
        "import json, sys\nfrom polydiff.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try:\n        main(words)\n    except SystemExit:\n        pass\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(LIGHT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_program() -> None:
    done = polydiff("presets", "show", "ring")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "domain: ring\npreset: quick\n"
    assert polydiff("presets", "shwo").returncode == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_a_checkpoint_and_prints_how_to_resume(here: Path, number: signal.Signals, code: int) -> None:
    command = [
        sys.executable,
        "-m",
        "polydiff",
        "train",
        "-d",
        "ring",
        "-o",
        "run",
        "train.steps=1000000",
        "--judge",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=here, env=dict(os.environ))
    wait_for(here / "run" / "metrics.jsonl", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    (step,) = steps_saved(here / "run" / "checkpoints")[-1:]
    assert process.returncode == code
    assert f"Stopped; step {step} is saved. Resume with: polydiff resume run" in err
    assert "Traceback" not in err
    assert main(["resume", "run", f"train.steps={step + 2}", "--judge", "0"]) == 0


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file exists, as long as the process that should write it lives."""
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)


@pytest.mark.parametrize("place", ["batch", "decode", "__init__", "evaluate"])
def test_a_domain_that_calls_exit_0_ends_no_command_as_if_all_were_well(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ring_domain

    def leave(*args: object, **more: object) -> None:
        sys.exit(0)

    monkeypatch.setattr(ring_domain.Ring, place, leave)
    assert main(["train", "-d", "ring", "-o", "run", *QUICK]) in (1, 2)
    assert "sys.exit(0)" in capsys.readouterr().err
