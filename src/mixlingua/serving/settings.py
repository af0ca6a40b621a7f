"""Where a server listens and what it takes from its clients, as the configuration says it."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from mixlingua.errors import raise_problems

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServerSettings:
    """Where a server listens, and what it takes from its clients.

    host: the address; 127.0.0.1 is reached from this machine alone, 0.0.0.0 from every network that it is in
    port: 0 takes any free one
    token: what clients must send as "Authorization: Bearer TOKEN"; null: nothing
    rate: requests a second that one client may send; null: any number
    timeout: seconds for a request; also for those that are running when the server is stopped
    max_bytes: of the body of a request
    max_texts: of an embedding request
    max_results: of a search
    max_waiting: texts that wait for their turn; more are refused
    max_batch: texts that are computed together
    more: further indexes beside index=DIR, to compare with, such as [DIR2]
    proxies: addresses of proxies whose X-Forwarded-For names the client
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    rate: float | None = 50.0
    timeout: float = 10.0
    max_bytes: int = 1_048_576
    max_texts: int = 256
    max_results: int = 100
    max_waiting: int = 512
    max_batch: int = 16
    more: Sequence[str] = ()
    proxies: Sequence[str] = ()

    def __post_init__(self) -> None:
        problems = [
            f"server.{name}={getattr(self, name)}: a whole number of 1 or more is needed."
            for name in ("max_bytes", "max_texts", "max_results", "max_waiting", "max_batch")
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1
        ]
        if not isinstance(self.port, int) or not 0 <= self.port < 1 << 16:
            problems.append(f"server.port={self.port}: from 1 to 65535, or 0 for any free one.")
        for name in ("rate", "timeout"):
            value = getattr(self, name)
            if not (value is None and name == "rate") and not value > 0:
                problems.append(f"server.{name}={value}: it must be above 0.")
        if self.token is not None and (not self.token.isascii() or not self.token.strip()):
            problems.append("server.token: letters, digits and signs of ASCII, without which no header can hold it.")
        if self.max_texts > self.max_waiting:
            problems.append(f"server.max_texts={self.max_texts}: more than server.max_waiting={self.max_waiting}.")
        raise_problems(problems)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return self.host in LOOPBACK or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False
