"""An evaluation in a process of its own, slow enough to be killed between two shards.

Run by test_on_disk_kill.py as: python on_disk_worker.py FOLDER SHARD_SIZE PAUSE OUT. Prints the number of passages that
it encoded, and writes every query's values to OUT.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash

from mixlingua.evaluation.benchmarks.folder import folder_task
from mixlingua.evaluation.suite import evaluate_task


class Slow(ByHash):
    def __init__(self, pause: float) -> None:
        self.pause, self.encoded = pause, 0

    def __call__(self, texts, side):
        if side == "passage":
            time.sleep(self.pause)
            self.encoded += len(texts)
        return super().__call__(texts, side)


def evaluated(folder: str, shard_size: int, pause: float) -> tuple[dict, int]:
    encode = Slow(pause)
    task = folder_task(folder, "world", main_metric="map", shard_size=shard_size)
    result = evaluate_task(task, encode)
    values = {
        setting: {metric: part.tolist() for metric, part in table.values.items()}
        for setting, table in result.per_query.items()
    }
    return {"values": values, "provenance": result.provenance}, encode.encoded


if __name__ == "__main__":
    folder, shard_size, pause, out = sys.argv[1:]
    content, encoded = evaluated(folder, int(shard_size), float(pause))
    Path(out).write_text(json.dumps(content))
    print(encoded)
