"""The model card: README.md with a header that the hub reads. It states what is known and asks for nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from polydiff.contract.abilities import task_conditions
from polydiff.contract.discover import load_domain_spec
from polydiff.contract.domain import Samples, conditions_of
from polydiff.contract.sections.run import Config
from polydiff.core.conditions import Text, Tokens
from polydiff.hub.files import CONFIG, DRAWN, MANIFEST, PICTURE, PIPELINE, RESOLVED, WEIGHTS
from polydiff.model.model import Model
from polydiff.pipeline.chain import Chain
from polydiff.pipeline.folder import STAGES
from polydiff.report.page import DIFFUSION, KINDS, duration, newest_state, process_words, weights
from polydiff.run.folder import PARTS, Run
from polydiff.sharing.evaluation import section
from polydiff.sharing.markdown import cell, fenced, table
from polydiff.support.errors import amount, shortened
from polydiff.support.nested import get_dotted

USAGE = re.compile(r"<!-- usage of (.+?) -->\n(.*?)<!-- end of usage -->", re.DOTALL)
"""The part of a card that shows how to use the model, under a name."""
NAMED: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("<!-- usage of {} -->", str),
    ("polydiff sample {} ", shlex.quote),
    ("polydiff eval {} ", shlex.quote),
    ("codec={}\n", shlex.quote),
    ("tell.embedding={}\n", shlex.quote),
    ("polydiff.load({})", partial(json.dumps, ensure_ascii=False)),
)
"""Places of the model's name in that part, and how each writes it."""
LETTERS = 400
"""Largest number of letters of a text that a card shows."""
UNKNOWN = "unknown"
"""Identifier, on the hub, of a licence that is not stated."""


def card(
    model: Model | Chain, place: Path, name: str, license: str, result: Mapping[str, Any], drawn: Samples | None
) -> str:
    """Return the card of an exported model, as Markdown.

    Arguments:
        model: The exported model.
        place: Its folder.
        name: What commands call it.
        license: Identifier of the licence; "": not stated.
        result: Its evaluation; {}: none.
        drawn: Samples of it; None: none.
    """
    parts = (
        header(model, license),
        f"# {name.rpartition('/')[2] or name}\n",
        introduction(model),
        pictures(place, drawn),
        "## The model\n",
        table(("", ""), facts(model, place).items()),
        *([stages_table(model, place)] if isinstance(model, Chain) else []),
        usage(model, name, drawn),
        section(result),
        limits(),
        licence(license),
        files(model, place),
    )
    return "\n".join(part for part in parts if part)


def configs(model: Model | Chain) -> list[Config]:
    """Return the configurations of a model, the one that makes the samples first."""
    if isinstance(model, Model):
        return [model.config]
    every = [stage.config for stage in (*model.stages.values(), *model.others.values())]
    return [model.last.config, *(config for config in every if config is not model.last.config)]


def header(model: Model | Chain, license: str) -> str:
    """Return the header, as YAML between lines of dashes."""
    domain = model.facts["domain"]
    task = load_domain_spec(domain).hub_tasks.get(kind_of(model), "")
    values = {
        "library_name": "polydiff",
        "license": license.lower() or UNKNOWN,
        **({"pipeline_tag": task} if task else {}),
        "tags": ["polydiff", "diffusion", domain],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def kind_of(model: Model | Chain) -> str:
    """Return the key of `DomainSpec.hub_tasks` for a model: encode, match, restore, text or generate."""
    if isinstance(model, Model) and model.config.learn != "denoise":
        return model.config.learn
    if model.restores:
        return "restore"
    domains = [stage.domain for stage in model.stages.values()] if isinstance(model, Chain) else [model.domain]
    reads = any(isinstance(kind, Text | Tokens) for domain in domains for kind in conditions_of(domain).values())
    return "text" if reads else "generate"


def introduction(model: Model | Chain) -> str:
    """Return what the model is, in a sentence or two."""
    spec = load_domain_spec(model.facts["domain"])
    if isinstance(model, Chain):
        what = f"A pipeline of {amount(len(model.stages) + len(model.others), 'model')}, which draw samples in turn,"
    else:
        what = KINDS.get(model.config.learn, DIFFUSION).what
    return f"{what} of the domain `{spec.name}`, trained with polydiff. {spec.summary}\n"


def pictures(place: Path, drawn: Samples | None) -> str:
    """Return the picture of the samples, or the texts themselves, with their conditions."""
    if drawn is None:
        return ""
    first = amount(len(drawn), "sample")
    note = f"The first {first} of the seed 0, in order; none was selected. Files: [{DRAWN}]({DRAWN}).\n"
    shown = f"![Samples]({PICTURE})\n\n" if (place / PICTURE).is_file() else ""
    if all(isinstance(example, str) for example in drawn):
        shown = fenced("\n".join(shortened(str(example), LETTERS) for example in drawn))
    words = [", ".join(f"{key}: {value}" for key, value in one.items()) for one in drawn.conditions]
    listed = "".join(f"{i}. {cell(text)}\n" for i, text in enumerate(words, 1)) if any(words) else ""
    return f"{shown}{note}" + (f"\nTheir conditions:\n\n{listed}" if listed else "")


def facts(model: Model | Chain, place: Path) -> dict[str, str]:
    """Return what the model was made of and how, name -> text."""
    config, last = configs(model)[0], place / STAGES / list(model.stages)[-1] if isinstance(model, Chain) else place
    state = newest_state(Run(last))
    saved = state["config"]
    data = str(get_dotted(saved, "data.path") or config.data.name)
    versions = get_dotted(state, "environment.versions") or {}
    found = {
        "Data": f"`{data}`, {amount(int(state.get('examples') or 0), 'training example')}",
        "Conditions": "; ".join(conditions(model)),
        **({} if isinstance(model, Chain) else about(saved, Run(place), model.step)),
        "Depends on": "" if isinstance(model, Chain) else ", ".join(
            f"`{key}` ({'in this folder' if (place / record['path']).is_dir() else 'begun with its weights'})"
            for key, record in state.get("parents", {}).items()
        ),
        "Training time": duration(state.get("seconds")) if state.get("seconds") and isinstance(model, Model) else "",
        "Date": str(get_dotted(state, "environment.date") or "").partition("T")[0],
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Seed of training": str(config.seed),
    }  # fmt: skip
    return {name: text for name, text in found.items() if text}


def about(saved: Mapping[str, Any], run: Run, step: int) -> dict[str, str]:
    """Return network, process and training of one model, name -> text.

    Arguments:
        saved: Its configuration, as nested mappings.
        run: Its folder.
        step: Training steps done.
    """
    return {
        "Network": f"`{get_dotted(saved, 'backbone.name')}`, {weights(run)}",
        "Process": process_words(saved),
        "Training": f"{step:,} steps of {get_dotted(saved, 'train.batch_size')} examples; the weights are averages",
    }


def stages_table(model: Chain, place: Path) -> str:
    """Return the table of a pipeline's stages."""
    rows = []
    for name, stage in {**model.others, **model.stages}.items():
        run = Run(place / STAGES / name)
        rows.append((name, *about(newest_state(run)["config"], run, stage.step).values()))
    return table(("stage", "network", "process", "training"), rows)


def conditions(model: Model | Chain) -> list[str]:
    """Return the conditions that users can set, each with its kind."""
    domains = [stage.domain for stage in model.stages.values()] if isinstance(model, Chain) else [model.domain]
    found = {
        name: f"`{name}` ({kind.words})"
        for domain in domains
        for name, kind in conditions_of(domain).items()
        if name not in task_conditions(domain) and kind.source == "words"
    }
    return list(found.values())


def usage(model: Model | Chain, name: str, drawn: Samples | None) -> str:
    """Return how to use the model, by commands and in Python, under a name that `named` can change later."""
    spec = load_domain_spec(model.facts["domain"])
    install = spec.install or "pip install polydiff"
    one = next((words for words in (drawn.conditions if drawn else []) if words), {})
    first = dict(list(one.items())[:1])
    option = "".join(f" --cond {shlex.quote(f'{key}={value}')}" for key, value in first.items())
    cond = f", cond={json.dumps(first)}" if first else ""
    python = f"import polydiff\n\nmodel = polydiff.load({json.dumps(name, ensure_ascii=False)})"
    if drawn is not None:
        shell = f"polydiff sample {shlex.quote(name)} -n 16{option} -o samples"
        python += f'\nsamples = model.sample(16, seed=0{cond})\nsamples.save("python-samples")'
    elif model.restores:
        shell = f"polydiff eval {shlex.quote(name)} -n 16"
    else:
        use = "tell.embedding" if kind_of(model) == "match" else "codec"
        shell = f"polydiff train --domain {spec.name} {use}={shlex.quote(name)}"
    text = f"```sh\n{install}\n{shell}\n```\n\n```python\n{python}\n```\n"
    return f"## How to use it\n\n<!-- usage of {name} -->\n{text}<!-- end of usage -->\n"


def named(text: str, name: str) -> str:
    """Return a card whose title and part on usage call the model by another name."""
    found = USAGE.search(text)
    if found is None:
        return text
    part, old = found[0], found[1]
    for form, written in NAMED:
        part = part.replace(form.format(written(old)), form.format(written(name)))
    text = text.replace(found[0], part, 1)
    return text.replace(f"\n# {old.rpartition('/')[2]}\n", f"\n# {name.rpartition('/')[2]}\n", 1)


def limits() -> str:
    """Return what the model is for, and what it is not for."""
    return (
        "## Intended use and limits\n\n"
        "For research and for play with data of the kind it was trained on. What these data lack, the model does not "
        "make; their errors and biases are its own. Samples may be near copies of training examples: "
        "`polydiff report` shows the nearest ones of a few. It is not meant for uses in which a wrong sample does "
        "harm.\n"
    )


def licence(license: str) -> str:
    """Return the section on the licence."""
    stated = f"This model is licensed under `{license.lower()}`." if license else "The authors state no licence."
    return f"## Licence\n\n{stated} The licence of the training data may limit its use further.\n"


def files(model: Model | Chain, place: Path) -> str:
    """Return what the files of the folder are."""
    meaning = {
        PIPELINE: "the stages in order",
        f"{STAGES}/": "the model of each stage, a folder as one exported alone",
        WEIGHTS: "averaged weights",
        CONFIG: "configuration, statistics of the training data, versions",
        MANIFEST: "size and SHA-256 of both, checked on loading",
        RESOLVED: "the configuration, to train again",
        f"{PARTS}/": "copies of the models and encoders that this one needs",
    }
    rows = [(f"`{name}`", what) for name, what in meaning.items() if (place / name).exists()]
    return f"## Files\n\n{table(('file', 'content'), rows)}\nNo file is a program or a pickle.\n"
