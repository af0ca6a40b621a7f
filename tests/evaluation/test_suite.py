"""Which engine measures a task, and a task type of one's own, as a user's package brings it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.run_folder import read_results, write_results
from mixlingua.evaluation.suite import evaluate_encoder, evaluate_task
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import cache_dir


@dataclass(frozen=True)
class Data:
    name: str = "lengths"
    main_metric: str = "length"
    size: str = "2 texts"

    def provenance(self):
        return {"revision": "1", "main_metric": self.main_metric}


class Lengths(Data):
    """How long the vectors of two texts are."""

    def evaluate(self, encode):
        values = encode(["p0=2", "p1=4"], "query").norm(dim=1).double().numpy()
        return TaskResult(
            self.name,
            self.provenance(),
            {"monolingual": PerQueryTable(["a", "b"], ["de", "de"], ["de", "de"], {"length": values})},
        )


def test_a_task_of_another_type_brings_its_engine(one_hot, tmp_path):
    result = evaluate_task(Lengths(), one_hot)
    assert result.aggregate() == {"lengths/monolingual/length": 3.0}
    write_results(tmp_path, [result], {})
    assert read_results(tmp_path).rows == result.rows


def test_a_task_without_an_engine_is_refused(one_hot):
    with pytest.raises(ConfigError, match=r"task lengths: Data has no engine\. Give it a method evaluate\(encode\)"):
        evaluate_task(Data(), one_hot)


def test_a_type_that_extends_another_is_measured_as_that(two_languages, one_hot):
    class Mine(RetrievalTask):
        """Data of one's own."""

    mine = Mine(**{name: getattr(two_languages, name) for name in RetrievalTask.__dataclass_fields__})
    assert evaluate_task(mine, one_hot).rows == evaluate_task(two_languages, one_hot).rows


def test_its_own_engine_goes_before_that_of_its_type(two_languages, one_hot):
    class Reversed(RetrievalTask):
        """Its worst passages come first."""

        def evaluate(self, encode):
            plain = replace(two_languages, name="reversed")
            return evaluate_task(plain, lambda texts, side: encode(texts, side) * (-1 if side == "query" else 1))

    fields = {name: getattr(two_languages, name) for name in RetrievalTask.__dataclass_fields__}
    values = [evaluate_task(task, one_hot).rows[0].value for task in (two_languages, Reversed(**fields))]
    assert not np.isclose(*values)


def test_tasks_of_one_name_are_refused_before_anything_is_encoded(two_languages):
    """Their figures would be averaged, and the values per query of the second would replace those of the first."""
    tasks = [two_languages, replace(two_languages, name="other"), replace(two_languages, revision="2")]
    with pytest.raises(ConfigError, match=rf"More than one task is named '{two_languages.name}', .*a name of its own"):
        evaluate_encoder(object(), tasks, token_budget=64, precision="32-true")


@pytest.fixture
def measured(pretrained, two_languages):
    """What an encoder measures with kept vectors, and the number of texts that it read for it."""

    def measure(change=None, *, keep=True, precision="32-true", **settings):
        encoder = pretrained(**settings).load(0)
        if change is not None:
            change(encoder)
        read = []
        encoder.register_forward_pre_hook(lambda _, given: read.append(len(given[0]["input_ids"])))
        (result,) = evaluate_encoder(encoder, [two_languages], token_budget=64, precision=precision, keep=keep)
        return (result.rows, result.provenance), sum(read)

    return measure


def test_an_encoder_that_is_measured_again_reads_no_text_and_has_the_same_figures(measured):
    plain, num_texts = measured(keep=False)
    assert num_texts == 11
    assert plain[1]["cut"]["query"]["num_cut"] == 3
    assert measured() == (plain, num_texts)
    assert measured() == (plain, 0)


def test_vectors_of_another_encoder_or_precision_are_not_taken(measured):
    _, num_texts = measured()

    def shifted(encoder):
        next(encoder.transformer.parameters()).data[0, 0] += 1

    for differently in ({"change": shifted}, {"precision": "bf16-mixed"}, {"pooling": "cls"}, {"query_prefix": "x "}):
        assert measured(**differently)[1] == num_texts, differently


def test_a_kept_file_that_is_damaged_is_named(measured):
    measured()
    file = sorted(Path(cache_dir(), "measured").glob("*.npy"))[0]
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=rf"{file.name}: .* Remove this folder of the cache"):
        measured()
