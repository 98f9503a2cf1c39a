"""Models on the hub, by a stand-in for its server: sent, read, read from the cache, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_cases import draw, golden_run
from hub_server import Hub, serving, use
from pipeline_cases import LATENT
from tiny_runs import SMALL_NETS

import polydiff
from polydiff.cli import main
from polydiff.hub.download import fetched
from polydiff.hub.names import hub_name
from polydiff.pipeline.train import train_pipeline
from polydiff.sharing.export import export
from polydiff.sharing.push import push
from polydiff.support.errors import UserError

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of digits."""
    folder = tmp_path_factory.mktemp("hub")
    return export(golden_run("image", folder), folder / "digits", license="mit", samples=2)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline, not exported."""
    return train_pipeline(LATENT, tmp_path_factory.mktemp("hub") / "latent", progress=False)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server, as a user who may write, with an empty cache and an empty working folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with serving() as server:
        use(server, tmp_path / "cache", monkeypatch)
        yield server
    fetched.cache_clear()


def elsewhere(hub: Hub, tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the environment of another process that uses the same server and cache."""
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", **more}


def test_names() -> None:
    assert hub_name("hf:anna/digits") == ("anna/digits", None)
    assert str(hub_name("hf:anna/digits@refs/pr/1")) == "hf:anna/digits@refs/pr/1"
    for odd in ("hf:digits", "hf:", "hf:a/b/c", "hf:anna/di gits", "hf:anna/..", "hf:../digits", "hf:anna/digits@"):
        with pytest.raises(UserError, match=r"should name a user and a model|the revision after @"):
            hub_name(odd)


def test_a_pushed_model_is_private_whole_and_gives_the_same_samples(
    hub: Hub, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "samples" / "generated-001").mkdir(exist_ok=True)
    (model / "samples" / "generated-001" / "private.png").write_bytes(b"mine")
    assert main(["push", str(model), "anna/digits"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/anna/digits\n"
    repository = hub.repositories["anna/digits"]
    (_, files) = repository.commits.values()
    assert repository.private
    assert (model / "model.safetensors").read_bytes() == files["model.safetensors"] in hub.large.values()
    ours = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert files.keys() - {".gitattributes"} == ours - {"samples/generated-001/private.png"}
    card = files["README.md"].decode()
    assert 'polydiff.load("hf:anna/digits")' in card
    assert "polydiff sample hf:anna/digits -n 16" in card
    assert card.count("# digits") == 1
    drawn = draw({"there": "hf:anna/digits", "here": model}, tmp_path / "drawn")
    assert drawn["there"] == drawn["here"] != {}


def test_other_processes_read_it_and_without_a_network_from_the_cache(hub: Hub, model: Path, tmp_path: Path) -> None:
    """Through the command line, with the library's own variables of the environment."""
    push(model, "anna/digits")
    sample = [sys.executable, "-m", "polydiff", "sample", "hf:anna/digits", "-n", "2"]
    done = subprocess.run(sample, capture_output=True, text=True, env=elsewhere(hub, tmp_path), timeout=300)
    assert done.stdout == "runs/anna--digits/samples/generated-001\n", done.stderr
    before = len(hub.requests)
    offline = elsewhere(hub, tmp_path, HF_HUB_OFFLINE="1")
    done = subprocess.run([*sample, "-o", "again"], capture_output=True, text=True, env=offline, timeout=300)
    assert (done.stdout, len(hub.requests)) == ("again\n", before), done.stderr
    first, again = (Path(folder, "sample-00001.png") for folder in ("runs/anna--digits/samples/generated-001", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_a_revision_is_a_commit_and_a_later_push_deletes_what_is_gone(hub: Hub, model: Path, tmp_path: Path) -> None:
    push(model, "anna/digits", public=True, message="the first")
    repository = hub.repositories["anna/digits"]
    assert not repository.private
    assert repository.messages[-1] == "the first"
    first = list(repository.commits)[-1]
    other = export(golden_run("image", tmp_path), tmp_path / "other", samples=0)
    push(other, "anna/digits")
    newest = repository.commits[list(repository.commits)[-1]]
    assert "samples.png" not in newest
    assert ".gitattributes" in newest
    assert "samples.png" in repository.commits[first]
    assert polydiff.load(f"hf:anna/digits@{first}").step == 50  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"hf:anna/digits@nowhere: there is no such revision"):
        polydiff.load("hf:anna/digits@nowhere")


def test_a_damaged_file_is_an_error_before_anything_is_sent(hub: Hub, tmp_path: Path) -> None:
    model = export(golden_run("image", tmp_path), tmp_path / "model", samples=0)
    data = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(bytes([*data[:-1], data[-1] ^ 1]))
    with pytest.raises(UserError, match=r"is damaged: model\.safetensors does not match its manifest"):
        push(model, "anna/digits")
    (model / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks model\.safetensors"):
        push(model, "anna/digits")
    assert not hub.repositories
    assert not hub.requests


def test_a_pipeline_is_exported_pushed_and_read(hub: Hub, pipeline: Path, tmp_path: Path) -> None:
    push(pipeline, "anna/latent", samples=0, license="mit")
    files = hub.repositories["anna/latent"].commits[list(hub.repositories["anna/latent"].commits)[-1]]
    assert {"pipeline.yaml", "stages/ldm/parts/codec/model.safetensors"} <= files.keys()
    drawn = draw({"there": "hf:anna/latent", "here": pipeline}, tmp_path / "drawn")
    assert drawn["there"] == drawn["here"] != {}


def test_keys_of_a_configuration_name_models_of_the_hub(
    hub: Hub, model: Path, pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As codec, guide and initial weights; the new run keeps a copy of the codec, and records the names."""
    push(pipeline / "stages" / "ae", "anna/codec", samples=0)
    push(model, "anna/digits")
    few = ["train.steps=2", "train.batch_size=4", "sample.steps=2", "--judge", "0"]
    small = [f"{key}={value}" for key, value in SMALL_NETS["image"].items()]
    assert main(["train", "--domain", "image", "codec=hf:anna/codec", "-o", "latent", *small, *few]) == 0
    (state,) = Path("latent").glob("checkpoints/*/state.json")
    record = json.loads(state.read_text())["parents"]["codec"]
    assert (record["path"], record["relative"]) == ("hf:anna/codec", "hf:anna/codec")
    keys = ["train.init=hf:anna/digits", "sample.guide=hf:anna/digits", "sample.guidance=2"]
    backbone = ["backbone.channels=8", "backbone.mult=[1,1]", "backbone.blocks=1", "backbone.heads=2"]
    assert main(["train", "--domain", "image", "-o", "guided", *keys, *backbone, *few]) == 0
    assert main(["chain", "hf:anna/digits", "-o", "chained"]) == 0
    assert "run: 'hf:anna/digits'" in Path("chained/pipeline.yaml").read_text()
    assert main(["sample", "chained", "-n", "2"]) == 0
    assert main(["export", "hf:anna/digits", "-o", "own", "--samples", "0"]) == 0
    assert (Path("own") / "config.json").read_bytes() == (model / "config.json").read_bytes()
    assert main(["eval", "hf:anna/digits", "-n", "2", "--json"]) == 0
    assert "Nothing was saved: RUN is on the hub." in capsys.readouterr().err
    hub.repositories.clear()  # a run in codes needs the hub no longer
    fetched.cache_clear()
    assert main(["sample", "latent", "-n", "2"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "hf:anna/nothing"], "hf:anna/nothing: there is no such model, or it is private. Correct the name."),
        (["sample", "hf:anna/text"], "hf:anna/text is no model of polydiff: it holds neither config.json with"),
        (["sample", "hf:anna/gated"], "its owner gives access on request"),
        (["sample", "hf:anna"], "hf:anna should name a user and a model, such as hf:anna/digits."),
        (["report", "hf:anna/digits"], "hf:anna/digits is on the hub, and nothing is written to its copy"),
        (["resume", "hf:anna/digits"], "is an exported model, without the optimizer"),
        (["push", "hf:anna/digits", "anna/again"], "hf:anna/digits is on the hub"),
        (["push", "{model}", "digits"], "digits should name a user and a model"),
        (["push", "{model}", "berta/digits"], "hf:berta/digits: this machine has no right to write there. Log in"),
        (["push", "{model}", "anna/digits", "--license", "mit"], "is exported already. State the licence"),
        (["push", "nothing", "anna/digits"], "There is no run folder nothing"),
        (["train", "--domain", "image", "codec=hf:anna/nothing", "-o", "a"], "codec=hf:anna/nothing: hf:anna/nothing"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], message: str, hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("anna/text", {"config.json": b"{}", "model.safetensors": b""})
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    hub.add("anna/gated", files, gated=True)
    hub.add("anna/digits", files)
    assert main([word.format(model=model) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert all(len(repository.commits) == 1 for repository in hub.repositories.values())


def test_without_a_network_or_a_token(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    push(model, "anna/digits")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"anna/digits: there is no such model, or it is private\. .* Log in with"):
        polydiff.load("hf:anna/digits")
    with pytest.raises(UserError, match=r"anna/new: this machine has no right to write there"):
        push(model, "anna/new")
    monkeypatch.setenv("HF_TOKEN", "reads")
    assert polydiff.load("hf:anna/digits").step == 50  # type: ignore[union-attr]
    hub.shutdown()
    hub.server_close()
    fetched.cache_clear()
    assert polydiff.load("hf:anna/digits").step == 50  # type: ignore[union-attr] # from the cache
    with pytest.raises(UserError, match=rf"hf:anna/other: the hub {hub.url} cannot be reached"):
        polydiff.load("hf:anna/other")
    with pytest.raises(UserError, match=rf"hf:anna/digits: the hub {hub.url} cannot be reached"):
        push(model, "anna/digits")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fetched.cache_clear()
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE=1 allows no connection, and the model is not"):
        polydiff.load("hf:anna/other")
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE=1 allows no connection, and nothing can be sent"):
        push(model, "anna/digits")


def changed(files: dict[str, bytes], **new: bytes) -> dict[str, bytes]:
    """Return the files of a model with some changed; names have __ for a dot."""
    return {**files, **{name.replace("__", "."): data for name, data in new.items()}}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"model__safetensors": b"\x80\x04\x95pickle"}, "model.safetensors does not match its manifest"),
        ({"config__json": b"{}"}, "config.json does not match its manifest"),
        ({"manifest__json": b'{"pickle.pkl": {}}'}, "it lists 'pickle.pkl', which is no file of a checkpoint"),
    ],
)
def test_what_comes_from_the_hub_is_read_strictly(new: Any, message: str, hub: Hub, model: Path) -> None:
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    hub.add("anna/odd", changed({**files, "code.py": b"raise SystemExit", "weights.bin": b"\x80\x04"}, **new))
    with pytest.raises(UserError, match=message):
        polydiff.load("hf:anna/odd")
    fetched_paths = [path for method, path in hub.requests if method == "GET" and "/resolve/" in path]
    assert not [path for path in fetched_paths if path.endswith((".py", ".bin"))]  # they are not even downloaded


def test_a_link_that_leaves_a_folder_is_refused_except_in_a_cache_of_the_hub(tmp_path: Path) -> None:
    from polydiff.support.reading import read_regular

    cache = tmp_path / "hub" / "models--anna--digits"
    snapshot = cache / "snapshots" / "0a1b" / "parts"
    for folder in (snapshot, cache / "blobs", tmp_path / "hub" / "blobs"):
        folder.mkdir(parents=True)
    for place in (cache / "blobs" / "one", tmp_path / "hub" / "blobs" / "two", tmp_path / "secret"):
        place.write_bytes(b"x")
    (cache / "blobs" / "shared").symlink_to(tmp_path / "hub" / "blobs" / "two")
    for name, target in {"a": cache / "blobs" / "one", "b": cache / "blobs" / "shared"}.items():
        (snapshot / name).symlink_to(target)
        assert read_regular(snapshot / name) == b"x"
    (snapshot / "c").symlink_to(tmp_path / "secret")
    (cache / "blobs" / "odd").symlink_to(tmp_path / "secret")
    (snapshot / "d").symlink_to(cache / "blobs" / "odd")
    for name in ("c", "d"):
        with pytest.raises(ValueError, match="outside its folder"):
            read_regular(snapshot / name)


def test_the_library_is_needed_only_for_the_hub(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    fetched.cache_clear()
    assert polydiff.load(model).step == 50  # type: ignore[union-attr]
    for call in (lambda: polydiff.load("hf:anna/digits"), lambda: push(model, "anna/digits")):
        with pytest.raises(UserError, match=r'hf:anna/digits needs huggingface_hub .*: pip install "polydiff\[hub\]"'):
            call()
