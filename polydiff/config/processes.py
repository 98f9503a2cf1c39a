"""The process of a configuration, and the network that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polydiff.core.process import PROCESSES, Process

if TYPE_CHECKING:
    import torch

    from polydiff.contract.domain import Domain
    from polydiff.contract.sections import Config


def process_of(config: Config) -> Process:
    """Return the process that a configuration names.

    Raises:
        UserError: No process is registered under this name.
    """
    import polydiff.gaussian.process.process  # noqa: F401 - registers the built-in process

    return PROCESSES[config.process]


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Any:
    """Return the untrained network of a configuration, as its process makes it; its weights follow from the seed."""
    return process_of(config).network(config, domain, device)
