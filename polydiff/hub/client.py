"""The library of the hub, which is loaded when a model is read or sent, and its errors as sentences."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polydiff.support.errors import UserError, one_line

INSTALL = 'pip install "polydiff[hub]"'
LOGIN = "Log in with `hf auth login`, or set HF_TOKEN"


def client(name: str) -> Any:
    """Return the module huggingface_hub; raise UserError if it is not installed. `name` is what needs it."""
    try:
        for part in ("constants", "errors", "utils"):  # the library loads them on use only
            importlib.import_module(f"huggingface_hub.{part}")
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(f"{name} needs huggingface_hub ({one_line(error)}): {INSTALL}.") from error


@contextmanager
def translated(name: str, *, writes: bool = False) -> Iterator[Any]:
    """Yield the module huggingface_hub, and turn errors of its calls in the `with` block into a UserError.

    Arguments:
        name: The model, for messages.
        writes: Whether the block sends something.
    """
    hub = client(name)
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    try:
        yield hub
    except (OSError, ValueError, RuntimeError, connection_error(hub), hub.errors.EntryNotFoundError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise  # of this machine's disk
        raise UserError(f"{name}: {sentence(hub, error, writes)}") from error


def connection_error(hub: Any) -> type[Exception]:
    """Return the base of all errors of requests: that of the library below the hub's, which differs by version."""
    base: type[Exception] = hub.errors.HfHubHTTPError.__bases__[0]
    return base


def sentence(hub: Any, error: BaseException, writes: bool) -> str:
    """Return what is wrong and what to do, for an error of the hub's library.

    Arguments:
        hub: The library.
        error: The error.
        writes: Whether something was being sent.
    """
    errors = hub.errors
    chain = list(causes(error))
    status = next((one.response.status_code for one in chain if isinstance(one, errors.HfHubHTTPError)), None)

    def any_of(*names: str) -> bool:
        kinds = tuple(getattr(errors, name) for name in names if hasattr(errors, name))
        return any(isinstance(one, kinds) for one in chain)

    if any_of("OfflineModeIsEnabled") or offline(hub):
        what = "nothing can be sent" if writes else "the model is not, or not whole, in the cache"
        return f"HF_HUB_OFFLINE=1 allows no connection, and {what}. Unset HF_HUB_OFFLINE."
    if any_of("GatedRepoError"):
        return f"its owner gives access on request. Ask for it on the page of the model. {LOGIN}."
    if any_of("LocalTokenNotFoundError") or (writes and status in (401, 403, 404)):
        return f"this machine has no right to write there. {LOGIN} of a token that may write, or correct the name."
    if any_of("RevisionNotFoundError"):
        return "there is no such revision. Correct what follows the @, or leave it out."
    if any_of("RepositoryNotFoundError") or status in (401, 403):
        return f"there is no such model, or it is private. Correct the name. {LOGIN} if it is private."
    if status is None and (any_of("LocalEntryNotFoundError") or not any(isinstance(one, ValueError) for one in chain)):
        return f"the hub {hub.constants.ENDPOINT} cannot be reached ({one_line(chain[-1])}). Check the network."
    return f"the hub answered: {one_line(error)}."


def offline(hub: Any) -> bool:
    """Return whether the user forbids connections."""
    return bool(hub.constants.HF_HUB_OFFLINE)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, that which caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__
