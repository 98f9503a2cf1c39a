"""The process that a configuration names, and the network that this process builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polydiff.core.process import PROCESSES, Process
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    import torch

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import Config


def process_of(config: Config) -> Process:
    """Return the process that a configuration names.

    Raises:
        UserError: No process is registered under the value of `process`, or what is registered is no process.
    """
    import polydiff.gaussian.process.process  # noqa: F401 - registers the built-in process

    process = PROCESSES[config.process]
    if isinstance(process, type) or not provides(process, Process):
        found = f"the class {process.__name__}" if isinstance(process, type) else f"a {type(process).__name__}"
        raise UserError(
            f"process={config.process}: {found} is registered, not an object with the members of "
            "polydiff.core.process.Process: check, name, network and objective."
        )
    return process


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Any:
    """Return the untrained network of a configuration, built by its process.

    Arguments:
        config: The configuration; its seed determines the initial weights.
        domain: The domain whose states the network receives.
        device: Where the network computes.
    """
    return process_of(config).network(config, domain, device)
