"""Parts of the server without a run: who may use it, what stops a job, and the description of the API."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import pytest
from pydantic import ValidationError

from polydiff.serve.answers import ModelCard
from polydiff.serve.checks import check
from polydiff.serve.limits import Limits
from polydiff.serve.schema import JOB
from polydiff.serve.server import bound, is_loopback, need_packages, url_of
from polydiff.serve.web.app import ROUTES
from polydiff.serve.web.guard import Guard
from polydiff.serve.web.openapi import document
from polydiff.serve.web.pages import docs_page
from polydiff.serve.worker.meter import Meter, Stopped
from polydiff.serve.worker.process import how_it_ended
from polydiff.support.errors import UserError


def status(headers: dict[str, str], loopback: bool = True) -> int:
    """Status of a request with these headers."""
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(key.encode(), value.encode()) for key, value in headers.items()]}
    asyncio.run(Guard(app, {"box"}, loopback)(scope, receive, send))
    assert (b"x-content-type-options", b"nosniff") in [(k.lower(), v) for k, v in sent[0]["headers"]] or sent[0][
        "status"
    ] != 200
    found: int = sent[0]["status"]
    return found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "127.0.0.1:8642"}, 200),
        ({"host": "localhost:8642"}, 200),
        ({"host": "[::1]:8642"}, 200),
        ({"host": "box:8642"}, 200),
        ({"host": "localhost:8642", "origin": "http://localhost:8642", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "192.168.0.7:8642"}, 421),
        ({"host": ""}, 421),
        ({"host": "[bad"}, 421),
        ({"host": "localhost:8642", "origin": "http://localhost:9999"}, 403),
        ({"host": "localhost:8642", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8642", "origin": "null"}, 403),
        ({"host": "localhost:8642", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"host": "localhost:8642", "sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_sites_and_other_names_are_refused(headers: dict[str, str], expected: int) -> None:
    assert status(headers) == expected


def test_a_link_may_lead_here_and_addresses_are_known_beyond_this_machine() -> None:
    link = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert status({**link, "sec-fetch-dest": "document"}) == 200
    assert status({**link, "sec-fetch-dest": "iframe"}) == 403
    assert status({"host": "192.168.0.7:8642"}, loopback=False) == 200
    assert status({"host": "evil.example"}, loopback=False) == 421


def test_a_job_stops_before_the_next_call_of_its_network() -> None:
    stop, shares = threading.Event(), list[float]()
    meter = Meter(shares.append, stop, expected=4, reported=-1e9)
    meter()
    assert shares == [0.25]
    stop.set()
    with pytest.raises(Stopped):
        meter()
    assert meter.calls == 1


def test_calls_of_the_network_are_bounded() -> None:
    meter = Meter(print, threading.Event())
    with pytest.raises(UserError, match="allows 80"):
        meter.plan(81, 1, Limits(steps=20))
    meter.plan(None, 1, Limits(steps=1))  # nobody knows how many
    for _ in range(4):
        meter()
    with pytest.raises(UserError, match="more than 4 calls"):
        meter()


def test_the_description_names_every_address_and_refers_to_schemas_that_exist() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    told = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    assert told == {(path, method) for path, method, _ in ROUTES if path.startswith("/api")}

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if "$ref" in value else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert references(found) <= known
    page = docs_page(found)
    assert all(f'id="{name}"' in page for name in found["components"]["schemas"])
    assert "http" not in page.replace("http-equiv", "")  # it fetches nothing


@pytest.mark.parametrize(
    "wrong",
    [
        '{"kind": "sample", "n": 1.5}',
        '{"kind": "sample", "n": "4"}',
        '{"kind": "sample", "seed": -1}',
        '{"kind": "sample", "path": "x"}',
        '{"kind": "sample", "sampling": {"guide": "runs/a"}}',
        '{"kind": "sample", "sampling": {"spacing_options": {"levels": [1, 2]}}}',
        '{"kind": "sample", "cond": {"text": ["a"]}}',
        '{"kind": "vary", "source": {}}',
        '{"kind": "vary", "source": {"job": "aaaaaaaaaaaa", "file": "aaaaaaaaaaaa"}}',
        '{"kind": "vary", "source": {"file": "../../etc/passwd"}}',
        '{"kind": "inpaint", "source": {"file": "aaaaaaaaaaaa"}, "gap": ["0:1"], "keep": ["0:1"]}',
        '{"kind": "interpolate", "a": {"file": "aaaaaaaaaaaa"}, "b": {"file": "aaaaaaaaaaaa"}, "shares": [2]}',
        '{"kind": "sample", "sampling": {"guidance": NaN}}',
    ],
)
def test_requests_of_a_wrong_form_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        JOB.validate_json(wrong)


def test_what_a_model_cannot_do_is_said() -> None:
    card = ModelCard.model_validate(
        {
            "name": "a", "domain": "image", "about": "", "step": 1, "weights": "ema", "conditions": [],
            "defaults": {"steps": 4, "sampler": "auto", "guidance": 1}, "samplers": [], "guided": False,
            "actions": ["sample"], "closed": ["vectors"],
        }
    )  # fmt: skip
    with pytest.raises(UserError, match="the model a can sample"):
        check(JOB.validate_python({"kind": "film"}), card, Limits())
    for how in ({"cond": {"vectors": "/etc/passwd"}}, {"sampling": {"negative": {"vectors": "a.npy"}}}):
        with pytest.raises(UserError, match="vectors: requests cannot set this condition"):
            check(JOB.validate_python({"kind": "sample", **how}), card, Limits())
    with pytest.raises(UserError, match="n=9 is more than 8"):
        check(JOB.validate_python({"kind": "sample", "n": 9}), card, Limits(samples=8))


def test_an_address_that_is_taken_and_one_that_does_not_exist_are_said() -> None:
    with bound("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        assert is_loopback(first)
        assert url_of(first, "127.0.0.1") == f"http://127.0.0.1:{port}"
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be used"):
            bound("127.0.0.1", port)
    with pytest.raises(UserError, match=r"--host no\.such\.host\.invalid"):
        bound("no.such.host.invalid", 0)


def test_missing_packages_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"pip install 'polydiff\[serve\]'"):
        need_packages()


def test_how_a_worker_ended_is_said() -> None:
    assert how_it_ended(-9) == "was killed, perhaps for lack of memory (SIGKILL)"
    assert how_it_ended(-15) == "was killed (SIGTERM)"
    assert how_it_ended(3) == "ended by itself (exit code 3)"
