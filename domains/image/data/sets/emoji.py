"""Captioned emoji from the npm packages emoji-datasource-twitter, -apple, -google and -facebook.

`npm pack emoji-datasource-twitter` fetches the file. It holds emoji.json, a list of all emoji with their names, and
pictures of 64 x 64 pixels in img/VENDOR/64/. Nothing is unpacked: the pictures of the list are copied.
"""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from polydiff.support.errors import UserError, one_line
from polydiff.support.reading import parse_json

LIST = "emoji.json"
PICTURE = re.compile(r"img/([a-z]+)/64/([0-9a-f-]+\.png)")
"""Name of a picture in a package: vendor, file."""
LARGEST = 2**26
"""Largest size in bytes of a file that is read."""
MOST_FILES, MOST_BYTES = 100_000, 2**32
"""Largest number of files in a package, and of their bytes together."""
SIGNS = {"&": " and ", "*": " asterisk ", "’": "'"}
"""Signs in names -> words."""


def prepare(package: Path | None, folder: Path, count: int | None = None) -> str:
    """Write the pictures of a package and their metadata.jsonl, and return what was written, in words.

    A row has the columns file_name, text (the name in plain words), category and subcategory. Skin tones are left out.

    Arguments:
        package: The package, a .tgz file.
        folder: An empty folder.
        count: Largest number of pictures, the first of the list; None: all.

    Raises:
        UserError: The package is damaged, holds links or names outside of it, or lacks the list or the pictures.
    """
    if package is None:
        raise UserError("Name the package of emoji, which this fetches: npm pack emoji-datasource-twitter.")
    rows, pictures = read_package(package)
    vendors = {vendor for vendor, _ in pictures}
    if len(vendors) != 1:
        found = f"the pictures of {', '.join(sorted(vendors))}" if vendors else "no pictures (img/VENDOR/64/*.png)"
        raise UserError(f"{package} holds {found}. Fetch a package of one vendor: npm pack emoji-datasource-twitter.")
    vendor = vendors.pop()
    lines, missing = list[str](), 0
    for row in rows:
        if len(lines) == count:
            break
        content = pictures.pop((vendor, str(row.get("image"))), None)
        if content is None or not (text := plain_words(str(row.get("name") or row.get("short_name") or ""))):
            missing += 1
            continue
        (folder / str(row["image"])).write_bytes(content)
        further = {key: row[key] for key in ("category", "subcategory") if isinstance(row.get(key), str)}
        lines.append(json.dumps({"file_name": row["image"], "text": text, **further}, ensure_ascii=False))
    if not lines:
        raise UserError(f"{package}: no emoji in {LIST} has a picture in img/{vendor}/64/.")
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (
        f"{len(lines)} pictures of {vendor} with captions; {missing} emoji have no picture, and {len(pictures)} "
        "further pictures, such as those of skin tones, are left out."
    )


def plain_words(name: str) -> str:
    """Return a name in lower case, with words, numbers, and hyphens and apostrophes inside of words."""
    for sign, word in SIGNS.items():
        name = name.replace(sign, word)
    return " ".join(re.findall(r"[^\W_]+(?:['-][^\W_]+)*", name.lower()))


def read_package(package: Path) -> tuple[list[Mapping[str, Any]], dict[tuple[str, str], bytes]]:
    """Return the list of emoji, and (vendor, file name) -> content of the pictures.

    Raises:
        UserError: The package is damaged, holds links or names outside of it, or lacks the list.
    """
    rows: Any = None
    pictures: dict[tuple[str, str], bytes] = {}
    try:
        for name, content in files_in(package):
            if name == LIST:
                rows = parse_json(content)
            elif match := PICTURE.fullmatch(name):
                pictures[match[1], match[2]] = content
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{package} cannot be read as a package of npm (.tgz): {one_line(error)}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{package} has no list {LIST}. Fetch the package: npm pack emoji-datasource-twitter.")
    return rows, pictures


def files_in(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the list and of the pictures; names are relative to the folder at the top.

    Raises:
        ValueError: A member is a link or a device, its name leaves the package, or there are too many of them.
    """
    total = 0
    with tarfile.open(package, "r:gz") as archive:
        for number, member in enumerate(archive):
            path = PurePosixPath(member.name)
            total += member.size
            if path.is_absolute() or ".." in path.parts or "\\" in member.name:
                raise ValueError(f"the name of its member {member.name} leads out of it")
            if not member.isreg() and not member.isdir():
                raise ValueError(f"its member {member.name} is a link or a device")
            if number >= MOST_FILES or total > MOST_BYTES:
                raise ValueError(f"it holds more than {MOST_FILES} files or {MOST_BYTES} bytes")
            name = "/".join(path.parts[1:])
            if member.isreg() and (name == LIST or PICTURE.fullmatch(name)):
                if member.size > LARGEST:
                    raise ValueError(f"its member {member.name} has {member.size} bytes")
                file = archive.extractfile(member)
                assert file is not None
                yield name, file.read()
