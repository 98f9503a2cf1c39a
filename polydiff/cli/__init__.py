"""The command line. Each verb is a function of its words; its module, and torch, load when it is called."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata

from polydiff.contract.discover import load
from polydiff.machine.allocator import keep_memory
from polydiff.support.errors import UserError, unknown

VERBS = {
    "train": ("polydiff.cli.train:train", "train a model, from data to report"),
    "resume": ("polydiff.cli.train:resume", "go on with a run that was stopped, or train it longer"),
    "sample": ("polydiff.cli.use:sample", "draw samples from a run and write them as files"),
    "vary": ("polydiff.cli.edit:vary", "make examples like those that are given"),
    "inpaint": ("polydiff.cli.edit:inpaint", "make parts of examples anew, or go on from their beginning"),
    "interpolate": ("polydiff.cli.edit:interpolate", "make what lies between two examples"),
    "upsample": ("polydiff.cli.restore:upsample", "make recordings of a low rate, or small images, whole"),
    "vocode": ("polydiff.cli.restore:vocode", "make sounds of mel spectrograms"),
    "eval": ("polydiff.cli.use:evaluate", "judge a run's samples beside real data and noise"),
    "report": ("polydiff.cli.use:report", "write a run's report.html again"),
    "data": ("polydiff.cli.data:data", "look at data before training: what is there, and what is broken"),
    "domains": ("polydiff.cli.info:domains", "list the kinds of data there are, or check one"),
    "presets": ("polydiff.cli.info:presets", "list a domain's presets, or show one as a config file"),
    "config": ("polydiff.cli.info:configuration", "show a configuration, or how it differs from its preset"),
    "doctor": ("polydiff.cli.info:doctor", "look at what is installed and say what is wrong"),
}

HELP = """usage: polydiff VERB ...

Diffusion models for images, waveforms, molecules and what you add.

{verbs}

  polydiff train --domain audio             train with the embedded data; ends with a report
  polydiff train --domain audio --help      every key of this domain
  polydiff sample RUN -n 16                 new samples of a run
  polydiff VERB --help                      more about a verb
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Threads that spin for long at a barrier wait for one that another program keeps from its core: a small network was
    # seen to train 30 times slower beside one busy process. This is read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    keep_memory()
    formatted, warnings.formatwarning = warnings.formatwarning, plain
    try:
        return dispatch(words)
    except UserError as error:
        if os.environ.get("POLYDIFF_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        print(f"polydiff: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("polydiff: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if os.environ.get("POLYDIFF_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        place = f": {error.filename}" if error.filename else ""
        print(f"polydiff: {error.strerror or error}{place}", file=sys.stderr)
        return 2
    finally:
        warnings.formatwarning = formatted


def plain(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Return what a warning says: a user need not know the line of code that says it."""
    return f"polydiff: {message}\n"


def dispatch(words: Sequence[str]) -> int:
    """Call the verb that the words begin with."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP.format(verbs="\n".join(f"  {verb:<13}{summary}" for verb, (_, summary) in VERBS.items())), end="")
        return 0
    if words[0] in ("--version", "-V"):
        print(f"polydiff {metadata.version('polydiff')}")
        return 0
    if words[0] not in VERBS:
        raise unknown("verb", words[0], VERBS)
    code: int = load(VERBS[words[0]][0])(words[1:])
    return code
