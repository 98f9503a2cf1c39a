"""The options of guidance, which every verb that samples shares."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polydiff.cli.parsing import read_options, read_pairs
from polydiff.support.yaml_text import parse_yaml


def guidance_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of guidance to a verb's parser."""
    group = parser.add_argument_group("guidance", "by default as in the run's configuration, section sample")
    group.add_argument("--guidance", metavar="W", type=float, help="scale of guidance; 1: none")
    group.add_argument("--guidance-method", metavar="NAME", help="cfg, cfg_pp, apg or cfg_zero")
    group.add_argument(
        "--guidance-option", metavar="NAME=VALUE", action="append", default=[], help="such as rescale=0.7; repeatable"
    )
    group.add_argument("--guidance-interval", metavar="LOW,HIGH", help="noise levels with guidance, such as 0.3,5")
    group.add_argument(
        "--guide", metavar="PATH", type=Path, help="run or checkpoint of a worse model to guide away from"
    )
    group.add_argument(
        "--negative", metavar="NAME=VALUE", action="append", default=[], help="condition to guide away from; repeatable"
    )


def guidance_words(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keys of the section `sample` that the options of guidance set; None: as configured."""
    interval = args.guidance_interval
    return {
        "guidance_method": args.guidance_method,
        "guidance_options": read_options("--guidance-option", args.guidance_option, "rescale=0.7"),
        "guidance_interval": None if interval is None else parse_yaml(f"[{interval}]", "guidance_interval"),
        "guide": args.guide,
        "negative": read_pairs("--negative", args.negative, "label=3") or None,
    }
