"""The embedded benchmark as a task: parallel questions, one answer in each language."""

from mixlingua.data.atlas import REVISION, evaluation_split
from mixlingua.evaluation.benchmarks.atlas import atlas


def test_the_answer_is_relevant_in_every_language():
    task, part = atlas(), evaluation_split()
    assert task.revision == REVISION
    assert len(task.languages) == 11
    for language in task.languages:
        for query, grades in task.qrels[language].items():
            assert grades == {f"{other}:{part.relevant[query]}": 1 for other in task.languages}
    some_query = next(iter(task.queries["de"]))
    answer = part.passages["de"][part.relevant[some_query]]
    assert task.passages["de"][f"de:{part.relevant[some_query]}"] == answer
