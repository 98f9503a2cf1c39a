"""Words that may follow a line: verbs, options, domains, presets, keys, values; from one table, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polydiff.cli import VERBS, main
from polydiff.completion.candidates import candidates
from polydiff.completion.scripts import SCRIPTS
from polydiff.completion.table import Table, collected, names, table
from polydiff.gaussian.sampling.plan import SAMPLERS
from polydiff.parts.letters.samplers import JUMPS
from polydiff.support.disk import cache_dir
from polydiff.training.optimizers import OPTIMIZERS


@pytest.fixture(scope="module")
def everything() -> Table:
    return collected()


@pytest.mark.parametrize(
    ("line", "some", "others"),
    [
        ("polydiff ", ["train", "sample", "--help"], ["image"]),
        ("polydiff tr", ["train"], ["sample"]),
        ("polydiff train ", ["--domain", "--dry-run"], ["train.steps="]),
        ("polydiff train --d", ["--domain", "--dry-run"], ["-d"]),
        ("polydiff train --domain ", ["image", "audio", "molecule", "sequence"], ["quick"]),
        ("polydiff train -d au", ["audio"], ["image"]),
        ("polydiff train --domain audio --preset ", ["quick", "small", "latent"], ["mnist"]),
        ("polydiff train --domain audio train.", ["train.steps=", "train.batch_size="], ["optim.lr="]),
        ("polydiff train --domain audio data.s", ["data.sample_rate=", "data.silence="], ["data.length="]),
        ("polydiff train --domain audio train.precision=", ["train.precision=bf16"], ["bf16"]),
        ("polydiff train --domain audio train.compile=t", ["train.compile=true"], ["train.compile=false"]),
        ("polydiff train --domain image backbone.name=d", ["backbone.name=dit"], ["backbone.name=unet"]),
        ("polydiff train --domain image backbone.name=dit backbone.", ["backbone.depth="], ["backbone.mult="]),
        ("polydiff train --domain image track=ten", ["track=tensorboard"], ["track=wandb"]),
        ("polydiff train 'open quote --domain image tra", ["train.steps="], []),
        ("polydiff resume runs/a ", ["train.steps=", "launch.processes="], ["optim.lr="]),
        ("polydiff domains ", ["list", "check", "new"], ["image"]),
        ("polydiff domains check ", ["image", "audio"], ["list"]),
        ("polydiff domains check image data.s", ["data.size="], []),
        ("polydiff presets show ima", ["image/quick", "image/dit"], ["audio/quick"]),
        ("polydiff config ", ["show", "diff", "schema"], []),
        ("polydiff data ", ["check", "prepare"], []),
        ("polydiff sample runs/a --we", ["--weights"], []),
        ("polydiff sample runs/a --weights ", ["ema", "model"], []),
        ("polydiff completion ", ["bash", "zsh", "fish"], []),
        ("polydiff nothing ", [], ["--help"]),
        ("polydiff export runs/a --format ", ["polydiff", "diffusers", "onnx", "torch"], ["image"]),
        ("polydiff sample runs/a --sampler ", ["heun", "ddim", "auto", "first_hitting", "midpoint"], ["karras"]),
        ("polydiff sample runs/a --sampler he", ["heun"], ["ddim"]),
        ("polydiff eval runs/a --spacing ", ["karras", "time"], ["heun"]),
        ("polydiff vary runs/a --guidance-method ", ["cfg", "apg"], ["heun"]),
        ("polydiff solve runs/a --how ", ["moments", "pigdm", "dps"], ["heun"]),
        ("polydiff train -d image schedule=", ["schedule=edm", "schedule=flow"], ["schedule=logistic"]),
        ("polydiff train -d image process=masked schedule=", ["schedule=logistic"], ["schedule=edm"]),
        ("polydiff train -d sequence schedule=", ["schedule=linear"], ["schedule=edm"]),
        ("polydiff train -d sequence sample.sampler=", ["sample.sampler=remask"], ["sample.sampler=heun"]),
        ("polydiff train -d image target=", ["target=eps", "target=flow"], ["target=edm_"]),
        ("polydiff train -d image process=", ["process=gaussian", "process=masked", "process=joint"], []),
        ("polydiff train -d image learn=", ["learn=denoise", "learn=encode", "learn=match"], []),
        ("polydiff train -d image optim.name=", ["optim.name=adamw", "optim.name=muon"], []),
        ("polydiff train -d image loss.weighting=", ["loss.weighting=min_snr"], []),
        ("polydiff train -d image loss.times=", ["loss.times=log_normal"], []),
        ("polydiff train -d image loss.norm=", ["loss.norm=l1"], []),
        ("polydiff train -d image loss.objective=", ["loss.objective=shortcut"], []),
        ("polydiff train -d image sample.spacing=k", ["sample.spacing=karras"], ["sample.spacing=time"]),
        ("polydiff train -d image sample.guidance_method=", ["sample.guidance_method=cfg"], []),
        ("polydiff train -d image sample.batch_size=", ["sample.batch_size=auto"], []),
        ("polydiff train -d molecule process=joint parts.bonds.process=", ["parts.bonds.process=marginal"], []),
        ("polydiff train -d molecule process=joint parts.bonds.sampler=", ["parts.bonds.sampler=ancestral"], []),
        ("polydiff train -d image track=tensorboard,", ["track=tensorboard,wandb"], ["track=tensorboard,tensorboard"]),
        ("polydiff train -d image track=tensorboard,w", ["track=tensorboard,wandb"], ["track=tensorboard,mlflow"]),
        ("polydiff train -d image data.path=", [], ["data.path=image"]),
        ("polydiff import ", [], ["key=value", "--output"]),
        ("polydiff import --", ["--output"], []),
        ("polydiff import folder ", ["--output"], []),
        ("polydiff sample ", [], ["--steps", "RUN"]),
        ("polydiff eval runs/a ", ["--steps"], []),
        ("polydiff sample runs/a ", [], ["--steps"]),
        ("polydiff vary runs/a sample.png ", [], ["--steps"]),
    ],
)
def test_words_that_may_follow(line: str, some: list[str], others: list[str], everything: Table) -> None:
    found = [candidate.word for candidate in candidates(line, everything, names)]
    assert set(some) <= set(found)
    assert not set(others) & set(found)
    assert len(found) == len(set(found))


def test_every_name_that_completes_is_one_that_a_configuration_takes() -> None:
    """The tables of checks and of completion are the same ones; a few values are looked up both ways."""
    found = names()
    assert found["processes"]["gaussian"]["sample.sampler"] == list(SAMPLERS)
    assert found["processes"]["masked"]["sample.sampler"] == list(JUMPS)
    assert found["processes"].keys() == {*found["shared"]["process"]}
    assert found["shared"]["optim.name"] == list(OPTIMIZERS)


def test_a_line_that_needs_no_names_does_not_collect_them(everything: Table) -> None:
    def collect() -> Table:
        raise AssertionError("collecting the names loads torch")

    for line in ("polydiff train -d image train.", "polydiff train -d image train.precision=", "polydiff sample r --w"):
        assert candidates(line, everything, collect)


def test_all_verbs_are_in_the_table_and_keys_have_their_help(everything: Table) -> None:
    assert list(everything["verbs"]) == list(VERBS)
    assert everything["domains"]["audio"]["keys"]["train.steps"]["help"] == "Number of optimizer steps"


def test_the_table_is_kept_and_collected_again_if_it_is_damaged() -> None:
    path = cache_dir() / "completion.json"
    first = table()
    path.write_text(json.dumps({**first, "verbs": {"kept": {"help": "", "options": {}, "words": []}}}))
    assert list(table()["verbs"]) == ["kept"]
    path.write_text(json.dumps({**first, "state": ["of another installation"], "verbs": {}}))
    assert table() == first


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == SCRIPTS[shell]
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_an_unknown_shell_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err


COMPLETE = """
source <("$PYTHON" -m polydiff completion bash)
polydiff() { "$PYTHON" -m polydiff "$@"; }
COMP_LINE="$1"; COMP_POINT=${#1}
compopt() { echo "nospace"; }
_polydiff
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("polydiff doc", ["doctor"]),
        ("polydiff train --domain image train.precision=b", ["bf16"]),
        ("polydiff train --domain image optim.lr", ["nospace", "optim.lr="]),
        ("polydiff nothing at all", [""]),
    ],
)
def test_bash_completes(line: str, words: list[str]) -> None:
    """The script in bash itself; after "=", bash wants only the rest."""
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", line],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.stdout.splitlines() == words, done.stderr


def test_completion_imports_neither_torch_nor_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys; from polydiff.__main__ import main\n"
        "sys.argv = ['polydiff', 'completion', 'words', 'polydiff train --domain image tra']; main()\n"
        "print('heavy', *sorted({'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    for _ in range(2):  # the first one collects the table
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy"
    assert "train.steps=" in done.stdout.split()
