"""One message for the failure of one of several processes: who says it, and what it names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import distributed as dist

from polydiff.machine.processes import failures
from polydiff.machine.processes.failures import Notes, PeerFailedError, PeerLostError, announced
from polydiff.support.errors import UserError
from polydiff.support.launched import Launched

Leave = Callable[[int, int, UserError], UserError]


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Leave:
    """Return a function that lets a process (rank, world) leave with an error, and returns the error as it is then."""
    store = dist.HashStore()
    monkeypatch.setattr(failures, "GRACE", 0.2)
    monkeypatch.setattr(failures, "ALIKE", 0.2)
    monkeypatch.setattr(Notes, "of", classmethod(lambda cls, place: cls(store, place)))

    def left(rank: int, world: int, error: UserError) -> UserError:
        with pytest.raises(type(error)) as found, announced(Launched(rank, world)):
            raise error
        return found.value

    return left


def test_a_process_that_fails_alone_names_itself_and_the_others_are_silent(leave: Leave) -> None:
    error = leave(1, 3, UserError("bird.png is damaged."))
    assert (str(error), error.silent) == ("Process 1: bird.png is damaged.", False)
    assert leave(0, 3, PeerLostError.of("Another process", late=False)).silent
    assert leave(2, 3, PeerFailedError("Process 1 has failed.")).silent


def test_an_error_of_all_processes_is_said_once(leave: Leave) -> None:
    said = [leave(rank, 3, UserError("There is no file.")) for rank in range(3)]
    assert [error.silent for error in said] == [False, True, True]
    assert {str(error) for error in said[1:]} == {"There is no file."}


def test_a_process_that_was_killed_is_named_by_one_that_lost_it(leave: Leave) -> None:
    first = leave(0, 2, PeerLostError.of("Another process", late=False))
    assert not first.silent
    assert str(first).startswith("Process 1 has ended without a message")


def test_of_several_that_lost_some_one_speaks(leave: Leave) -> None:
    known = Notes.of(Launched(2, 4))
    assert known is not None
    known.add("lost/2", 1)
    first = leave(0, 4, PeerLostError.of("Another process", late=True))
    assert not first.silent
    assert str(first).startswith("One of process 1, process 3 does not answer within launch.timeout")
    assert leave(2, 4, PeerLostError.of("Another process", late=True)).silent


def test_a_bug_leaves_a_note_for_the_others(leave: Leave) -> None:
    leave(1, 2, ZeroDivisionError())  # type: ignore[arg-type] # no error of the user
    assert leave(0, 2, PeerLostError.of("Another process", late=False)).silent
