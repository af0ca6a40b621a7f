"""Memory that was freed goes back to the system while a run goes on."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mixlingua

PIECES = """
import sys
from types import SimpleNamespace
from mixlingua.training.callbacks import FreedMemory

def megabytes():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024

trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=SimpleNamespace(type=sys.argv[1])))
callback = FreedMemory(every=2)
kept = [bytearray(60_000) for _ in range(4_000)]
del kept[:-1]  # the last one, at the end, keeps the others' pages
for batch in range(2):
    print(megabytes())
    callback.on_train_batch_end(trainer, None, None, None, batch)
print(megabytes())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_freed_memory_is_returned_every_few_batches_on_a_cpu(device: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(mixlingua.__file__).parents[1])}
    command = [sys.executable, "-c", PIECES, device]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    first, second, third = map(float, printed.split())
    assert second > first - 20, "after the first of two batches nothing is done"
    assert (third < first - 150) == (device == "cpu"), "240 MB were free"
