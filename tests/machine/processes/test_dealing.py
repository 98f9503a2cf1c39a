"""Work that is dealt out to processes: order, nested work, and work that fails in one of them."""

from __future__ import annotations

from divided_jobs import deal
from together import together


def test_work_is_dealt_out_in_turn_and_its_failure_is_known_to_all() -> None:
    found = together(2, deal)
    for each in found:
        assert each["squares"] == [(0, 0), (1, 1), (4, 0), (9, 1), (16, 0)]
        assert each["nested"] == [[(1, 1), (10, 1)], [(2, 1), (20, 1)]]
        assert each["first"] == 0
        assert each["after"] == [0, 1]
    assert found[1]["failed"] == ([1, 2], "UserError", "three is bad")
    assert found[0]["failed"] == ([1, 2], "PeerFailedError", "Process 1 has failed: UserError: three is bad")


def test_a_process_alone_does_all_work() -> None:
    found = deal()
    assert found["squares"] == [(item**2, 0) for item in range(5)]
    assert found["failed"] == ([1, 2, 4], "UserError", "three is bad")
