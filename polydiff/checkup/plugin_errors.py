"""Which third party's plugin an unexpected exception comes from."""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import entry_points

from polydiff.contract.discover import own, source_of


def failed_plugin(error: BaseException) -> str:
    """Return the third party's plugin that an exception comes from, as a sentence; "" if no such plugin is in use.

    Arguments:
        error: The exception, with its traceback.
    """
    used = modules_in_use()
    frames = [(frame.f_globals.get("__name__", ""), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [(used[top], module, line) for module, line in frames if (top := module.partition(".")[0]) in used]
    if lines:
        return "It was raised in the plugin {}, {}, line {}.".format(*lines[-1])
    packages = " and ".join(sorted(set(used.values())))
    return (
        f"The plugin {packages} is in use and may be the cause: `polydiff domains check NAME` examines it."
        if used
        else ""
    )


def modules_in_use() -> dict[str, str]:
    """Return the top modules of third parties' plugins whose factories are imported, with their packages."""
    found: dict[str, str] = {}
    for kind in ("domain", "backbone"):
        for point in entry_points(group=f"polydiff.{kind}s"):
            spec = getattr(sys.modules.get(point.module), point.attr, None)
            texts = (getattr(spec, key, None) for key in ("factory", "config"))
            names = [text.partition(":")[0] for text in texts if isinstance(text, str)]
            if not own(source_of(point)) and names and names[0] in sys.modules:
                found |= {name.partition(".")[0]: source_of(point) for name in (point.module, *names)}
    return {name: source for name, source in found.items() if name != "polydiff"}
