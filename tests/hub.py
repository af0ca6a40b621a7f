"""A small server on 127.0.0.1 that speaks the hub's API, both ways, whole or with faults."""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub(ThreadingHTTPServer):
    """Serves the files of `folder` as every repository, at the revisions main and refs/convert/parquet.

    fault: what happens to the body of `victim` ("truncated", "reset", "slow", "chunked", "corrupted"), or a status for
    all of it; api_fault: a status for the API, with its X-Error-Code. seen: method and path of each request.
    Files that are uploaded get into `folder`. created: what was said of a repository that was made.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.victim = "model.safetensors"
        self.fault: str | int | None = None
        self.api_fault: tuple[int, str] | None = None
        self.seen: list[str] = []
        self.created: dict[str, Any] = {}
        self.blobs: dict[str, bytes] = {}  # of large files, by checksum, before they are committed

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "LocalHub":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gives up is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append(f"{self.command} {path}")
        if path.startswith("/api/"):
            self._api(path)
        elif "/resolve/" in path:
            self._file(path.partition("/resolve/")[2].partition("/")[2])
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.api_fault:
            self._api(path)
        elif path == "/api/repos/create":
            known = ("name", "organization", "visibility")
            self.server.created = {key: value for key, value in json.loads(body).items() if key in known}
            self._answer(200, json.dumps({"url": f"{self.server.url}/owner/name"}).encode())
        elif path == "/api/validate-yaml":
            errors = list(_wrong_with(json.loads(body)["content"]))
            said = {"errors": [{"message": error} for error in errors], "warnings": []}
            self._answer(400 if errors else 200, json.dumps(said).encode())
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "shouldIgnore": False, "oid": None,
                      "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"}
                     for file in files]  # fmt: skip
            self._answer(200, json.dumps({"files": modes}).encode())
        elif path.endswith(".git/info/lfs/objects/batch"):
            upload = {"href": f"{self.server.url}/lfs"}
            objects = [{**entry, "actions": {"upload": {"href": f"{upload['href']}/{entry['oid']}"}}}
                       for entry in json.loads(body)["objects"]]  # fmt: skip
            self._answer(200, json.dumps({"transfer": "basic", "objects": objects}).encode())
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in body.splitlines()])
        else:
            self._answer(404, b"{}")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        digest = self.path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() != digest:
            self._answer(400, b"")
            return
        self.server.blobs[digest] = content
        self._answer(200, b"")

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines[1:]:
            value = line["value"]
            large = line["key"] == "lfsFile"
            content = self.server.blobs[value["oid"]] if large else base64.b64decode(value["content"])
            target = self.server.folder / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        commit = {"commitUrl": f"{self.server.url}/owner/name/commit/{COMMIT}", "commitOid": COMMIT}
        self._answer(200, json.dumps(commit).encode())

    def _api(self, path: str) -> None:
        if self.server.api_fault:
            status, code = self.server.api_fault
            self._answer(status, b"{}", {"X-Error-Code": code} if code else {})
        elif "/tree/" in path:
            files = sorted(file for file in self.server.folder.rglob("*") if file.is_file())
            self._answer(200, json.dumps([self._entry(file) for file in files]).encode())
        elif path.partition("/revision/")[2] in ("", "main", "refs/convert/parquet", COMMIT):
            self._answer(200, json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": []}).encode())
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})

    def _entry(self, file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        entry = {
            "type": "file",
            "path": file.relative_to(self.server.folder).as_posix(),
            "size": len(content),
            "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        if file.suffix in (".safetensors", ".parquet"):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry

    def _file(self, name: str) -> None:
        file = self.server.folder / name
        if not file.is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        entry, content = self._entry(file), file.read_bytes()
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "none"}
        fault = self.server.fault if name.endswith(self.server.victim) else None
        if isinstance(fault, int):
            self._answer(fault, b"", headers)
        elif fault == "corrupted":
            self._answer(200, bytes(len(content) - 1) + b"\1", headers)
        elif fault is None or self.command == "HEAD":
            self._answer(200, content, headers)
        else:
            self._broken(fault, content, headers)

    def _broken(self, fault: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        length = {"Transfer-Encoding": "chunked"} if fault == "chunked" else {"Content-Length": str(len(content))}
        for name, value in {**headers, **length}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "chunked":
            self.wfile.write(b"%x\r\n" % len(content))
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        if fault == "slow":
            time.sleep(1.5)  # longer than the client waits in the tests
        if fault == "reset":
            import socket
            import struct

            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the tests."""


def _wrong_with(card: str) -> Iterator[str]:
    """What the hub has against a card's metadata, as far as it says so in its documentation."""
    data = yaml.safe_load(card.split("---")[1])
    for code in data.get("language", []):
        if not re.fullmatch("[a-z]{2,3}", code):
            yield f'"language" must be ISO 639 codes, not "{code}"'
    if not re.fullmatch(r"[a-z0-9.+-]+", data.get("license", "other")):
        yield f'"license" is "{data["license"]}", which is none'
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data.get("base_model", "a/b")):
        yield '"base_model" must be the id of a repository'
    for model in data.get("model-index", []):
        for result in model["results"]:
            if not {"type", "name"} <= set(result["dataset"]) or not all("value" in each for each in result["metrics"]):
                yield '"model-index" lacks a data set or a value'
