"""A run becomes a folder that can be given away: the same samples elsewhere, no path of this machine, a whole card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_cases import all_kinds, draw, draw_elsewhere, golden_run
from forged import forged, put
from safetensors.torch import load_file

import polydiff
from polydiff.cli import main
from polydiff.config.merge import resolve
from polydiff.hub.upload import files_in
from polydiff.run.checkpoint import Checkpoint
from polydiff.run.folder import Run
from polydiff.run.reading import read_manifest, read_state_file
from polydiff.sharing.card import named
from polydiff.sharing.check import check_files
from polydiff.sharing.evaluation import keep_evaluation, section
from polydiff.sharing.export import export
from polydiff.sharing.portable import Encoders, portable, without_folder, without_folders, write_model
from polydiff.support.errors import UserError


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, dict[str, bytes]], Path]:
    """Exported models, the samples of the runs that they were made of, and where these runs were."""
    folder = tmp_path_factory.mktemp("export")
    runs = all_kinds(folder / "runs")
    (runs["image"] / "evaluation.json").write_text(json.dumps(EVALUATION))
    models = {name: export(run, folder / "models" / name, license="MIT", samples=2) for name, run in runs.items()}
    before = draw(runs, folder / "before")
    (folder / "runs").rename(folder / "gone")
    return models, before, folder


EVALUATION: dict[str, Any] = {
    "step": 50,
    "weights": "ema",
    "n": 20,
    "seed": 0,
    "sampler": "auto",
    "steps": 4,
    "guidance": 1.5,
    "features": "/home/anna/embed.py:features",
    "cond": {},
    "metrics": {
        "judge_agrees": {
            "value": 0.75, "value_error": 0.1, "data": 0.99, "noise": 0.1, "unit": "", "better": "higher",
            "meaning": "Share of images | that agree.",
        }
    },
}  # fmt: skip


def test_another_process_draws_the_same_bits_without_the_runs(shared: Any, tmp_path: Path) -> None:
    """Of all domains, a run with a guide, one in codes, and a pipeline, moved after they were exported."""
    models, before, _ = shared
    moved = {name: Path(shutil.copytree(model, tmp_path / f"given-{name}")) for name, model in models.items()}
    after = draw_elsewhere(moved, tmp_path / "after")
    for name, files in before.items():
        assert len(files) == 3, name
        assert after[name] == files, name


def test_a_folder_holds_no_optimizer_no_history_and_no_path_of_this_machine(shared: Any) -> None:
    models, _, folder = shared
    for model in models.values():
        files = {path.relative_to(model).as_posix(): path for path in model.rglob("*") if path.is_file()}
        assert not [name for name in files if "optimizer" in name or "metrics.jsonl" in name or "state.json" in name]
        for name, path in files.items():
            if path.suffix in (".json", ".yaml", ".md"):
                text = path.read_text()
                assert str(folder) not in text, name
                assert "/home/" not in text, name


def test_the_weights_are_a_plain_file_and_the_copies_are_models_themselves(shared: Any) -> None:
    models, _, folder = shared
    weights = load_file(models["image"] / "model.safetensors")
    (newest,) = (folder / "gone" / "image" / "checkpoints").glob("step-*")
    assert (models["image"] / "model.safetensors").read_bytes() == (newest / "ema.safetensors").read_bytes()
    assert weights.keys() == Checkpoint.load(newest).ema.keys()
    assert sorted(path.name for path in (models["guided"] / "parts").iterdir()) == ["sample-guide"]
    assert Run(models["latent"] / "parts" / "codec").exported
    codec = polydiff.load(models["latent"] / "parts" / "codec")
    assert codec.config.learn == "encode"  # type: ignore[union-attr]
    assert sorted(path.name for path in (models["pipeline"] / "stages").iterdir()) == ["ae", "ldm"]
    record = json.loads((models["guided"] / "config.json").read_text())["parents"]["train.init"]
    assert (record["path"], record["relative"]) == ("image", "image")


def test_the_card_states_what_is_known(shared: Any) -> None:
    models, _, _ = shared
    for name, model in models.items():
        text = (model / "README.md").read_text()
        _, head, body = text.split("---\n", 2)
        header = yaml.safe_load(head)
        domain = name if name in ("audio", "molecule", "sequence") else "image"
        assert (header["library_name"], header["license"], header["tags"][-1]) == ("polydiff", "mit", domain)
        assert "More Information Needed" not in text
        assert f"polydiff sample {name} -n 16" in body
        assert f'polydiff.load("{name}")' in body
        assert (model / "samples.png").is_file() == ("samples.png" in body) == (name != "sequence")
        assert len(list((model / "samples" / "drawn").glob("sample-*"))) == 2
    image = (models["image"] / "README.md").read_text()
    assert "| `judge_agrees` | 0.8 ± 0.1 | 0.99 | 0.1 | Share of images \\| that agree. (higher is better) |" in image
    assert "This model was not evaluated. Judge it" in (models["audio"] / "README.md").read_text()
    assert "```text\n" in (models["sequence"] / "README.md").read_text()
    assert "| ldm | `" in (models["pipeline"] / "README.md").read_text()


def test_the_samples_of_the_card_are_the_first_of_the_seed_0(shared: Any, tmp_path: Path) -> None:
    models, _, _ = shared
    polydiff.load(models["image"]).sample(2, seed=0).save(tmp_path / "again")
    for i in range(2):
        name = f"sample-0000{i}.png"
        assert (models["image"] / "samples" / "drawn" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_every_verb_takes_it(shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as a codec, as a pipeline's stage, as a guide and as initial weights."""
    models, _, _ = shared
    monkeypatch.chdir(tmp_path)
    for name in ("image", "latent", "pipeline"):
        shutil.copytree(models[name], name)
    few = ["train.steps=2", "train.batch_size=4", "sample.steps=2", "--judge", "0"]
    small = ["backbone.channels=16", "backbone.blocks=1"]
    for words in (
        ["sample", "image", "-n", "2", "--cond", "label=3"],
        ["sample", "pipeline", "-n", "2"],
        ["eval", "image", "-n", "4"],
        ["report", "image"],
        ["vary", "image", "-n", "2"],
        ["interpolate", "image", "0", "1", "--steps", "2", "--shares", "0.5"],
        ["inpaint", "image", "-n", "2", "--gap", "2,2:5,5"],
        ["solve", "image", "-n", "2", "--given", "mean=2"],
        ["sample", "image", "-n", "2", "--guide", "image", "--guidance", "2"],
        ["train", "--domain", "image", "codec=latent/parts/codec", "-o", "again", *small, *few],
        ["train", "-c", "latent/config.resolved.yaml", "-o", "copy", *few],
        ["chain", "image", "-o", "one"],
        ["sample", "one", "-n", "2"],
        ["export", "image", "-o", "twice", "--samples", "0"],
    ):
        assert main(words) == 0, words
    assert (tmp_path / "image" / "report.html").is_file()
    assert "evaluated" not in (tmp_path / "twice" / "README.md").read_text()  # the evaluation above is copied
    for name in ("model.safetensors", "config.json", "manifest.json"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "image" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume", "image"], r"is an exported model, without the optimizer and the history"),
        (["resume", "pipeline"], r"is an exported pipeline, without the optimizers"),
        (["train", "--domain", "image", "-o", "image"], r"image is an exported model\. Choose another -o"),
        (["sample", "image", "--weights", "model"], r"has averaged weights alone\. Leave weights out"),
        (["sample", "image", "--ema", "0.1"], r"keeps no averages"),
        (["export", "image", "-o", "image"], r"image exists and is not an empty folder\. Choose another -o"),
        (["export", "image", "-o", "step-00000001"], r"step-00000001 has the name of a checkpoint"),
        (["export", "image", "-o", "new", "--license", "all mine"], r"should be an identifier of a licence"),
        (["export", "image", "-o", "new", "--steps", "3"], r"--steps has no effect on a folder to give away"),
        (["export", "image", "-o", "new", "--option", "eta=1"], r"--option has no effect on a folder to give away"),
        (["export", "image", "-o", "new", "--format", "torch", "--license", "mit"], r"--license concerns a model card"),
        (["export", "nothing", "-o", "new"], r"There is no run folder nothing"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], message: str, shared: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    models, _, folder = shared
    monkeypatch.chdir(folder / "models")
    assert main(words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (folder / "models" / "new").exists()
    assert models.keys() == {path.name for path in (folder / "models").iterdir()}


def test_a_changed_file_is_an_error(tmp_path: Path) -> None:
    model = export(golden_run("image", tmp_path), tmp_path / "model", samples=0)
    for name in ("config.json", "model.safetensors"):
        data = bytearray((model / name).read_bytes())
        (model / name).write_bytes(bytes([*data[:-2], data[-2] ^ 1, data[-1]]))
        with pytest.raises(UserError, match=rf"exported model .* is damaged: {name} does not match its manifest"):
            polydiff.load(model)
        (model / name).write_bytes(bytes(data))
    assert polydiff.load(model).step == 50  # type: ignore[union-attr]


@pytest.mark.parametrize("absent", ["config.json", "model.safetensors", "manifest.json"])
def test_a_missing_file_is_named(absent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a model, and of a stage of a pipeline."""
    run = golden_run("image", tmp_path)
    model = export(run, tmp_path / "model", samples=0)
    assert main(["chain", str(run), "-o", str(tmp_path / "chain")]) == 0
    pipeline = export(tmp_path / "chain", tmp_path / "pipeline", samples=0)
    (stage,) = (pipeline / "stages").iterdir()
    for place in (model, stage):
        (place / absent).unlink()
        whole = model if place == model else pipeline
        for words in (["sample", str(whole), "-n", "2"], ["eval", str(whole)], ["export", str(whole), "-o", "new"]):
            capsys.readouterr()
            assert main(words) == 2
            message = capsys.readouterr().err
            assert f"{place} looks like an exported model, but lacks {absent}. Copy or download" in message


def test_a_missing_copy_of_a_codec_is_named(shared: Any, tmp_path: Path) -> None:
    latent = Path(shutil.copytree(shared[0]["latent"], tmp_path / "latent"))
    shutil.rmtree(latent / "parts" / "codec")
    with pytest.raises(UserError, match=rf"^{latent}/parts/codec is missing\. Copy or download the whole folder again"):
        polydiff.load(latent)


def test_files_are_checked_without_building_a_network(shared: Any, tmp_path: Path) -> None:
    """Each file of each model in a folder: changed by a bit, or missing."""
    for name in ("guided", "pipeline"):
        model = Path(shutil.copytree(shared[0][name], tmp_path / name))
        check_files(model)
        found = [path for path in model.rglob("*") if path.name in ("config.json", "model.safetensors")]
        assert len(found) == {"guided": 4, "pipeline": 6}[name]
        for path in found:
            data = path.read_bytes()
            path.write_bytes(bytes([*data[:-2], data[-2] ^ 1, data[-1]]))
            with pytest.raises(UserError, match=rf"{path.parent} is damaged: {path.name} does not match its manifest"):
                check_files(model)
            path.unlink()
            with pytest.raises(UserError, match=rf"{path.parent} looks like an exported model, but lacks {path.name}"):
                check_files(model)
            path.write_bytes(data)
        check_files(model)


def test_the_card_shows_a_later_evaluation_unless_somebody_edited_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = export(golden_run("image", tmp_path), tmp_path / "model", samples=0)
    card = model / "README.md"
    mine = card.read_text().replace("# model\n", "# model\n\nMy words: This model was not evaluated.\n")
    card.write_text(mine)
    keep_evaluation(Run(model), EVALUATION)
    assert "README.md shows these numbers" in capsys.readouterr().err
    text = card.read_text()
    assert text == mine.replace(section({}), section({**EVALUATION, "features": "embed.py:features"}))
    assert "| `judge_agrees` | 0.8 ± 0.1 |" in text
    assert "My words: This model was not evaluated." in text
    assert "/home/anna" not in (model / "evaluation.json").read_text()
    keep_evaluation(Run(model), {**EVALUATION, "n": 400, "cond": {"label": "7"}})
    assert "Measured on 400 samples, seed 0, sampler auto, steps 4, guidance 1.5, label=7;" in card.read_text()
    card.write_text(edited := card.read_text().replace("the ceiling", "the sky"))
    keep_evaluation(Run(model), EVALUATION)
    assert card.read_text() == edited
    assert "was edited or is missing, and stays as it is. The numbers are in" in capsys.readouterr().err
    assert json.loads((model / "evaluation.json").read_text())["n"] == 20


def test_numbers_of_other_weights_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = golden_run("image", tmp_path)
    (run / "evaluation.json").write_text(json.dumps({**EVALUATION, "step": 3}))
    model = export(run, tmp_path / "model", samples=0)
    assert "not of the exported weights" in capsys.readouterr().err
    assert not (model / "evaluation.json").exists()
    assert "This model was not evaluated." in (model / "README.md").read_text()


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    run = golden_run("image", tmp_path)
    (newest,) = (run / "checkpoints").glob("step-*")
    (newest / "ema.safetensors").unlink()
    with pytest.raises(UserError, match=r"ema.safetensors is missing"):
        export(run, tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"image"}


def test_a_folder_that_is_filled_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, place = golden_run("image", tmp_path), tmp_path / "model"

    def filled(*args: Any) -> None:
        place.mkdir()
        (place / "precious.txt").write_text("mine")

    monkeypatch.setattr("polydiff.sharing.export.draw", filled)
    with pytest.raises(UserError, match="is not an empty folder"):
        export(run, place)
    assert [path.name for path in place.iterdir()] == ["precious.txt"]


def test_a_card_gets_another_name_where_it_stands_for_the_model() -> None:
    usage = "<!-- usage of é model -->\n"
    usage += "polydiff sample 'é model' -n 16 -o samples\nmodel = polydiff.load(\"é model\")\n<!-- end of usage -->"
    card = f"---\nlicense: mit\n---\n\n# é model\n\nA model.\n\n{usage}\n"
    assert named(card, "hf:anna/digits") == (
        "---\nlicense: mit\n---\n\n# digits\n\nA model.\n\n<!-- usage of hf:anna/digits -->\n"
        'polydiff sample hf:anna/digits -n 16 -o samples\nmodel = polydiff.load("hf:anna/digits")\n'
        "<!-- end of usage -->\n"
    )


def test_trackers_of_the_author_are_not_given_away() -> None:
    options = {"tensorboard": {"folder": "/home/anna/tb"}}
    config = resolve("image").config.model_copy(update={"track": ("tensorboard",), "track_options": options})
    values = portable(config, {})
    assert (values["track"], values["track_options"]) == ([], {})


def test_only_files_of_models_are_sent(tmp_path: Path) -> None:
    sent = ["README.md", "model.safetensors", "parts/codec/model.safetensors", "parts/text-encoder/tokenizer.json"]
    sent += ["samples/drawn/sample-00000.png", "stages/up/parts/codec/config.json"]
    kept = ["notes.txt", "parts/codec/notes.txt", "parts/notes.txt", "stages/up/samples/step-1/private.csv"]
    for name in [*sent, *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "LICENSE").symlink_to("/etc/passwd")
    assert [name for name, _ in files_in(tmp_path)] == sorted(sent)


def test_text_encoders_are_copied_once_and_found_where_the_folder_is(tmp_path: Path) -> None:
    encoder = tmp_path / "t5"
    encoder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (encoder / name).write_text(name)
    (encoder / "pytorch_model.bin").write_text("a pickle")
    text = {"type": "encoded_text", "folder": str(encoder), "digest": "d", "width": 4, "longest": 3, "kept": []}
    checkpoint = forged("image", tmp_path / "run" / "checkpoints", put("text", text))
    place = tmp_path / "model"
    encoders = Encoders(place)
    write_model(checkpoint, place, encoders)
    write_model(checkpoint, place / "stages" / "up", encoders, part=True)
    copy = place / "parts" / "text-encoder"
    assert {path.name for path in copy.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    moved = place.rename(tmp_path / "moved")
    for folder in (moved, moved / "stages" / "up"):
        found = read_state_file(folder, read_manifest(folder, (), ("config.json", "model.safetensors")))
        kept = Path(found["statistics"]["text"]["folder"])
        assert kept.resolve() == (moved / "parts" / "text-encoder").resolve()
    shutil.rmtree(encoder)
    with pytest.raises(UserError, match=r"The text encoder .*t5 is not there, and samples need it"):
        write_model(checkpoint, tmp_path / "other", Encoders(tmp_path / "other"))


def test_folders_are_cut_from_paths_and_from_nothing_else() -> None:
    """A caption, a class, a unit or a note that has slashes is no path, even beside one."""
    net = "/home/anna maria/nets/embed.py:features"
    given = {
        "features": net,
        "guide": "~/runs/weak",
        "stages": {"up": {"guide": "../runs/up"}, "base": {"guide": "hf:anna/base"}},
        "pair": {"path": "/runs/pair", "step": 3},
        "cond": {"embedding": "/home/anna/a/x.npy", "text": "/ a cat or / a dog", "label": "/m/01g317"},
        "metrics": {
            "fd": {"unit": "m/s", "meaning": f"~3 / 4 of all on 8 features by {net} (1a/2b)", "value": 0.5},
        },
        "confusions": {"label": {"requested": ["/m/01g317", "~a/b"], "seen": ["/x"]}},
        "samples": ["/a/b", "~/c"],
    }  # fmt: skip
    assert without_folders(given) == {
        "features": "embed.py:features",
        "guide": "weak",
        "stages": {"up": {"guide": "up"}, "base": {"guide": "hf:anna/base"}},
        "pair": {"path": "pair", "step": 3},
        "cond": {"embedding": "x.npy", "text": "/ a cat or / a dog", "label": "/m/01g317"},
        "metrics": {
            "fd": {"unit": "m/s", "meaning": "~3 / 4 of all on 8 features by embed.py:features (1a/2b)", "value": 0.5},
        },
        "confusions": {"label": {"requested": ["/m/01g317", "~a/b"], "seen": ["/x"]}},
        "samples": ["/a/b", "~/c"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("file /tmp/a b/my.yaml", "file my.yaml"),
        ("/home/anna maria/x.yaml, stages.up-2", "x.yaml, stages.up-2"),
        ("~/x.yaml, common", "x.yaml, common"),
        ("file ../mine/x.yaml", "file x.yaml"),
        ("file x.yaml", "file x.yaml"),
        ("preset quick", "preset quick"),
        ("follows from data.size", "follows from data.size"),
    ],
)
def test_the_source_of_a_value_is_the_name_of_its_file(source: str, found: str) -> None:
    assert without_folder(source) == found
