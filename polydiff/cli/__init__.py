"""The command line. Each verb is a function of its arguments; its module, and torch, load when it is called."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

from polydiff.checkup.plugin_errors import failed_plugin
from polydiff.contract.discover import load
from polydiff.machine.allocator import keep_memory
from polydiff.machine.torchrun import end_with_agent
from polydiff.support.errors import UserError, one_line, unknown
from polydiff.support.launched import launched
from polydiff.support.once import each_warning_once
from polydiff.support.progress import log, showing
from polydiff.support.signals import ending, exit_code, terminable, word

VERBS = {
    "train": ("polydiff.cli.train:train", "train a model, from data to report"),
    "resume": ("polydiff.cli.resume:resume", "resume a run that was stopped, or train it longer"),
    "sample": ("polydiff.cli.sampling.sample:sample", "draw samples from a run and write them as files"),
    "calibrate": ("polydiff.cli.sampling.sample:calibrate", "fit the sampler to a run's network, for few steps"),
    "vary": ("polydiff.cli.edit:vary", "draw variations of given examples"),
    "inpaint": ("polydiff.cli.edit:inpaint", "generate parts of examples again, or continue their beginning"),
    "interpolate": ("polydiff.cli.edit:interpolate", "interpolate between two examples"),
    "upsample": ("polydiff.cli.restore:upsample", "raise the sampling rate of audio or the size of images"),
    "vocode": ("polydiff.cli.restore:vocode", "generate audio from mel spectrograms"),
    "solve": ("polydiff.cli.restore:solve", "generate examples of which a linear measurement is given"),
    "augment": (
        "polydiff.cli.sampling.augment:augment",
        "write samples as a data set, and judge if they help to train",
    ),
    "chain": ("polydiff.cli.pipeline:chain", "make a pipeline of runs that exist"),
    "eval": ("polydiff.cli.judge:evaluate", "evaluate a run's samples against real data and noise"),
    "look": ("polydiff.cli.judge:look", "look into a model: write a page of what it learned"),
    "report": ("polydiff.cli.judge:report", "write a run's report.html again"),
    "serve": ("polydiff.cli.serve:serve", "serve a web page and a JSON API to sample from runs"),
    "export": ("polydiff.cli.sharing.export:export", "write a run as a folder to give away, or for other libraries"),
    "import": ("polydiff.cli.sharing.export:import_", "make a run of a pipeline of diffusers"),
    "push": ("polydiff.cli.sharing.give:push", "send an exported model, or a run, to the hub of Hugging Face"),
    "data": ("polydiff.cli.data:data", "check data before training, or prepare a data set"),
    "domains": ("polydiff.cli.info:domains", "list the kinds of data (domains), check one, or start one"),
    "presets": ("polydiff.cli.info:presets", "list a domain's presets, or show one as a config file"),
    "config": ("polydiff.cli.info:configuration", "show a configuration, or how it differs from its preset"),
    "completion": ("polydiff.completion.verb:completion", "print the script by which a shell completes commands"),
    "doctor": ("polydiff.cli.info:doctor", "check the installation and report problems"),
}

HELP = """usage: polydiff VERB ...

Diffusion models for images, waveforms, molecules, texts and what you add.

{verbs}

  polydiff train --domain audio             train on the built-in data; writes a report at the end
  polydiff train --domain audio --help      every configuration key of this domain
  polydiff sample RUN -n 16                 draw 16 samples from a run
  polydiff VERB --help                      help on a verb
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    It is 0, 1 if a plugin fails or calls sys.exit, 2 for a user error, 130 for Ctrl-C, 143 for SIGTERM, or the verb's
    own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # OpenMP threads that spin long at a barrier waste their core while another program holds the last thread's: a small
    # network trained 30 times slower beside one busy process. The variable is read when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    keep_memory()
    end_with_agent()
    try:
        with terminable(), showing(True), each_warning_once():
            return dispatch(words)
    except UserError as error:
        if launched().world > 1:
            ending()
        if os.environ.get("POLYDIFF_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        if not error.silent:
            print(f"polydiff: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:
        if type(error) is not SystemExit:  # help was printed (`polydiff.cli.parsing.Shown`)
            raise
        print(f"polydiff: a plugin or a library ended the command by sys.exit({error.code!r}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        log(f"polydiff: {word(error)}.")
        return exit_code(error)
    except BrokenPipeError:  # the reader of our output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if os.environ.get("POLYDIFF_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        place = f": {error.filename}" if error.filename else ""
        print(f"polydiff: {error.strerror or error}{place}", file=sys.stderr)
        return 2
    except Exception as error:
        plugin = failed_plugin(error)
        if not plugin or os.environ.get("POLYDIFF_DEBUG", "0") not in ("", "0"):
            raise
        print(f"polydiff: {one_line(error)}. {plugin} POLYDIFF_DEBUG=1 shows the traceback.", file=sys.stderr)
        return 1


def dispatch(words: Sequence[str]) -> int:
    """Call the verb named by the first argument and return its exit code."""
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
