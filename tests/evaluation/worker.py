"""An evaluation in a process of its own, slow enough to be killed between two shards.

Run by test_kill.py as: python worker.py KIND FOLDER PAUSE OUT, where KIND is corpus or answers. Prints how much was
done, passages encoded or steps of a search, and writes every query's values to OUT.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash

from mixlingua.evaluation.benchmarks.folder import folder_task
from mixlingua.evaluation.benchmarks.mkqa import mkqa
from mixlingua.evaluation.engines.answers import FirstAnswers
from mixlingua.evaluation.suite import evaluate_task


class Slow(ByHash):
    def __init__(self, pause: float) -> None:
        self.pause, self.encoded = pause, 0

    def __call__(self, texts, side):
        if side == "passage":
            time.sleep(self.pause)
            self.encoded += len(texts)
        return super().__call__(texts, side)


def evaluated(kind: str, folder: Path, pause: float) -> tuple[dict, int]:
    if kind == "corpus":
        encode = Slow(pause)
        result = evaluate_task(folder_task(folder, "world", main_metric="map", shard_size=8), encode)
        done = encode.encoded
    else:
        save, taken = FirstAnswers.save, []

        def slow(*given):
            time.sleep(pause)
            save(*given)
            taken.append(1)

        FirstAnswers.save = slow
        try:
            result = evaluate_task(mkqa(folder, folder / "corpus.jsonl", ["de", "en"], shard_size=3), ByHash())
        finally:
            FirstAnswers.save = save
        done = len(taken)
    values = {
        setting: {metric: part.tolist() for metric, part in table.values.items()}
        for setting, table in result.per_query.items()
    }
    return {"values": values, "provenance": result.provenance}, done


if __name__ == "__main__":
    kind, folder, pause, out = sys.argv[1:]
    content, done = evaluated(kind, Path(folder), float(pause))
    Path(out).write_text(json.dumps(content))
    print(done)
