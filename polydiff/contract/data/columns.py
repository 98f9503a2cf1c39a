"""Columns of a table beside what the network is conditioned on, for `polydiff data check`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def other_columns(columns: Iterable[str], used: Collection[str], conditions: Sequence[str]) -> dict[str, str]:
    """Return {"other columns": their names, and how they become conditions}, {} if there are none.

    Arguments:
        columns: Columns that can be conditions.
        used: Names of the conditions of the configuration.
        conditions: Value of `data.conditions`.
    """
    further = [name for name in dict.fromkeys(columns) if name not in used]
    if not further:
        return {}
    every = ",".join([*conditions, *further])
    return {"other columns": f"{', '.join(further)}; data.conditions={every} conditions the network on them"}
