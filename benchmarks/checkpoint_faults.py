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
from typing import Any, Protocol

import torch
from timing import markdown, parser, show
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import polydiff
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.training.trainer import resume

STEPS, EVERY, WIDTH, EXAMPLES, BATCH = 9, 2, 512, 20, 4
"""Steps of a run, and between checkpoints; width of the perceptron; examples, of which an epoch has five batches."""
SAME, OTHER, ERROR = "same bits", "other bits", "error"
"""How a resumed run ends."""
Save = Callable[..., Any]


class Peer(Protocol):
    """A library that trains and resumes."""

    owner: Any
    """Object whose attribute `saves` writes a checkpoint."""
    saves: str

    def train(self, folder: Path, resumed: bool) -> None:
        """Train to the last step, from the beginning or from the newest checkpoint."""

    def newest(self, folder: Path) -> Path:
        """Return the folder, or the file, of the newest checkpoint."""

    def weights(self, folder: Path) -> list[Tensor]:
        """Return the weights at the end."""


def network() -> nn.Module:
    """Return a perceptron of a million weights, so that a save takes longer than a step."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, WIDTH), nn.SiLU(), *[nn.Linear(WIDTH, WIDTH) for _ in range(4)], nn.Linear(WIDTH, 8)
    )


def loss_of(module: nn.Module, x: Tensor) -> Tensor:
    """Return the loss of a batch with noise from the global generator."""
    noise = torch.randn_like(x)
    return (module(x + noise) - noise).square().mean()


def examples() -> TensorDataset:
    """Return the data."""
    return TensorDataset(torch.randn(EXAMPLES, 8, generator=torch.Generator().manual_seed(1)))


class Polydiff:
    """This library."""

    owner, saves = Checkpoint, "save"

    def train(self, folder: Path, resumed: bool) -> None:
        keys = {"train.steps": STEPS, "train.checkpoint_every": EVERY, "train.sample_every": 1000, "device": "cpu"}
        if resumed:
            resume(folder, progress=False)
        else:
            polydiff.train("image", folder, overrides={**keys, "train.batch_size": BATCH}, progress=False)

    def newest(self, folder: Path) -> Path:
        return latest(Run(folder).checkpoints)

    def weights(self, folder: Path) -> list[Tensor]:
        return [tensor for _, tensor in sorted(Checkpoint.load(self.newest(folder)).model.items())]


class Lightning:
    """Trainer with ModelCheckpoint(save_last=True), resumed with ckpt_path="last"."""

    saves = "save_checkpoint"

    def __init__(self) -> None:
        import lightning

        self.lightning = lightning
        self.owner = lightning.Trainer

        class Model(lightning.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = network()

            def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
                return loss_of(self.net, batch[0])

            def configure_optimizers(self) -> Any:
                return torch.optim.AdamW(self.net.parameters(), 1e-3)

        self.model = Model

    def train(self, folder: Path, resumed: bool) -> None:
        self.lightning.seed_everything(0, verbose=False)
        keep = self.lightning.pytorch.callbacks.ModelCheckpoint(folder, every_n_train_steps=EVERY, save_last=True)
        trainer = self.lightning.Trainer(
            accelerator="cpu", max_steps=STEPS, callbacks=[keep], logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        loader = DataLoader(examples(), BATCH, shuffle=True)
        trainer.fit(self.model(), loader, ckpt_path="last" if resumed else None)
        torch.save(trainer.model.state_dict(), folder / "end.pt")

    def newest(self, folder: Path) -> Path:
        return folder / "last.ckpt"

    def weights(self, folder: Path) -> list[Tensor]:
        return list(torch.load(folder / "end.pt").values())


class Counted:
    """Number of steps done, as accelerate keeps it."""

    step = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


class Accelerate:
    """`save_state` with automatic names, `load_state()`, and `skip_first_batches` within an epoch."""

    saves = "save_state"

    def __init__(self) -> None:
        import accelerate

        self.owner, self.accelerate = accelerate.Accelerator, accelerate

    def train(self, folder: Path, resumed: bool) -> None:
        own, utils = self.accelerate, self.accelerate.utils
        utils.set_seed(0)
        project = utils.ProjectConfiguration(str(folder), automatic_checkpoint_naming=True, total_limit=2)
        seedable = utils.DataLoaderConfiguration(use_seedable_sampler=True)
        accelerator = own.Accelerator(cpu=True, project_config=project, dataloader_config=seedable)
        model, done = network(), Counted()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(examples(), BATCH, shuffle=True))
        accelerator.register_for_checkpointing(done)
        if resumed:
            accelerator.load_state()
            project.iteration = 1 + max(int(path.name.rpartition("_")[2]) for path in self.folders(folder))
        while done.step < STEPS:
            loader.set_epoch(done.step // len(loader))
            for (x,) in own.skip_first_batches(loader, done.step % len(loader)):
                accelerator.backward(loss_of(model, x))
                optimizer.step()
                optimizer.zero_grad()
                done.step += 1
                if done.step % EVERY == 0:
                    accelerator.save_state()
                if done.step == STEPS:
                    break
        torch.save(model.state_dict(), folder / "end.pt")

    def folders(self, folder: Path) -> list[Path]:
        return sorted((folder / "checkpoints").glob("checkpoint_*"), key=lambda path: int(path.name.rpartition("_")[2]))

    def newest(self, folder: Path) -> Path:
        return self.folders(folder)[-1]

    def weights(self, folder: Path) -> list[Tensor]:
        return list(torch.load(folder / "end.pt").values())


class Diffusers(Accelerate):
    """The loop of diffusers' training scripts: an average of the weights, checkpoint-N, resumed from "latest"."""

    def __init__(self) -> None:
        super().__init__()
        import diffusers
        from diffusers.training_utils import EMAModel

        class Net(diffusers.ModelMixin, diffusers.ConfigMixin):  # type: ignore[misc]
            config_name = "config.json"

            @diffusers.configuration_utils.register_to_config
            def __init__(self, width: int = WIDTH) -> None:
                super().__init__()
                self.net = network()

            def forward(self, x: Tensor) -> Tensor:
                return self.net(x)  # type: ignore[no-any-return]

        self.net, self.average = Net, EMAModel

    def train(self, folder: Path, resumed: bool) -> None:
        self.accelerate.utils.set_seed(0)
        accelerator = self.accelerate.Accelerator(cpu=True)
        model = self.net()
        ema = self.average(model.parameters(), model_cls=self.net, model_config=model.config)

        def save_hook(models: list[nn.Module], weights: list[Any], output: str) -> None:
            ema.save_pretrained(f"{output}/unet_ema")
            for module in models:
                module.save_pretrained(f"{output}/unet")
                weights.pop()

        def load_hook(models: list[nn.Module], source: str) -> None:
            ema.load_state_dict(self.average.from_pretrained(f"{source}/unet_ema", self.net).state_dict())
            while models:
                stored = self.net.from_pretrained(source, subfolder="unet")
                models.pop().load_state_dict(stored.state_dict())

        accelerator.register_save_state_pre_hook(save_hook)
        accelerator.register_load_state_pre_hook(load_hook)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(examples(), BATCH, shuffle=True))
        step = first = 0
        if resumed:
            accelerator.load_state(str(self.newest(folder)))
            step = first = int(self.newest(folder).name.rpartition("-")[2])
        for epoch in range(first // len(loader), 1 + STEPS // len(loader)):
            for index, (x,) in enumerate(loader):
                if resumed and epoch == first // len(loader) and index < first % len(loader):
                    continue
                accelerator.backward(loss_of(model, x))
                optimizer.step()
                optimizer.zero_grad()
                ema.step(model.parameters())
                step += 1
                if step % EVERY == 0:
                    for old in self.folders(folder)[:-1]:  # checkpoints_total_limit=2, as in the scripts
                        shutil.rmtree(old)
                    accelerator.save_state(str(folder / f"checkpoint-{step}"))
                if step == STEPS:
                    torch.save(model.state_dict(), folder / "end.pt")
                    return

    def folders(self, folder: Path) -> list[Path]:
        return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


PEERS: dict[str, Callable[[], Peer]] = {
    "polydiff": Polydiff,
    "Lightning": Lightning,
    "accelerate": Accelerate,
    "diffusers' scripts": Diffusers,
}


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
    said = reader.parse_args(words)
    torch.set_num_threads(said.threads)
    rows = [["library", "killed in a save", "one bit flipped", "cut in half", "file too large"]]
    for name in said.only:
        with tempfile.TemporaryDirectory() as place:
            found = trials(PEERS[name](), said.n, 0, Path(place))
        rows.append([name, *(", ".join(f"{n} {end}" for end, n in count.most_common()) for count in found.values())])
        print(markdown([rows[0], rows[-1]]), flush=True)
    show(f"How runs end that are resumed after a fault, n = {said.n}", markdown(rows), said)


if __name__ == "__main__":
    main()
