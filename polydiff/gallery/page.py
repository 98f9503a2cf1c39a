"""A domain's pictures as HTML: fragments for the report, and whole pages, with the scripts that both need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from polydiff.contract.abilities import HasScripts
from polydiff.contract.domain import Domain, Samples
from polydiff.support.files import write_atomic
from polydiff.support.protocols import provides
from polydiff.support.reading import read_regular

SHOWN = 64
"""Largest number of samples of a whole page."""
POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data: blob:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""What a page may do: use the scripts, styles and media that it contains, and fetch nothing."""
PAGE = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="color-scheme" content="light">'
    '<link rel="icon" href="data:,"><title>Samples</title></head>\n'
    '<body style="background:#fff;color:#222;font:14px/1.4 sans-serif">\n{fragment}\n{scripts}</body></html>\n'
)


def scripts_of(domain: Domain) -> Mapping[str, str]:
    """Return the scripts that a domain's fragments need, by name; {} if they need none."""
    return domain.scripts() if provides(domain, HasScripts) else {}


def whole_page(domain: Domain, samples: Samples) -> str:
    """Return a page of samples that can be opened by itself."""
    scripts = "".join(script(text) for text in scripts_of(domain).values())
    return PAGE.format(policy=POLICY, fragment=domain.show(samples), scripts=scripts)


def keep_scripts(domain: Domain, folder: Path) -> None:
    """Write the scripts of a domain's fragments to a folder, where a page that is made later finds them."""
    for name, text in scripts_of(domain).items():
        if not holds(folder / name, text.encode()):
            write_atomic(folder / name, text)


def holds(path: Path, content: bytes) -> bool:
    """Return whether a file has exactly this content."""
    try:
        return read_regular(path, len(content)) == content
    except (OSError, ValueError):  # it is missing, longer, or no regular file
        return False


def script(text: str) -> Markup:
    """Return a script as an HTML element, with a backslash in text that would end the element early.

    Such text occurs in strings of the script only, and there the backslash has no effect.
    """
    safe = text.replace("</script", r"<\/script").replace("<!--", r"<\!--")
    return Markup(f"<script>\n{safe}\n</script>\n")  # noqa: S704 - the domain's own
