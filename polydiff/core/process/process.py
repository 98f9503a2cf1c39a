"""What a process is: the interface between a kind of diffusion and the rest, and where processes are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from polydiff.core.registry import Registry
from polydiff.support.errors import UserError

if TYPE_CHECKING:  # a configuration is shown without torch
    import torch
    from torch import nn

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections.run import Config
    from polydiff.core.objective import Objective


class Trained(Protocol):
    """A trained network with its configuration; `polydiff.Model` is one."""

    @property
    def config(self) -> Config:
        """Configuration of the run that trained it."""

    @property
    def denoiser(self) -> Any:
        """The network from `Process.network`, with trained weights."""

    @property
    def compiled(self) -> Any:
        """The compiled form of `denoiser`, with the same weights."""

    @property
    def step(self) -> int:
        """Number of optimizer steps of its training."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""


class Process(Protocol):
    """A kind of diffusion, such as Gaussian diffusion."""

    @property
    def name(self) -> str:
        """Name in the registry, which is the value of the key `process`."""

    def check(self, config: Config) -> None:
        """Raise UserError unless all names and options of a configuration exist and are compatible."""

    def network(self, config: Config, domain: Domain, device: torch.device) -> nn.Module:
        """Return the untrained network of a configuration, on a device; the seed determines its weights."""

    def objective(self, config: Config) -> Objective[Any]:
        """Return the objective that training minimises."""


PROCESSES: Registry[Process] = Registry("process")
"""Name -> process. `polydiff.config.processes.process_of` registers the built-in processes, then looks a name up."""


LEARNERS: Registry[Process] = Registry("value of learn")
"""Value of the key `learn`, besides denoise -> how a run trains what is no diffusion, such as an autoencoder."""


def written(process: Process) -> str:
    """Return how a configuration names a process, such as "process=gaussian" or "learn=encode"."""
    learned = process.name in LEARNERS.loaded() and LEARNERS[process.name] is process
    return f"{'learn' if learned else 'process'}={process.name}"


PARTS_KEYS = ("parts", "coupling")
"""Keys that only a process of several parts reads."""
PROCESS_KEYS = (
    *PARTS_KEYS,
    *("schedule", "schedule_options", "target", "loss"),
    *(f"sample.{name}" for name in ("sampler", "options", "spacing", "spacing_options", "guidance")),
    *(f"sample.guidance_{name}" for name in ("method", "options", "interval")),
)
"""Keys of a configuration, or whole sections, that only the process reads, if at all."""


def lacks(process: Process, what: str) -> UserError:
    """Return the error for an ability that a process does not have; `what` is a verb phrase such as "inpaint"."""
    return UserError(f"{written(process)}: this process cannot {what}.")
