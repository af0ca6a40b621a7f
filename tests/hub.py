"""A small server on 127.0.0.1 that speaks the hub's API, whole or with faults."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub(ThreadingHTTPServer):
    """Serves the files of `folder` as every repository, at the revisions main and refs/convert/parquet.

    fault: what happens to the body of `victim` ("truncated", "reset", "slow", "chunked", "corrupted"), or a status for
    all of it; api_fault: a status for the API, with its X-Error-Code. seen: method and path of each request.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.victim = "model.safetensors"
        self.fault: str | int | None = None
        self.api_fault: tuple[int, str] | None = None
        self.seen: list[str] = []

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
