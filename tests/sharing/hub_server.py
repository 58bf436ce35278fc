"""A local stand-in of the hub: the parts of its HTTP API that a push and a download go through."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import LocalServer

GOOD, READER, BAD = "hf_good", "hf_reader", "hf_bad"
#: that is no owner here
NOBODY = "nobody"
_SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(LocalServer):
    """Attributes:
    files: by repository (`models/OWNER/NAME`), what its last commits left.
    private: repositories that were made so.
    tokens: that were sent.
    broken: 500 to every commit.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.tokens: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.commits: list[list[str]] = []
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/validate-yaml":
            self._json(200, {"errors": [], "warnings": []})
        elif (refused := self._refused()) is not None:
            self._json(*refused)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/(\w+)/([\w.-]+/[\w.-]+)/preupload/main", self.path):
            self._known(found, lambda: self._json(200, {"files": [_mode(each) for each in json.loads(body)["files"]]}))
        elif re.fullmatch(r"/(datasets/)?[\w.-]+/[\w.-]+\.git/info/lfs/objects/batch", self.path):
            wanted = json.loads(body)["objects"]
            href = f"{self.server.url}/upload/"
            objects = [{**each, "actions": {"upload": {"href": href + each["oid"]}}} for each in wanted]
            self._json(200, {"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/(\w+)/([\w.-]+/[\w.-]+)/commit/main", self.path):
            self._known(found, lambda: self._commit(f"{found[1]}/{found[2]}", body))
        else:
            self._json(404, {"error": f"no such place: {self.path}"})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        oid = self.path.removeprefix("/upload/")
        if hashlib.sha256(body).hexdigest() != oid:
            self._json(400, {"error": "another content"})
            return
        self.server.blobs[oid] = body
        self._json(200, {})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if (refused := self._refused()) is not None:
            self._json(*refused)
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(/revision/\w+)?", path):
            files = self.server.files.get(f"models/{found[1]}")
            if files is None:
                self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return
            siblings = [{"rfilename": name} for name in files]
            self._json(200, {"id": found[1], "sha": _SHA, "siblings": siblings})
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/tree/\w+", path):
            files = self.server.files[f"models/{found[1]}"]
            entries = [
                {"type": "file", "path": name, "size": len(text), "oid": hashlib.sha1(text).hexdigest()}
                for name, text in files.items()
            ]
            self._json(200, entries)
        elif found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/\w+/([\w.-]+)", path):
            self._file(self.server.files[f"models/{found[1]}"].get(found[2]))
        else:
            self._json(404, {"error": "no such place"})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _refused(self) -> tuple[int, dict[str, str]] | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.tokens.add(token)
        if token == BAD or (self.command == "POST" and not token):
            return 401, {"error": "Invalid credentials in Authorization header"}
        if token == READER and self.command == "POST":
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        return None

    def _create(self, values: dict[str, Any]) -> None:
        if values["organization"] == NOBODY:
            self._json(404, {"error": "no such namespace"})
            return
        kind = f"{values.get('type') or 'model'}s"
        name = f"{kind}/{values['organization']}/{values['name']}"
        if values.get("private") or values.get("visibility") == "private":
            self.server.private.add(name)
        status = 409 if name in self.server.files else 200
        self.server.files.setdefault(name, {})
        self._json(status, {"url": f"{self.server.url}/{name.removeprefix('models/')}"})

    def _known(self, found: re.Match[str], answer: Any) -> None:
        if f"{found[1]}/{found[2]}" not in self.server.files:
            self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        else:
            answer()

    def _commit(self, repository: str, body: bytes) -> None:
        if self.server.broken:
            self._json(500, {"error": "out of order"})
            return
        files, names = self.server.files[repository], []
        for line in body.splitlines():
            each = json.loads(line)
            if each["key"] == "file":
                files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
            elif each["key"] == "lfsFile":
                files[each["value"]["path"]] = self.server.blobs[each["value"]["oid"]]
            if each["key"] != "header":
                names.append(each["value"]["path"])
        self.server.commits.append(names)
        url = f"{self.server.url}/{repository.removeprefix('models/')}/commit/{_SHA}"
        self._json(200, {"success": True, "commitUrl": url, "commitOid": _SHA})

    def _file(self, content: bytes | None) -> None:
        if content is None:
            self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", _SHA)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, status: int, values: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _mode(each: dict[str, Any]) -> dict[str, Any]:
    large = each["path"].endswith((".safetensors", ".parquet"))
    return {"path": each["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
