"""`polydiff serve`: its API on tiny runs of four domains and two restorers, limits, stops, and a worker that dies."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from repository import blocks
from serving import LONG, Served

from polydiff.cli import main

pytestmark = pytest.mark.timeout(600)


def test_models_say_what_they_can_be_given(served: Served) -> None:
    found = served.get("/api/models")
    image, audio, molecule, sequence, enlarger, vocoder = found["models"]
    assert image["conditions"] == [{"name": "label", "kind": "class", "values": [*map(str, range(10))], "whole": False}]
    assert {"ddim", "auto", "heun"} <= {*image["samplers"]}
    assert image["actions"] == ["sample", "vary", "inpaint", "interpolate", "solve", "film"]
    assert image["measurements"] == ["blur=1.3", "mean=2", "gap=0,0:4,4"]
    assert image["solvers"] == ["moments", "pigdm", "dps"]
    assert {"restore", "sample"} <= {*enlarger["actions"]}
    assert [enlarger["task"], vocoder["task"], image["task"]] == ["upsample", "vocode", ""]
    assert (audio["measured"], molecule["measured"]) == (True, False)
    assert "solve" not in {*molecule["actions"], *sequence["actions"], *enlarger["actions"]}
    (pitch,) = audio["conditions"]
    assert pitch["kind"] == "class"
    assert "C4" in pitch["values"]
    numbers = {one["name"]: one for one in molecule["conditions"]}
    assert numbers["logp"]["least"] < numbers["logp"]["most"]
    assert numbers["C"]["whole"]
    assert molecule["grows"]
    assert "molecules.js" in molecule["scripts"]
    assert "interpolate" not in sequence["actions"]
    assert found["limits"]["samples"] == 64
    assert served.get("/api/models/audio") == audio
    script = served.client.get("/api/models/molecule/scripts/molecules.js")
    assert script.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    ("name", "cond"), [("image", {"label": "7"}), ("audio", {}), ("molecule", {}), ("sequence", {})]
)
def test_samples_are_those_of_the_command(
    name: str, cond: dict[str, str], served: Served, runs: Path, tmp_path: Path
) -> None:
    out, words = tmp_path / "out", [word for pair in cond.items() for word in ("--cond", "=".join(pair))]
    assert main(["sample", str(runs / name), "-n", "3", "--seed", "5", "--steps", "3", *words, "-o", str(out)]) == 0
    made = served.run(model=name, kind="sample", n=3, seed=5, cond=cond, sampling={"steps": 3})
    names = [sample["file"] for sample in made["samples"]]
    assert served.files(made) == [(out / file).read_bytes() for file in names]
    assert made["facts"]["steps"] == 3
    archive = zipfile.ZipFile(io.BytesIO(served.file(f"/api/jobs/{made['id']}/zip")))
    assert {Path(file).name for file in archive.namelist()} == {*names, "manifest.json", "show.html"}
    page = served.client.get(f"/api/jobs/{made['id']}/page")
    assert page.headers["content-security-policy"].startswith("sandbox")


def pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def mask_of(white: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((255 * white).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_pictures_are_varied_inpainted_and_interpolated(served: Served) -> None:
    made = served.run(kind="sample", n=2, seed=1)
    a, b = ({"job": made["id"], "sample": i} for i in range(2))
    first, second = map(pixels, served.files(made))
    white = np.zeros((8, 8), bool)
    white[2:5, 3:7] = True
    how = {"kind": "inpaint", "source": a, "n": 2, "sampling": {"steps": 3}}
    by_mask = served.run(**how, mask=served.upload(mask_of(white), "png"))
    by_gap = served.run(**how, gap=["3,2:7,5"])
    assert served.files(by_mask) == served.files(by_gap)
    for found in map(pixels, served.files(by_mask)):
        assert (found == first)[~white].all()
        assert not (found == first)[white].all()
    near, far = (
        pixels(served.files(served.run(kind="vary", source=a, strength=strength, sampling={"steps": 3}))[0])
        for strength in (0.02, 1)
    )
    assert np.abs(near.astype(int) - first).mean() < np.abs(far.astype(int) - first).mean()
    ends = served.run(kind="interpolate", a=a, b=b, shares=[0, 1], steps=12)
    for found, end in zip(map(pixels, served.files(ends)), (first, second), strict=True):
        assert np.abs(found.astype(int) - end).mean() < 24  # there and back, up to the error of few steps
    again = served.run(kind="vary", source={"file": served.upload(served.files(made)[0], "png")}, sampling={"steps": 3})
    assert len(again["samples"]) == 1


def file_of(served: Served, folder: Path, **request: Any) -> tuple[Path, dict[str, Any]]:
    """A new sample as a file, and as the source of a request."""
    made = served.run(kind="sample", **request)
    path = folder / made["samples"][0]["file"]
    path.write_bytes(served.files(made)[0])
    return path, {"job": made["id"]}


@pytest.mark.parametrize(("model", "given"), [("image", "blur=1"), ("audio", "mean=4")])
def test_solutions_are_those_of_the_command(model: str, given: str, served: Served, runs: Path, tmp_path: Path) -> None:
    path, source = file_of(served, tmp_path, model=model, sampling={"steps": 2})
    out, more = tmp_path / "out", ["--each", "2", "--noise", "0.1", "--steps", "3", "--how", "pigdm"]
    words = ["solve", str(runs / model), str(path), "--given", given, *more, "-o", str(out)]
    assert main(words) == 0
    how = {"given": given, "noise": 0.1, "how": "pigdm", "sampling": {"steps": 3}, "n": 2}
    found = served.run(kind="solve", model=model, source=source, **how)
    assert served.files(found) == [(out / "made" / one["file"]).read_bytes() for one in found["samples"]]
    assert served.file(found["given"]) == next((out / "given").glob(f"*0{path.suffix}")).read_bytes()
    assert found["facts"]["measurement"] == given


def test_a_file_that_is_the_measurement_itself(served: Served) -> None:
    low = np.full((4, 4), 200, np.uint8)
    low[:, :2] = 40
    file = io.BytesIO()
    Image.fromarray(low).save(file, "PNG")
    how = {"given": "mean=2", "measured": True, "source": {"file": served.upload(file.getvalue(), "png")}}
    found = served.run(kind="solve", **how, sampling={"steps": 20})
    means = pixels(served.files(found)[0]).astype(float).reshape(4, 2, 4, 2).mean((1, 3))
    assert np.abs(means - low).mean() < 12  # the blocks of the solution have the given means
    wrong = {**how, "given": "mean=4"}
    assert "Leave out measured" in served.failure(kind="solve", **wrong)


@pytest.mark.parametrize(("model", "verb"), [("enlarger", "upsample"), ("vocoder", "vocode")])
def test_restorations_are_those_of_the_command(
    model: str, verb: str, served: Served, runs: Path, tmp_path: Path
) -> None:
    path, source = file_of(served, tmp_path, model={"enlarger": "image", "vocoder": "audio"}[model])
    out = tmp_path / "out"
    words = [verb, str(runs / model), str(path), "--each", "2", "--seed", "3", "--steps", "3", "-o", str(out)]
    assert main(words) == 0
    found = served.run(kind="restore", model=model, source=source, n=2, seed=3, sampling={"steps": 3})
    assert served.files(found) == [(out / "made" / one["file"]).read_bytes() for one in found["samples"]]
    assert served.file(found["given"]) == next((out / "given").glob(f"*0{path.suffix}")).read_bytes()
    if model == "enlarger":
        assert pixels(served.files(found)[0]).shape == (16, 16)
        degraded = served.run(kind="restore", model=model, source=source, degrade=True, sampling={"steps": 3})
        assert pixels(served.files(degraded)[0]).shape == (8, 8)


ETHANE = """8

C  0.756 0.000 0.000
C -0.756 0.000 0.000
H  1.140 0.659 0.783
H  1.140 0.348 -0.963
H  1.140 -1.007 0.181
H -1.140 -0.659 -0.783
H -1.140 -0.348 0.963
H -1.140 1.007 -0.181
"""
PARTS = {"audio": {"gap": ["0.05:0.1"]}, "molecule": {"gap": ["0"]}, "sequence": {"gap": ["1:3"]}}


@pytest.mark.parametrize(("model", "part"), [*PARTS.items(), ("molecule", {"add": "2"})])
def test_parts_of_other_examples_are_generated_again(model: str, part: dict[str, Any], served: Served) -> None:
    made = served.run(model=model, kind="sample", sampling={"steps": 3})
    (before,), source = served.files(made), {"job": made["id"]}
    if model == "molecule":  # an untrained network makes none
        source = {"file": served.upload(ETHANE.encode(), "xyz")}
    found = served.run(model=model, kind="inpaint", source=source, **part, n=2, sampling={"steps": 3})
    after = served.files(found)
    assert len(after) == 2
    if model == "sequence":
        assert [text[:1] + text[3:] for text in after] == [before[:1] + before[3:]] * 2
    if model == "molecule" and "add" in part:
        assert all(b"\n 10 " in record for record in after)  # the line of counts


@pytest.mark.parametrize("model", ["image", "sequence"])
def test_a_film_ends_at_the_sample(model: str, served: Served) -> None:
    request = {"model": model, "seed": 3, "sampling": {"steps": 4}}
    made = served.run(kind="sample", **request)
    film = served.run(kind="film", frames=20, **request)
    levels = [frame["level"] for frame in film["frames"]]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 0
    assert served.file(film["frames"][-1]["state"]) == served.files(made)[0]
    assert served.file(film["frames"][0]["state"]) != served.files(made)[0]


def test_the_python_of_the_page_on_serving_runs(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks("docs/serving.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("http://127.0.0.1:8642", served.address), {})
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_limits_are_kept(served: Served) -> None:
    for wrong, words in (
        ({"kind": "sample", "n": 65}, "n=65 is more than 64"),
        ({"kind": "sample", "sampling": {"steps": 4001}}, "sampling.steps=4001 is more than 4000"),
        ({"kind": "interpolate", "model": "sequence", "a": {"job": "x" * 16}, "b": {"job": "x" * 16}}, "can sample"),
    ):
        answer = served.post(**wrong)
        assert answer.status_code == 422
        assert words in answer.json()["error"]
    assert served.client.post("/api/files?suffix=png", content=b"x" * 2**20 + b"x").status_code == 413
    assert served.client.post("/api/jobs", json={"kind": "x" * 300_000}).status_code == 413

    def parts() -> Iterator[bytes]:
        yield from [b"x" * 100_000] * 30  # without a length

    assert served.client.post("/api/files?suffix=png", content=parts()).status_code == 413
    jobs = [served.submit(kind="sample", n=64, sampling=LONG) for _ in range(3)]
    served.until(jobs[0], "running")
    full = served.post(kind="sample")
    if full.status_code == 202:  # the first was still waiting when the third came
        jobs.append(full.json()["id"])
        full = served.post(kind="sample")
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) >= 1
    assert served.get("/api/health")["queued"] == 2
    for job in jobs:
        assert served.client.delete(f"/api/jobs/{job}").json()["state"] == "cancelled"
    assert served.run(kind="sample")["samples"]


def test_a_job_stops_when_nobody_asks_for_it(served: Served) -> None:
    job = served.submit(kind="sample", n=64, sampling=LONG)
    with served.client.stream("GET", f"/api/jobs/{job}/events") as stream:
        lines = stream.iter_lines()
        while '"running"' not in next(lines):
            pass
        time.sleep(4)  # longer than the server's patience: who reads the stream waits
        assert served.get("/api/health")["running"] == 1
    while served.get("/api/health")["running"]:
        time.sleep(0.05)
    assert served.wait(job)["message"] == "Its client disconnected."
    forgotten = served.submit(kind="sample", n=64, sampling=LONG)
    started = time.monotonic()
    while served.get("/api/health")["running"] or time.monotonic() - started < 1:
        time.sleep(0.1)
    assert served.wait(forgotten)["message"] == "It was stopped, since no client requested it any more."


def test_a_killed_worker_fails_its_job_alone(served: Served) -> None:
    job, after = served.submit(kind="sample", n=64, sampling=LONG), served.submit(kind="sample", sampling={"steps": 2})
    served.until(job, "running")
    os.kill(served.worker(), signal.SIGKILL)
    status = served.wait(job)
    assert status["state"] == "failed"
    assert "was killed, perhaps for lack of memory (SIGKILL)" in status["message"]
    assert served.wait(after)["state"] == "done"
    assert served.get("/api/health")["status"] == "ok"


def test_errors_of_a_job_are_sentences_without_paths(served: Served) -> None:
    for request, words in (
        ({"cond": {"label": "twelve"}}, "Unknown label 'twelve'"),
        ({"cond": {"colour": "red"}}, "Unknown condition 'colour'"),
        ({"sampling": {"sampler": "best"}}, "Unknown sampler 'best'"),
        ({"sampling": {"sampler": "restart", "steps": 4000}}, "this server allows"),
    ):
        assert words in served.failure(kind="sample", **request)
    message = served.failure(kind="vary", source={"file": served.upload(b"no picture", "png")})
    assert message.startswith("the file cannot be read as an image")
    assert "/tmp" not in message
    text = served.upload(b"import os", "py")
    assert "the file" in served.failure(kind="vary", source={"file": text})
    for request in (
        {"kind": "vary", "source": {"job": "0" * 16}},
        {"kind": "vary", "source": {"file": "0" * 16}},
        {"kind": "sample", "model": "../image"},
    ):
        assert served.post(**request).status_code == 404


def test_requests_name_no_path(served: Served, runs: Path) -> None:
    for sampling in (
        {"guide": str(runs / "image")},
        {"options": {"x": ["a"]}},
        {"compile": True},
        {"sampler": "/bin/sh"},
    ):
        answer = served.post(kind="sample", sampling=sampling)
        assert answer.status_code == 422
        assert answer.json()["where"].startswith("sampling.")
    assert served.post(kind="vary", source={"file": str(runs)}).status_code == 422
    secret = served.post(kind="solve", source={"file": "0" * 16}, given="mask=/etc/passwd")
    assert secret.json()["where"] == "given"
    assert "Unknown measurement 'mask'" in secret.json()["error"]
    made = served.run(kind="sample")
    here = f"/api/jobs/{made['id']}/files"
    for name in ("..%2f..%2fetc%2fpasswd", "show.html", "%2e%2e", "a\\b"):
        assert served.client.get(f"{here}/{name}").status_code == 404
    assert served.client.get("/static/..%2fschema.py").status_code == 404
    assert served.client.post("/api/files?suffix=../x", content=b"x").status_code == 422


@pytest.mark.parametrize(
    ("request_", "where", "words"),
    [
        ({"kind": "draw"}, "kind", "sample, vary, inpaint"),
        ({}, "kind", "sample, vary, inpaint"),
        ({"kind": "sample", "sampling": {"guide": 1}}, "sampling.guide", "not permitted"),
        ({"kind": "sample", "cond": {"label": ["7"]}}, "cond.label", "a valid boolean or a valid integer or"),
        ({"kind": "sample", "n": 0}, "n", "greater than or equal to 1"),
        ({"kind": "sample", "n": 65}, "n", "n=65 is more than 64"),
        ({"kind": "sample", "stages": {"up": {}}}, "stages", "The model image has no stages."),
        ({"kind": "vary"}, "source", "Field required"),
        ({"kind": "vary", "source": {}}, "source", 'give either "job", with "sample", or "file"'),
        ({"kind": "inpaint", "model": "audio", "source": {"file": "0" * 16}, "gap": [""]}, "gap.0", "at least 1"),
        ({"kind": "restore", "source": {"file": "0" * 16}}, "kind", "the model image can sample, vary"),
        ({"kind": "solve", "source": {"file": "0" * 16}, "given": "grey", "how": "x"}, "given", "'grey'"),
        ({"kind": "solve", "source": {"file": "0" * 16}, "given": "mean=2", "how": "x"}, "how", "'x'"),
    ],
)
def test_errors_name_the_field_of_the_request(request_: dict[str, Any], where: str, words: str, served: Served) -> None:
    answer = served.client.post("/api/jobs", json=request_)
    assert answer.status_code == 422
    assert answer.json()["where"] == where
    assert words in answer.json()["error"]


def test_failed_jobs_name_fields_of_requests(served: Served) -> None:
    """No message of a job speaks of an option of the command line, or of the configuration's section `sample`."""
    image, letters = (
        {"job": served.run(kind="sample", model=name, sampling={"steps": 2})["id"]} for name in ("image", "sequence")
    )
    ethane = {"file": served.upload(ETHANE.encode(), "xyz")}
    for request, words in (
        ({"kind": "inpaint", "source": image, "gap": ["9,9:12,12"]}, "to which gap and keep refer"),
        ({"kind": "inpaint", "source": image, "keep": ["0,0:8,8"]}, "Change gap, keep or mask."),
        ({"kind": "inpaint", "source": image, "add": "3"}, "add 3: the domain image cannot add places"),
        (
            {"kind": "inpaint", "model": "sequence", "source": letters, "mask": "MASK"},
            "reads no masks from files. Use gap",
        ),
        ({"kind": "inpaint", "model": "molecule", "source": ethane, "add": "0"}, "add 0: specify how many atoms"),
        ({"kind": "sample", "sampling": {"sampler": "best"}}, "sampling.sampler"),
        ({"kind": "sample", "sampling": {"guidance_method": "best"}}, "sampling.guidance_method"),
    ):
        if "mask" in request:
            request["mask"] = served.upload(mask_of(np.ones((8, 8), bool)), "png")
        message = served.failure(**request)
        assert words in message, message
        assert not re.search(r"--[a-z]|\bsample\.", message), message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "kind",
        "n",
        "seed",
        "cond",
        "sampling",
        "model",
        "source",
        "a",
        "b",
        "gap",
        "mask",
        "strength",
        "shares",
        "frames",
        "steps",
    ]
)
KINDS = st.sampled_from(["sample", "vary", "inpaint", "interpolate", "film", "solve", "restore", "other"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=5), KINDS)
def test_no_request_breaks_the_server(served: Served, wanted: dict[str, Any], kind: str) -> None:
    body = json.dumps({**wanted, "kind": kind}).encode()
    answer = served.client.post("/api/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (202, 400, 404, 422, 429), answer.text
    if answer.status_code == 202:
        served.client.delete(answer.headers["location"])
    else:
        assert answer.json()["error"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]),
    st.text("abAB/.%2?=&{}~é", max_size=20),
    st.binary(max_size=20),
)
def test_no_address_breaks_the_server(served: Served, method: str, path: str, body: bytes) -> None:
    answer = served.client.request(method, f"/api/{path.replace('#', '')}", content=body)
    assert answer.status_code < 500


def test_a_run_that_cannot_be_served_is_one_message(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "polydiff", "serve", str(tmp_path), "--port", "0"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert re.search(r"^polydiff: .* is not a run folder", run.stderr, re.M), run.stderr
    assert "Traceback" not in run.stderr
