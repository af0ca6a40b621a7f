"""What a server takes from its clients: under which name, how much, how often, for how long, with which token.

One ASGI middleware around the application, which counts as well. Every refusal is JSON, and says what to do.
"""

import asyncio
import hmac
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_CLIENTS = 10_000  # whose rates are remembered
_OPEN = ("/health",)  # answered to anybody, at any rate: a supervisor asks there
_WITHOUT_TOKEN = (*_OPEN, "/")  # the page holds no data; what it asks for needs the token
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What `/metrics` shows. routes: the paths that have counts of their own; all others count as "other"."""

    def __init__(self, routes: Collection[str]) -> None:
        self.registry = CollectorRegistry()
        self.routes = frozenset(routes)
        named: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("mixlingua_requests", "Requests by route and status.", ["route", "status"], **named)
        self.seconds = Histogram(
            "mixlingua_request_seconds", "From a request to its answer.", ["route"], buckets=LATENCIES, **named
        )
        self.batch = Histogram(
            "mixlingua_batch_size",
            "Texts that were computed together.",
            ["kind"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            **named,
        )
        self.batch_seconds = Histogram(
            "mixlingua_batch_seconds", "Computing a batch.", ["kind"], buckets=LATENCIES, **named
        )
        self.waiting = Gauge("mixlingua_waiting", "Texts that wait.", ["kind"], **named)
        self.refused = Counter("mixlingua_refused", "Requests that were refused, by reason.", ["reason"], **named)

    def of_batches(self, kind: str) -> Callable[[int, int, float], None]:
        """What a batcher is to tell its batches to."""

        def observe(size: int, waiting: int, seconds: float) -> None:
            self.batch.labels(kind).observe(size)
            self.batch_seconds.labels(kind).observe(seconds)
            self.waiting.labels(kind).set(waiting)

        return observe

    def of_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        route = path if path in self.routes else "other"
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)


class RefusalError(Exception):
    """An answer without the application. retry: seconds after which to try again."""

    def __init__(self, status: int, reason: str, message: str, retry: float | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.retry = status, reason, message, retry


class Rates:
    """How often each client may ask: a bucket of tokens that fills with time (leaky bucket as a meter)."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        """rate: requests a second. burst: requests at once, after a pause."""
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """0 where a request is within the rate, and counts; else the seconds until one is."""
        now = self._clock()
        tokens, at = self._buckets.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        self._buckets[client] = (tokens - 1, now) if tokens >= 1 else (tokens, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)  # the client who was silent for longest
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate


class Limits:
    """Middleware: refuses what is above the limits, before the application sees it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        hosts: Sequence[str] | None,
        max_bytes: int,
        rates: Rates | None,
        timeout: float,
        token: str | None,
    ) -> None:
        """hosts: names under which the server answers, against pages that point a name of their own at it (DNS
        rebinding); None: any. max_bytes: of a body. timeout: seconds for a request, its body included."""
        self.app, self.metrics, self.hosts = app, metrics, hosts
        self.max_bytes, self.rates, self.timeout, self.token = max_bytes, rates, timeout, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, answered = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
            await send(message)

        try:
            self._check(scope)
            async with asyncio.timeout(self.timeout):
                await self.app(scope, self._counted(receive), sending)
        except TimeoutError:
            if not answered:
                message = f"no answer within {self.timeout:g} s; ask for less, or later"
                await self._refuse(RefusalError(503, "time", message, retry=self.timeout), sending)
        except RefusalError as refusal:
            await self._refuse(refusal, sending)
        finally:
            self.metrics.of_request(scope["path"], answered or 499, time.monotonic() - started)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        if self.hosts is not None:
            host = _host(headers.get("host", ""))
            if host not in self.hosts:
                raise RefusalError(421, "host", f"this server answers as {' or '.join(self.hosts)}, not as {host!r}")
        if path in _OPEN:
            return
        if self.rates and (wait := self.rates.wait((scope.get("client") or ("",))[0])):
            raise RefusalError(429, "rate", f"more than {self.rates.rate:g} requests a second; slow down", retry=wait)
        if self.token is not None and path not in _WITHOUT_TOKEN:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self.token}".encode()):
                raise RefusalError(401, "token", "a token is needed, as the header 'Authorization: Bearer TOKEN'")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.max_bytes:
            raise RefusalError(413, "size", f"a body of {int(length):,} bytes; {self.max_bytes:,} are taken")

    def _counted(self, receive: Receive) -> Receive:
        """The body as it comes, no more of it than is taken: a client need not say its length."""
        size = 0

        async def receiving() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                self.metrics.refused.labels("size").inc()
                raise HTTPException(413, f"a body of more than {self.max_bytes:,} bytes")
            return message

        return receiving

    async def _refuse(self, refusal: RefusalError, send: Send) -> None:
        self.metrics.refused.labels(refusal.reason).inc()
        body = json.dumps(error_body(refusal.status, refusal.message, refusal.reason)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if refusal.retry is not None:
            headers.append((b"retry-after", str(max(1, math.ceil(refusal.retry))).encode()))
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refusal.status == 413:
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _host(header: str) -> str | None:
    """The name in a Host header, without the port; None where it holds none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def error_body(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's API has it, on every route. Halves of surrogate pairs, which UTF-8 lacks, are escaped."""
    message = message.encode("utf-8", "backslashreplace").decode("utf-8")
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
