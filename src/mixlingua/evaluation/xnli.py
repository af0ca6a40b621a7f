"""XNLI: does a probe that learned inference in English vectors work in other languages?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from mixlingua.data.keys import unit_interval
from mixlingua.errors import ConfigError, ModelError, suggest
from mixlingua.evaluation.probe import Probe, fit_probe, pair_features
from mixlingua.evaluation.results import PerQueryTable, ResultRow, TaskResult
from mixlingua.evaluation.xnli_files import DEV, LICENCE, MULTINLI, TEST, known_languages, release
from mixlingua.evaluation.xnli_pairs import LABELS, Pairs, SentencePair, read_multinli, read_xnli
from mixlingua.files import sha256
from mixlingua.model import distributed
from mixlingua.retrieval.encode import Encode

LOW_RESOURCE = ("sw", "ur")  # as the paper names them
_PROBE_VERSION = 1  # raise it when the same vectors come to give other figures


@dataclass(frozen=True)
class XnliTask:
    """A benchmark of zero-shot transfer: a probe fitted on English pairs is tested in every language.

    test: language -> pair id -> pair. train: English pairs. files: SHA-256 by name.
    """

    revision: str
    note: str
    test: Mapping[str, Pairs]
    train: Sequence[SentencePair]
    files: Mapping[str, str]
    name: str = "xnli"
    main_metric: str = "accuracy"

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        tested = sum(map(len, self.test.values()))
        return f"{tested:,} sentence pairs in {len(self.test)} languages, {len(self.train):,} in English to fit a probe"

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values. A candidate is a label."""
        return {
            "revision": self.revision,
            "licence": LICENCE,
            "note": self.note,
            "languages": list(self.test),
            "main_metric": self.main_metric,
            "num_queries": {language: len(pairs) for language, pairs in self.test.items()},
            "num_candidates": dict.fromkeys(self.test, len(LABELS)),
            "files": dict(self.files),
        }

    def evaluate(self, encode: Encode) -> TaskResult:
        """Accuracy of each pair (1 or 0) and macro-F1 of each language; every rank must call this.

        Both sentences are encoded as queries: the task is symmetric. The figures of low-resource languages come
        twice, the second time as metrics of their own that are averaged apart. Raises ModelError where a vector is not
        finite.
        """
        vectors = _vectors(encode, [*self.train, *(pair for pairs in self.test.values() for pair in pairs.values())])
        # Rank zero decides for all: a fit on another machine might differ in the last bit.
        found = self._predict(vectors) if distributed.rank() == 0 else None
        probe, predicted = distributed.all_gather_objects(found)[0]
        languages = [language for language, pairs in self.test.items() for _ in pairs]
        labels = {language: [pair.label for pair in pairs.values()] for language, pairs in self.test.items()}
        right = np.concatenate([np.equal(labels[language], predicted[language]) for language in self.test])
        table = PerQueryTable(
            query_ids=[key for pairs in self.test.values() for key in pairs],
            query_languages=languages,
            passage_languages=languages,
            values={"accuracy": right.astype(np.float64)},
        )
        return TaskResult(
            self.name,
            {**self.provenance(), "probe": probe},
            {"monolingual": table},
            further_rows=list(self._further_rows(labels, predicted)),
        )

    def _predict(self, vectors: Mapping[str, NDArray[np.float32]]) -> tuple[dict[str, float], dict[str, list[str]]]:
        """What was chosen for the probe, and its label of every test pair, by language."""
        probe: Probe = fit_probe(
            _features(vectors, self.train), [pair.label for pair in self.train], [pair.premise for pair in self.train]
        )
        chosen = {"C": probe.inverse_strength, "held_out_accuracy": probe.held_out_accuracy}
        return chosen, {language: probe(_features(vectors, pairs.values())) for language, pairs in self.test.items()}

    def _further_rows(self, labels: Mapping[str, list[str]], predicted: Mapping[str, list[str]]) -> Iterable[ResultRow]:
        for language in self.test:
            truth, guess = labels[language], predicted[language]
            values = {
                "accuracy": float(np.equal(truth, guess).mean()),
                "macro_f1": float(f1_score(truth, guess, labels=LABELS, average="macro", zero_division=0.0)),
            }
            where = (self.name, "monolingual", language, language)
            yield ResultRow(*where, "macro_f1", values["macro_f1"], len(truth))
            if language in LOW_RESOURCE:
                for metric, value in values.items():
                    yield ResultRow(*where, f"{metric}_low_resource", value, len(truth))


def xnli(
    folder: str | Path, languages: Sequence[str] | None, train: Literal["dev", "multinli"], max_train: int
) -> XnliTask:
    """XNLI's 5,010 test pairs in each of fifteen languages, and English pairs for the probe.

    folder: where xnli.test.tsv, ... or their archives are looked for before the cache and the network. languages: to
    test in; all fifteen by default. train: "dev", the 2,490 English pairs of xnli.dev.tsv, or "multinli", the 392,702
    of multinli.train.en.tsv (an archive of some 450 MB); of either at most max_train, drawn by a hash of their texts.
    Files whose number of pairs differs from the published one are used, with a revision of their own. Raises DataError
    for a file that is missing and cannot be fetched, or is malformed, ConfigError for another value or language.
    """
    if train not in ("dev", "multinli"):
        raise ConfigError(f"task xnli: train is '{train}'; it is dev or multinli.{suggest(train, ('dev', 'multinli'))}")
    if max_train < 1:
        raise ConfigError(f"task xnli: max_train is {max_train}; a whole number of 1 or more is needed.")
    chosen = known_languages("xnli", languages)
    source, test = (DEV if train == "dev" else MULTINLI), TEST.path(Path(folder))
    path = source.path(Path(folder))
    pairs = read_xnli(path, ["en"])["en"] if train == "dev" else read_multinli(path)
    used = sorted(pairs.values(), key=lambda pair: unit_interval(f"{pair.premise}\t{pair.hypothesis}"))[:max_train]
    tested = read_xnli(test, chosen)
    counts = {
        test: {(TEST.per_language, len(own)) for own in tested.values()},
        path: {(source.per_language, len(pairs))},
    }
    version = release("xnli", counts)
    return XnliTask(
        revision=f"{version}, probe {_PROBE_VERSION} on {len(used)} pairs of {path.name}",
        note=f"A probe fitted on {len(used):,} English pairs of {path.name}; test pairs translated by people.",
        test=tested,
        train=used,
        files={test.name: sha256(test), path.name: sha256(path)},
    )


def _vectors(encode: Encode, pairs: Iterable[SentencePair]) -> dict[str, NDArray[np.float32]]:
    """Text -> (D,) vector, for every sentence of the pairs; encoded in one call."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.premise, pair.hypothesis)))
    vectors = encode(texts, "query").numpy()
    if bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
        raise ModelError(
            f"task xnli: {bad} of {len(texts)} vectors hold NaN or infinite values; the model has diverged or "
            "overflows in this precision. Evaluate an earlier checkpoint, or with precision=32-true."
        )
    return dict(zip(texts, vectors, strict=True))


def _features(vectors: Mapping[str, NDArray[np.float32]], pairs: Iterable[SentencePair]) -> NDArray[np.float32]:
    listed = list(pairs)
    sides = ([pair.premise for pair in listed], [pair.hypothesis for pair in listed])
    left, right = (np.stack([vectors[text] for text in side]) for side in sides)
    return pair_features(left, right)
