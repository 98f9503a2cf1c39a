"""Reading models of the hub: into the cache of the hub's library, from where they are read like any folder.

Only the files of an exported model (`polydiff.run.folder`) are fetched. Without a network, or with HF_HUB_OFFLINE=1,
the copy in the cache is used.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from polydiff.hub.client import connection_error, offline, translated
from polydiff.hub.files import CONFIG, FILES, MANIFEST, NESTED, PIPELINE
from polydiff.hub.names import HubName, hub_name, on_hub
from polydiff.support.errors import UserError


def local(path: Path) -> Path:
    """Return a path itself, or where the model of the hub that it names is on this machine, fetched if need be.

    Raises:
        UserError: The model does not exist, is no model of polydiff, or cannot be fetched.
    """
    return fetched(hub_name(path)) if on_hub(path) else path


@lru_cache(maxsize=64)
def fetched(name: HubName) -> Path:
    """Return the folder of a model of the hub in the cache; the hub is asked for it once a process."""
    with translated(str(name)) as hub:
        if not offline(hub):
            check_is_model(hub, name)
        api = hub.HfApi()
        patterns = [*FILES, *(f"{folder}/*" for folder in NESTED)]
        place = api.snapshot_download(name.repository, revision=name.revision, allow_patterns=patterns)
    return Path(place)


def check_is_model(hub: Any, name: HubName) -> None:
    """Raise UserError if the hub can be reached and a repository holds no model of polydiff; no weights are fetched."""
    try:
        found = hub.HfApi().model_info(name.repository, revision=name.revision)
    except connection_error(hub) as error:
        if isinstance(error, hub.errors.HfHubHTTPError):
            raise  # the hub has answered
        return
    files = {file.rfilename for file in found.siblings or ()}
    if PIPELINE not in files and not {CONFIG, MANIFEST} <= files:
        raise UserError(
            f"{name} is no model of polydiff: it holds neither {CONFIG} with {MANIFEST}, which `polydiff export` "
            f"writes, nor {PIPELINE}."
        )
