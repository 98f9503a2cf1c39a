"""The verb `serve`: a web page and a JSON API of trained models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from polydiff.cli.parsing import Parser, positive, whole
from polydiff.hub.names import on_hub
from polydiff.serve.limits import Limits
from polydiff.support.errors import UserError

PORT = 8642


def serve(words: Sequence[str]) -> int:
    """Run `polydiff serve` and return its exit code."""
    plain = Limits()
    parser = Parser("serve", "Serve a web page, and a JSON API under /api, to sample from runs and pipelines.")
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folder of a run, a checkpoint or a pipeline")
    parser.add_argument(
        "--weights", choices=["ema", "model"], default="ema", help="averaged weights (ema, default) or raw ones (model)"
    )
    parser.add_argument(
        "--ema", metavar="WIDTH", type=float, help="use the average of this relative width (train.ema_snapshots)"
    )
    place = parser.add_argument_group("address")
    place.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen at; default: 127.0.0.1, this machine alone. Whoever reaches another one can use it",
    )  # fmt: skip
    place.add_argument("--port", type=port, default=PORT, help=f"port; 0: a free one; default: {PORT}")
    place.add_argument("--open", action="store_true", help="open the page in a browser")
    place.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[],
        help="name by which requests may call the server, besides its address and localhost; repeatable",
    )  # fmt: skip
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-samples", metavar="N", type=positive, default=plain.samples,
        help=f"most samples of a request; default: {plain.samples}",
    )  # fmt: skip
    limits.add_argument(
        "--max-steps", metavar="S", type=positive, default=plain.steps,
        help=f"most sampling steps; default: {plain.steps}",
    )  # fmt: skip
    limits.add_argument(
        "--queue", metavar="N", type=positive, default=plain.queue,
        help=f"most requests that wait; further ones are refused; default: {plain.queue}",
    )  # fmt: skip
    limits.add_argument(
        "--max-upload", metavar="MB", type=positive, default=plain.upload >> 20,
        help=f"largest uploaded file in MB; default: {plain.upload >> 20}",
    )  # fmt: skip
    limits.add_argument(
        "--max-seconds", metavar="S", type=positive, default=int(plain.seconds),
        help=f"longest computation of a request in seconds; default: {plain.seconds:g}",
    )  # fmt: skip
    limits.add_argument(
        "--patience", metavar="S", type=positive, default=int(plain.patience),
        help=f"seconds after which a request that nobody asks for any more is stopped; default: {plain.patience:g}",
    )  # fmt: skip
    args = parser.read(words)
    for run in args.runs:
        if not (on_hub(run) or run.exists()):
            raise UserError(f"There is no run {run}.")
    from polydiff.core import extensions
    from polydiff.serve.server import serve as start
    from polydiff.serve.worker.process import Load

    load = Load(
        runs=[str(run) for run in args.runs],
        weights=args.weights,
        ema=args.ema,
        plugins=extensions.named(),
        limits=Limits(
            samples=args.max_samples,
            steps=args.max_steps,
            queue=args.queue,
            upload=args.max_upload << 20,
            patience=float(args.patience),
            seconds=float(args.max_seconds),
        ),
    )
    start(load, args.host, args.port, args.allow_host, args.open)
    return 0


def port(text: str) -> int:
    """Parse a port, 0 to 65535."""
    number = whole(text, 0)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{number} is above 65535")
    return number
