"""A server under load: requests a second and latencies, refusals in overload, and memory over time.

    python benchmarks/serve.py                     # the embedded data and weights, 10 s for each number of clients
    python benchmarks/serve.py --minutes 20        # and 20 minutes of steady load, with the memory of the server
    python benchmarks/serve.py --small             # tiny weights, seconds, for CI

Server and clients share the machine. The last line is JSON.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
WORDS = ["river", "Berg", "capital", "Währung", "language", "ville", "fleuve", "首都", "नदी", "نهر", "Sprache"]


class Client:
    """One kept connection: plain HTTP/1.1, so that the client costs little beside the server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def search(self, query: str) -> int:
        """The status of an answer; 0 where the connection broke."""
        body = json.dumps({"query": query}).encode()
        head = (
            f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
            return int(answer.split(b" ", 2)[1])
        except (OSError, asyncio.IncompleteReadError):
            self.streams = None
            return 0


async def load(port: int, clients: int, seconds: float, offset: int = 0) -> tuple[dict[int, int], list[float]]:
    """Answers by status, and the seconds of those that succeeded, of clients that ask again at once."""
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        client, asked = Client(port), offset
        while (started := time.perf_counter()) < end:
            words = (WORDS[(number + asked * step) % len(WORDS)] for step in (1, 3, 7))
            status = await client.search(f"{' '.join(words)} {number} {asked}")
            asked += 1
            statuses[status] = statuses.get(status, 0) + 1
            if status == 200:
                latencies.append(time.perf_counter() - started)

    await asyncio.gather(*map(ask, range(clients)))
    return statuses, latencies


def figures(statuses: dict[int, int], latencies: list[float], seconds: float) -> dict[str, object]:
    """Requests a second that succeeded, and percentiles in milliseconds."""
    ranked = sorted(latencies)
    at = {
        f"p{share}_ms": round(1000 * ranked[min(len(ranked) - 1, len(ranked) * share // 100)], 1) for share in (50, 99)
    }
    return {"requests_s": round(len(latencies) / seconds, 1), **at, "statuses": statuses}


class Server:
    """`python run.py action=serve` as a process."""

    def __init__(self, folder: str, *options: str) -> None:
        command = [sys.executable, str(REPOSITORY / "run.py"), "action=serve", "server.port=0", *options]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = ""
        while not (found := re.search(r"Serving at http://127\.0\.0\.1:(\d+)", said.replace("\n", " "))):
            line = self.process.stdout.readline()
            assert line, said
            said += line
        self.port = int(found[1])

    def memory(self) -> float:
        """Its own memory in MiB, without pages of mapped files."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def stop(self) -> int:
        """End it by SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(60)


def overload(folder: str, options: list[str], seconds: float) -> dict[str, object]:
    """More clients than a short queue takes, then one client: refusals, and the latency before and after."""
    server = Server(folder, *options, "server.max_waiting=8", "server.max_texts=8", "server.rate=null")
    before = asyncio.run(load(server.port, 1, seconds))
    crowd = asyncio.run(load(server.port, 64, seconds, 1000))
    after = asyncio.run(load(server.port, 1, seconds, 5000))
    limited_server = Server(folder, *options, "server.rate=5")
    limited = asyncio.run(load(limited_server.port, 8, seconds))
    server.stop(), limited_server.stop()
    return {
        "before": figures(*before, seconds), "crowd": figures(*crowd, seconds), "after": figures(*after, seconds),
        "rate_limited": limited[0],
    }  # fmt: skip


def soak(server: Server, minutes: float, every: float) -> dict[str, object]:
    """Eight clients for some minutes. Memory in MiB over time; growth: between the medians of its second and last
    quarter."""
    started, memory, statuses, rounds = time.perf_counter(), [server.memory()], {}, 0
    while (passed := time.perf_counter() - started) < 60 * minutes:
        counted, _ = asyncio.run(
            load(server.port, 8, min(every, 60 * minutes - passed + 0.1), 10_000 * (rounds := rounds + 1))
        )
        for status, count in counted.items():
            statuses[status] = statuses.get(status, 0) + count
        memory.append(server.memory())
        print(f"{(time.perf_counter() - started) / 60:.1f} min: {memory[-1]:.1f} MiB, {statuses}", flush=True)
    quarter = max(1, len(memory) // 4)
    growth = statistics.median(memory[-quarter:]) - statistics.median(memory[quarter : 2 * quarter] or memory)
    return {"minutes": round((time.perf_counter() - started) / 60, 2), "statuses": statuses,
            "memory_mib": [round(each, 1) for each in memory], "growth_mib": round(growth, 1)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="e5_small_q4")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.model, options.seconds = "tiny", 0.3
    settings = [f"model={options.model}"]
    result: dict[str, object] = {"model": options.model, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, *settings, "server.rate=null", "hydra.run.dir=plain")
        asyncio.run(load(server.port, 8, options.seconds))  # warm
        for clients in (1, 8, 64):
            measured = figures(
                *asyncio.run(load(server.port, clients, options.seconds, 100 * clients)), options.seconds
            )
            print(f"{clients:3d} clients: {measured}", flush=True)
            result[f"clients_{clients}"] = measured
        if options.minutes:
            result["soak"] = soak(server, options.minutes, every=max(2, min(30, 60 * options.minutes / 8)))
        result["exit_status"] = server.stop()
        result["overload"] = overload(folder, settings, max(1, options.seconds / 3))
        print(result["overload"], flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
