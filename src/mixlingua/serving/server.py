"""The server as a process: what it needs, where it listens, and how it ends."""

import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mixlingua.errors import ConfigError
from mixlingua.serving.settings import ServerSettings

if TYPE_CHECKING:
    from mixlingua.search.retriever import Retriever


def check_installed() -> None:
    """Raises ConfigError naming the packages of a server that are not there."""
    packages = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}
    if lacking := [package for module, package in packages.items() if find_spec(module) is None]:
        raise ConfigError(f"action=serve: needs {', '.join(lacking)}. Run: pip install {' '.join(lacking)}")


def run_server(
    retrievers: "Mapping[str, Retriever]",
    settings: ServerSettings,
    started: Callable[[str], None],
    examples: Sequence[tuple[str, str]] = (),
) -> None:
    """Answer requests until SIGTERM or SIGINT; those that are running then are answered first.

    retrievers: index by its name. started: told the address once requests are taken. examples: as `create_app` has it.
    Raises ConfigError where the address cannot be had, Interrupted at the end where signals raise it.
    """
    check_installed()
    import uvicorn

    from mixlingua.serving.app import create_app

    listening = _listen(settings)
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        create_app(retrievers, settings, started=lambda: started(_address(host, port)), examples=examples),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=max(1, round(settings.timeout)),
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
        # An answer is sent in two parts. Without this, the second waits 40 ms for the client to confirm the first.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise ConfigError(
            f"server.host={settings.host} server.port={settings.port}: cannot listen there "
            f"({error.strerror or error}). Choose another port, such as server.port=8001, or 0 for any free one."
        ) from error
