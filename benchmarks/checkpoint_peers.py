"""The libraries of benchmarks/checkpoint_faults.py: one kind of run, saved and resumed by the words of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import polydiff
from polydiff.run.checkpoint import Checkpoint, latest
from polydiff.run.folder import Run
from polydiff.training.trainer import resume

STEPS, EVERY, WIDTH, EXAMPLES, BATCH = 9, 2, 512, 20, 4
"""Steps of a run, and between checkpoints; width of the perceptron; examples, of which an epoch has five batches."""


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
