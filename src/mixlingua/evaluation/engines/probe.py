"""Zero-shot transfer of a linear probe: fitted to pairs of sentence vectors in one language, tested in all."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mixlingua import distributed
from mixlingua.data.rows import unit_interval
from mixlingua.errors import DataError
from mixlingua.evaluation.results import PerQueryTable, ResultRow, TaskResult
from mixlingua.evaluation.tasks import ProbeTask, SentencePair
from mixlingua.retrieval.encode import Encode, encode_checked

PROBE_VERSION = 1  # raise it when the same vectors come to give other figures
INVERSE_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: the smaller, the stronger the penalty
HELD_OUT = 0.2  # expected share of the groups on which the penalty is chosen
MAX_ITERATIONS = 1000

logger = logging.getLogger(__name__)


def evaluate(task: ProbeTask, encode: Encode) -> TaskResult:
    """Accuracy of each pair (1 or 0) and macro-F1 of each language; every rank must call this.

    Both sentences are encoded as queries: the task is symmetric. The figures of low-resource languages come twice, the
    second time as metrics of their own that are averaged apart. Raises ModelError where a vector is not finite.
    """
    pairs = [*task.train, *(pair for by_id in task.test.values() for pair in by_id.values())]
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.premise, pair.hypothesis)))
    vectors = encode_checked(encode, texts, "query", f"task {task.name}").numpy()
    vector_of = dict(zip(texts, vectors, strict=True))
    # Rank zero decides for all: a fit on another machine might differ in the last bit.
    settings, predicted = distributed.on_first_rank(lambda: _predict(task, vector_of))
    truth = {language: [pair.label for pair in by_id.values()] for language, by_id in task.test.items()}
    languages = [language for language, by_id in task.test.items() for _ in by_id]
    right = np.concatenate([np.equal(truth[language], predicted[language]) for language in task.test])
    table = PerQueryTable(
        query_ids=[key for by_id in task.test.values() for key in by_id],
        query_languages=languages,
        passage_languages=languages,
        values={"accuracy": right.astype(np.float64)},
    )
    return TaskResult(
        task.name,
        {**task.provenance(), "probe": settings},
        {"monolingual": table},
        further_rows=list(_further_rows(task, truth, predicted)),
    )


def _predict(
    task: ProbeTask, vector_of: Mapping[str, NDArray[np.float32]]
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """The penalty of the fitted probe with its held-out accuracy, and the probe's label of every test pair."""
    groups = [pair.premise for pair in task.train]
    probe = fit_probe(_features(vector_of, task.train), [pair.label for pair in task.train], groups)
    settings = {"C": probe.inverse_strength, "held_out_accuracy": probe.held_out_accuracy}
    return settings, {language: probe(_features(vector_of, by_id.values())) for language, by_id in task.test.items()}


def _further_rows(
    task: ProbeTask, truth: Mapping[str, list[str]], predicted: Mapping[str, list[str]]
) -> Iterator[ResultRow]:
    """Macro-F1 of each language, which is no mean over pairs, and the figures of low-resource languages again."""
    for language, labels in truth.items():
        f1 = f1_score(labels, predicted[language], labels=task.labels, average="macro", zero_division=0.0)
        values = {"accuracy": float(np.equal(labels, predicted[language]).mean()), "macro_f1": float(f1)}
        pair = (task.name, "monolingual", language, language)
        yield ResultRow(*pair, "macro_f1", values["macro_f1"], len(labels))
        if language in task.low_resource:
            for metric, value in values.items():
                yield ResultRow(*pair, f"{metric}_low_resource", value, len(labels))


@dataclass(frozen=True)
class Probe:
    """A fitted probe. inverse_strength: the chosen C; held_out_accuracy: what it was chosen for."""

    model: Pipeline
    inverse_strength: float
    held_out_accuracy: float

    def __call__(self, features: NDArray[np.float32]) -> list[str]:
        """(N, F) features -> N labels."""
        return [str(label) for label in self.model.predict(features)]


def fit_probe(features: NDArray[np.float32], labels: Sequence[str], groups: Sequence[str]) -> Probe:
    """Fit on (N, F) standardised features, with the penalty that is best on the held-out groups, then on all rows.

    groups: rows of one group, such as pairs with one premise, are held out together; the names decide which. Of equally
    good penalties the strongest. Nothing is random. Raises DataError where there is nothing to hold out or to learn.
    """
    answers = np.asarray(labels)
    held_out = np.array([unit_interval(group) < HELD_OUT for group in groups], dtype=np.bool_)
    if held_out.all() or not held_out.any() or len(set(answers[~held_out])) < 2:
        raise DataError(
            f"a probe needs rows of two labels or more to fit and some to hold out; {len(answers)} rows in "
            f"{len(set(groups))} groups are too few. Use more training pairs."
        )
    best, highest = INVERSE_STRENGTHS[0], -1.0
    for inverse_strength in INVERSE_STRENGTHS:
        model = _fitted(features[~held_out], answers[~held_out], inverse_strength)
        accuracy = float(model.score(features[held_out], answers[held_out]))
        logger.info("probe: C=%g gives %.4f on %d held-out rows", inverse_strength, accuracy, held_out.sum())
        if accuracy > highest:
            best, highest = inverse_strength, accuracy
    return Probe(_fitted(features, answers, best), best, highest)


def _fitted(features: NDArray[np.float32], labels: NDArray[np.str_], inverse_strength: float) -> Pipeline:
    regression = LogisticRegression(C=inverse_strength, max_iter=MAX_ITERATIONS)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)


def pair_features(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) and (N, D) vectors of N pairs -> (N, 4 D): u, v, |u - v| and u * v.

    Source: Conneau et al. 2017, "Supervised learning of universal sentence representations", section 3.1.
    """
    return np.concatenate([left, right, np.abs(left - right), left * right], axis=1)


def _features(vector_of: Mapping[str, NDArray[np.float32]], pairs: Iterable[SentencePair]) -> NDArray[np.float32]:
    listed = list(pairs)
    premises, hypotheses = [pair.premise for pair in listed], [pair.hypothesis for pair in listed]
    left, right = (np.stack([vector_of[text] for text in side]) for side in (premises, hypotheses))
    return pair_features(left, right)
