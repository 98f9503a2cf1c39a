"""How a network comes to be: from a configuration, on a device."""

from __future__ import annotations

from typing import Any

import torch

from polydiff.checkpoint import load_weights as load_weights
from polydiff.checkpoint import open_checkpoint as open_checkpoint
from polydiff.config import Config
from polydiff.device import pick_device as pick_device
from polydiff.device import pick_precision as pick_precision
from polydiff.domain import Domain
from polydiff.processes import process_of
from polydiff.snapshots import average as average


def build_denoiser(config: Config, domain: Domain, device: torch.device) -> Any:
    """Return the untrained network of a configuration, as its process makes it; its weights follow from the seed."""
    return process_of(config).network(config, domain, device)
