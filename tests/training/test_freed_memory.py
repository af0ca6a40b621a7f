"""Memory that was freed goes back to the system while a run goes on."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import mixlingua
from mixlingua.training.callbacks import FreedMemory

PIECES = """
from types import SimpleNamespace
from mixlingua.training.callbacks import FreedMemory

def megabytes():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024

trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=SimpleNamespace(type="cpu")))
callback = FreedMemory(every=2)
kept = [bytearray(60_000) for _ in range(4_000)]
del kept[:-1]  # the last one, at the end, keeps the others' pages
for batch in range(2):
    print(megabytes())
    callback.on_train_batch_end(trainer, None, None, None, batch)
print(megabytes())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_freed_memory_is_returned_every_few_batches() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(mixlingua.__file__).parents[1])}
    command = [sys.executable, "-c", PIECES]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    first, second, third = map(float, printed.split())
    assert second > first - 20, "after the first of two batches nothing is done"
    assert third < first - 150, "240 MB were free"


def test_nothing_is_done_on_a_gpu() -> None:
    callback = FreedMemory(every=1)
    callback._trim = lambda pad: pytest.fail("a GPU's memory is not the C library's")
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=SimpleNamespace(type="cuda")))
    callback.on_train_batch_end(trainer, None, None, None, 0)  # type: ignore[arg-type]
