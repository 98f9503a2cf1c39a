"""Configurations that are refused: by hand, and by mutation of right ones."""

from __future__ import annotations

from random import Random
from typing import Any

BY_HAND: list[tuple[list[str], str]] = [
    (["train.stepz=4"], "train.steps"),
    (["trian.steps=4"], "train"),
    (["steps=4"], "steps"),
    (["train.steps.more=4"], "train.steps"),
    (["train.steps="], "train.steps"),
    (["train.steps=-1"], "train.steps"),
    (["train.steps=0"], "train.steps"),
    (["train.steps=1.5"], "train.steps"),
    (["train.steps=many"], "train.steps"),
    (["train.steps=1e99"], "train.steps"),
    (["train.steps=1000000000000"], "train.steps"),
    (["train.steps=" + "9" * 5000], "train.steps"),
    (["train.steps=[4]"], "train.steps"),
    (["train.steps={a: 4}"], "train.steps"),
    (["train.steps=!!int x"], "train.steps"),
    (["train.steps=" + "[" * 3000], "train.steps"),
    (["train=4"], "train"),
    (["train.batch_size=0"], "train.batch_size"),
    (["train.batch_size=100000000"], "train.batch_size"),
    (["train.minutes=-3"], "train.minutes"),
    (["train.minutes=.inf"], "train.minutes"),
    (["train.ema=1"], "train.ema"),
    (["train.ema=.nan"], "train.ema"),
    (["train.workers=x"], "train.workers"),
    (["train.workers=100000"], "train.workers"),
    (["train.precision=fp8"], "train.precision"),
    (["train.init=/no/such/run"], "train.init"),
    (["train.codes=cache"], "train.codes"),
    (["optim.lr=0"], "optim.lr"),
    (["optim.lr=-1"], "optim.lr"),
    (["optim.lr=1e9"], "optim.lr"),
    (["optim.betas=[0.9]"], "optim.betas"),
    (["optim.betas=[2, 3]"], "optim.betas"),
    (["optim.name=adan"], "optim.name"),
    (["optim.decay=sine"], "optim.decay"),
    (["loss.norm=l3"], "l3"),
    (["loss.objective=denoise"], "loss.objective"),
    (["loss.objective_options={q: 2}"], "objective"),
    (["loss.norm_options={delta: wide}"], "loss.norm_options"),
    (["loss.times=logistic"], "loss.times"),
    (["loss.times_options={mean: .nan}"], "loss.times_options"),
    (["loss.weighting=heavy"], "loss.weighting"),
    (["loss.components={colour: -1}"], "loss.components"),
    (["schedule=linaer"], "schedule"),
    (["schedule_options={sigma_min: 5, sigma_max: 1}"], "schedule_options"),
    (["schedule_options={sigma_min: -1}"], "schedule_options"),
    (["target=noise"], "target"),
    (["process=gausian"], "process"),
    (["learn=dream"], "learn"),
    (["backbone.name=unnet"], "unet"),
    (["backbone.channels=0"], "backbone.channels"),
    (["backbone.channels=-16"], "backbone.channels"),
    (["backbone.mult=[]"], "backbone: mult is empty"),
    (["backbone.heads=0"], "backbone.heads"),
    (["backbone.dropout=2"], "backbone.dropout"),
    (["sample.sampler=eulr"], "sample.sampler"),
    (["sample.steps=0"], "sample.steps"),
    (["sample.options={order: 99}"], "sample.options"),
    (["sample.guidance=x"], "sample.guidance"),
    (["data.path=/no/such/folder"], "/no/such/folder"),
    (["data.name=cats"], "data.name"),
    (["data.test_share=2"], "data.test_share"),
    (["data.size=-1"], "data.size"),
    (["data.size=100000000"], "data.size"),
    (["seed=-1"], "seed"),
    (["seed=1.5"], "seed"),
    (["device=tpu"], "device"),
    (["domain=audio"], "domain"),
    (["codec=/no/such/run"], "codec"),
    (["preset=huge"], "preset"),
    (["-c", "/no/such/file.yaml"], "/no/such/file.yaml"),
    (["-c", "/dev/zero"], "/dev/zero"),
    (["-c", "/"], "/"),
    (["nothing"], "nothing"),
]
"""Words after `polydiff train --domain image`, and what the message must name."""
GIANTS: list[tuple[str, list[str]]] = [
    ("image", ["train.batch_size=1000000"]),
    ("image", ["backbone.channels=65536"]),
    ("image", ["backbone.channels=1000000000"]),
    ("image", ["backbone.blocks=10000000"]),
    ("image", ["data.size=100000"]),
    ("image", ["data.size=8192", "train.batch_size=4096"]),
    ("audio", ["train.batch_size=1000000"]),
    ("audio", ["data.length=1000000000"]),
    ("audio", ["backbone.channels=100000000"]),
    ("audio", ["mel.hop=1000000"]),
    ("audio", ["mel.bands=100000"]),
    ("molecule", ["train.batch_size=1000000"]),
    ("molecule", ["backbone.hidden=10000000"]),
    ("molecule", ["backbone.layers=10000000"]),
    ("sequence", ["train.batch_size=1000000"]),
    ("sequence", ["data.length=1000000000"]),
]
"""Domain, and settings of a size that no memory has; refused before anything is allocated."""
ON_DEMAND: list[tuple[str, list[str]]] = [
    ("audio", ["data.n_train=1000000000", "data.n_test=1000000000"]),
    ("sequence", ["data.name=sums", "data.largest=999"]),
]
"""Domain, and sizes of data that are made where they are read; they need no memory of their own."""

ODD: list[Any] = [
    None, "", "x", " ", -1, 0, 1, 2, 0.5, 1e-9, 1e308, -1e308, 10**9, 10**30, True, False, [], {}, [1], [1, 2, 3],
    [[1]], {"a": 1}, {"a": {"b": 1}}, [1] * 1000, "../../x", "/dev/zero", "a\u0000b", "\u202e", "é" * 100, "x" * 10**5,
    float("nan"), float("inf"), "auto", "null", "1e-4", "0x10", "2026-02-03", [None], {"": 0}, "!!int x", "*a", "%",
]  # fmt: skip
"""Values that a mutation puts at a key."""


def mutated_text(text: str, chance: Random) -> str:
    """Return a YAML text with one to three mutations of its letters or lines."""
    for _ in range(chance.randint(1, 3)):
        lines, at = text.split("\n"), chance.randrange(max(len(text), 1))
        i = chance.randrange(len(lines))
        match chance.randrange(8):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1:
                text = text[:at] + chance.choice("{}[]:,&*!|>'\"%@`#- \t\0\x85é~?=<") + text[at:]
            case 2:
                text = "\n".join([*lines[:i], lines[i], *lines[i:]])
            case 3:
                text = "\n".join([*lines[:i], " " * chance.randint(1, 5) + lines[i], *lines[i + 1 :]])
            case 4:
                text = text[:at]
            case 5:
                text = "\n".join(lines[:i] + lines[i + 1 :])
            case 6:
                text = text[:at] + chance.choice(("!!python/name:os.system ", "<<: *a", "&a *a", "- - - ")) + text[at:]
            case _:
                text = "\n".join(chance.sample(lines, len(lines)))
    return text
