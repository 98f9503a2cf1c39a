"""A stand-in for the server of the hub: repositories of models in memory, as far as the hub's library asks for them.

It creates repositories, takes commits and large files (LFS), and serves information, file lists and files. A token
"writes" may do all, "reads" may read private models, none only public ones.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from polydiff.hub.download import fetched

USER = "anna"


@dataclass
class Repository:
    """A model: its commits, each a file name -> content."""

    private: bool
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        """Add a commit and return its hash."""
        number = hashlib.sha1(f"{len(self.commits)} {message}".encode(), usedforsecurity=False).hexdigest()
        self.commits[number] = files
        self.messages.append(message)
        return number

    def at(self, revision: str) -> str | None:
        """Return the hash of a revision; None: there is none."""
        newest = list(self.commits)[-1]
        return newest if revision == "main" else revision if revision in self.commits else None


class Hub(ThreadingHTTPServer):
    """The server: repositories by name, large files by digest, and a record of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], private: bool = False, gated: bool = False) -> Repository:
        """Add a repository with one commit, and return it."""
        found = self.repositories[name] = Repository(private, gated)
        found.commit(files, "initial commit")
        return found


class Refused(Exception):
    """An answer that is an error: its status, and what the hub's library reads."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of the hub's library."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        self.serve(self.get)

    def do_GET(self) -> None:
        self.serve(self.get)

    def do_POST(self) -> None:
        self.serve(self.post)

    def do_PUT(self) -> None:
        self.serve(self.put)

    def serve(self, answer: Any) -> None:
        """Answer a request, or say why not."""
        self.server.requests.append((self.command, urlsplit(self.path).path))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.chunked() if self.headers.get("Transfer-Encoding") == "chunked" else self.rfile.read(length)
        try:
            answer([unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")], body)
        except Refused as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            self.reply(json.dumps({"error": error.message}).encode(), error.status, headers)

    def chunked(self) -> bytes:
        """Return a body that was sent in chunks."""
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: Any) -> None:
        """Send a JSON value."""
        self.reply(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    @property
    def token(self) -> str:
        """The token of a request; "" for none."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def found(self, name: str) -> Repository:
        """Return a repository that this user may read."""
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self.token):
            raise Refused(404 if self.token else 401, "RepoNotFound", "Repository not found")
        return repository

    def check_may_write(self) -> None:
        """Refuse all users but one."""
        if self.token != "writes":
            raise Refused(403 if self.token else 401, "", "You don't have the rights to do that")

    def get(self, parts: list[str], body: bytes) -> None:
        """Serve information on a model, its list of files, or a file."""
        match parts:
            case ["api", "models", user, name]:
                self.info(f"{user}/{name}", "main")
            case ["api", "models", user, name, "revision", revision]:
                self.info(f"{user}/{name}", revision)
            case ["api", "models", user, name, "tree", revision]:
                _, files = self.commit(f"{user}/{name}", revision)
                self.json([entry(path, data) for path, data in files.items()])
            case [user, name, "resolve", revision, *path]:
                number, files = self.commit(f"{user}/{name}", revision)
                if self.found(f"{user}/{name}").gated:
                    raise Refused(403, "GatedRepo", "Access to this model is restricted")
                if (data := files.get("/".join(path))) is None:
                    raise Refused(404, "EntryNotFound", "Entry not found")
                digest = hashlib.sha256(data).hexdigest()
                self.reply(data, headers={"X-Repo-Commit": number, "ETag": f'"{digest}"', "Accept-Ranges": "none"})
            case _:
                raise Refused(404, "", f"Nothing is at {self.path}")

    def commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        """Return the hash and the files of a revision."""
        number = self.found(name).at(revision)
        if number is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return number, self.found(name).commits[number]

    def info(self, name: str, revision: str) -> None:
        """Serve information on a model."""
        number, files = self.commit(name, revision)
        siblings = [{"rfilename": path} for path in files]
        self.json({"id": name, "sha": number, "private": self.found(name).private, "siblings": siblings, "tags": []})

    def post(self, parts: list[str], body: bytes) -> None:
        """Create a repository, or take a commit or what comes before it."""
        match parts:
            case ["api", "validate-yaml"]:
                self.json({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                self.check_may_write()
                wanted = json.loads(body)
                name = f"{wanted['organization'] or USER}/{wanted['name']}"
                if not name.startswith(f"{USER}/"):
                    raise Refused(403, "", f"You don't have the rights to create a model under {name}")
                if name in self.server.repositories:
                    self.reply(json.dumps({"url": f"{self.server.url}/{name}"}).encode(), 409)
                    return
                self.server.add(name, {".gitattributes": b""}, wanted.get("visibility") == "private")
                self.json({"url": f"{self.server.url}/{name}"})
            case ["api", "models", user, name, "preupload", _]:
                self.check_may_write()
                files = json.loads(body)["files"]
                modes = {file["path"]: "lfs" if file["path"].endswith(".safetensors") else "regular" for file in files}
                answer = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
                self.json({"files": answer})
            case [user, name, "info", "lfs", "objects", "batch"]:
                self.check_may_write()
                objects = [{key: one[key] for key in ("oid", "size")} for one in json.loads(body)["objects"]]
                for one in objects:
                    if one["oid"] not in self.server.large:
                        one["actions"] = {"upload": {"href": f"{self.server.url}/large/{one['oid']}"}}
                self.json({"transfer": "basic", "objects": objects})
            case ["api", "models", user, name, "commit", _]:
                self.check_may_write()
                self.take(f"{user}/{name}", [json.loads(line) for line in body.splitlines()])
            case _:
                raise Refused(404, "", f"Nothing is at {self.path}")

    def take(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Add a commit."""
        repository = self.found(name)
        files = dict(repository.commits[list(repository.commits)[-1]])
        message = ""
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        number = repository.commit(files, message)
        self.json({"commitUrl": f"{self.server.url}/{name}/commit/{number}", "commitOid": number})

    def put(self, parts: list[str], body: bytes) -> None:
        """Take a large file."""
        digest = hashlib.sha256(body).hexdigest()
        if parts != ["large", digest]:
            raise Refused(400, "", "the digest is another one")
        self.server.large[digest] = body
        self.reply(b"")


def entry(path: str, data: bytes) -> dict[str, Any]:
    """Return the entry of a file in a list."""
    digest = hashlib.sha256(data).hexdigest()
    large = {"lfs": {"oid": digest, "size": len(data), "pointerSize": 130}} if path.endswith(".safetensors") else {}
    return {"type": "file", "path": path, "size": len(data), "oid": digest[:40], **large}


@contextmanager
def serving() -> Iterator[Hub]:
    """Yield a running server."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's library, in this process, use a server and a cache, as a user who may write."""
    constants = pytest.importorskip("huggingface_hub.constants")
    values = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "writes")
    fetched.cache_clear()
