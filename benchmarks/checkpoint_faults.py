"""Faults of checkpoints in polydiff, Lightning, accelerate and diffusers: python benchmarks/checkpoint_faults.py.

Each library trains the same kind of run by the words of its own documentation: a perceptron on noisy numbers, shuffled
data, noise from the global generator, a checkpoint every other step. Four faults are put into it, and it is resumed
from what it takes for the newest checkpoint:

    kill    SIGKILL at a random moment of a save, then resumed: the same bits at the end as without the kill?
    flip    one bit of the newest checkpoint's largest file is flipped: is it noticed?
    cut     that file is cut in half: is it noticed?
    limit   a file may not grow beyond half of what a save needs: can the run be resumed afterwards?

polydiff trains digits, since it trains nothing without a domain. diffusers is the loop of its training scripts
(checkpoint-N folders of accelerate, with the weights and their average by `save_pretrained`, resume from "latest").
Needs lightning and accelerate (extra `bench`).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from checkpoint_peers import EVERY, PEERS, STEPS, Peer
from timing import markdown, parser, show
from torch import Tensor

SAME, OTHER, ERROR = "same bits", "other bits", "error"
"""How a resumed run ends."""
Save = Callable[..., Any]


def in_child(work: Callable[[], object], log: Path) -> int:
    """Return the exit code of a call in a forked process, whose output goes to a file; 1: it raised an exception."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        warnings.simplefilter("ignore")
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the exit code tells it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def around_saves(peer: Peer, before: Callable[[int], object], after: Callable[[], object] = int) -> Iterator[None]:
    """Call `before(number)` and `after()` around each save of a library, in the `with` block."""
    save: Save = getattr(peer.owner, peer.saves)
    number = iter(range(STEPS))

    def wrapped(*args: Any, **keys: Any) -> Any:
        before(next(number))
        found = save(*args, **keys)
        after()
        return found

    setattr(peer.owner, peer.saves, wrapped)
    try:
        yield
    finally:
        setattr(peer.owner, peer.saves, save)


def killed(peer: Peer, folder: Path, chance: random.Random, seconds: float) -> None:
    """Train until SIGKILL, so long after the begin of a save as one takes at most."""
    at, late = chance.randrange(1, STEPS // EVERY), chance.uniform(0, seconds)

    def kill() -> None:
        time.sleep(late)
        os.kill(os.getpid(), signal.SIGKILL)

    def before(number: int) -> None:
        if number == at:
            threading.Thread(target=kill, daemon=True).start()

    with around_saves(peer, before):
        peer.train(folder, resumed=False)
        time.sleep(seconds)


def limited(peer: Peer, folder: Path) -> None:
    """Train until a file of the second save would grow beyond half of the largest of the first one."""

    def before(number: int) -> None:
        if number == 1:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            limit = largest(peer.newest(folder)).stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with around_saves(peer, before):
        peer.train(folder, resumed=False)


def largest(place: Path) -> Path:
    """Return a checkpoint's largest file."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def flip(path: Path, chance: random.Random) -> None:
    """Flip one bit of a file, in its second half, where the numbers are."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content) // 2, len(content) - 4096)] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    """Cut a file in half."""
    os.truncate(path, path.stat().st_size // 2)


def ended(peer: Peer, folder: Path, whole: list[Tensor], log: Path) -> str:
    """Resume a run and return how it ends."""
    if in_child(partial(peer.train, folder, resumed=True), log):
        return ERROR
    return SAME if all(torch.equal(a, b) for a, b in zip(peer.weights(folder), whole, strict=True)) else OTHER


def trials(peer: Peer, n: int, seed: int, place: Path) -> dict[str, Counter[str]]:
    """Return how often a run ended how, for each fault."""
    found: dict[str, Counter[str]] = {fault: Counter() for fault in ("kill", "flip", "cut", "limit")}
    spans: list[float] = []
    log, folder = place / "log", place / "run"

    def measure() -> None:
        with around_saves(peer, lambda number: spans.append(-time.time()), lambda: spans.append(time.time())):
            peer.train(place / "warm", resumed=False)

    measure()
    seconds = max(b + a for a, b in zip(spans[::2], spans[1::2], strict=True))
    if in_child(partial(peer.train, place / "whole", resumed=False), log):
        raise RuntimeError(log.read_text())
    whole = peer.weights(place / "whole")
    for i in range(n):
        chance = random.Random(f"{seed} {i}")
        shutil.rmtree(folder, ignore_errors=True)
        in_child(partial(killed, peer, folder, chance, seconds), log)
        found["kill"][ended(peer, folder, whole, log)] += 1
        for fault, damage in (("flip", flip), ("cut", cut)):
            shutil.rmtree(folder, ignore_errors=True)
            in_child(partial(stopped, peer, folder), log)
            damage(largest(peer.newest(folder)), chance)
            found[fault][ended(peer, folder, whole, log)] += 1
    shutil.rmtree(folder, ignore_errors=True)
    in_child(partial(limited, peer, folder), log)
    found["limit"][ended(peer, folder, whole, log)] += 1
    return found


def stopped(peer: Peer, folder: Path) -> None:
    """Train until SIGKILL at the begin of the third save."""
    with around_saves(peer, lambda number: number == 2 and os.kill(os.getpid(), signal.SIGKILL)):
        peer.train(folder, resumed=False)


def main(words: Sequence[str] | None = None) -> None:
    """Put the faults into all libraries and print the table."""
    reader = parser(__doc__)
    reader.add_argument("-n", type=int, default=10, help="kills, flips and cuts for each library; default: 10")
    reader.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS), help="libraries; default: all")
    args = reader.parse_args(words)
    torch.set_num_threads(args.threads)
    rows = [["library", "killed in a save", "one bit flipped", "cut in half", "file too large"]]
    for name in args.only:
        with tempfile.TemporaryDirectory() as place:
            found = trials(PEERS[name](), args.n, 0, Path(place))
        rows.append([name, *(", ".join(f"{n} {end}" for end, n in count.most_common()) for count in found.values())])
        print(markdown([rows[0], rows[-1]]), flush=True)
    show(f"How runs end that are resumed after a fault, n = {args.n}", markdown(rows), args)


if __name__ == "__main__":
    main()
