"""Averages of the weights: how they are computed (`polydiff.averages`) and kept on disk (`polydiff.snapshots`)."""

from __future__ import annotations

from polydiff.averages import SIGMAS as SIGMAS
from polydiff.averages import WIDEST as WIDEST
from polydiff.averages import MovingAverage as MovingAverage
from polydiff.averages import PowerAverages as PowerAverages
from polydiff.averages import Profile as Profile
from polydiff.averages import exponent as exponent
from polydiff.averages import inner as inner
from polydiff.averages import mixture as mixture
from polydiff.averages import width as width
from polydiff.snapshots import drop_snapshots as drop_snapshots
from polydiff.snapshots import load_snapshot as load_snapshot
from polydiff.snapshots import reconstruct as reconstruct
from polydiff.snapshots import save_snapshot as save_snapshot
from polydiff.snapshots import spares as spares
