"""An evaluation of MKQA in a process of its own, slow enough to be killed between two steps of its search.

Run by test_answers_kill.py as: python answers_worker.py FOLDER PAUSE OUT. Prints the number of steps that it took, and
writes every query's values to OUT.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash

from mixlingua.evaluation.benchmarks.mkqa import mkqa
from mixlingua.evaluation.engines.answers import FirstAnswers
from mixlingua.evaluation.suite import evaluate_task


def evaluated(folder: Path, pause: float) -> tuple[dict, int]:
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
    values = {
        setting: {metric: part.tolist() for metric, part in table.values.items()}
        for setting, table in result.per_query.items()
    }
    return {"values": values, "provenance": result.provenance}, len(taken)


if __name__ == "__main__":
    content, steps = evaluated(Path(sys.argv[1]), float(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(content))
    print(steps)
