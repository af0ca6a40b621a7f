"""Parallel-sentence retrieval on the hypotheses of XNLI."""

import functools
import logging
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mixlingua import distributed
from mixlingua.data.rows import unit_interval
from mixlingua.errors import ConfigError, DataError, ModelError, suggest
from mixlingua.evaluation.results import PerQueryTable, ResultRow, TaskResult
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import atomic_write, cache_dir, content_hash, local_or_fetched, read_lines, sha256
from mixlingua.retrieval.encode import Encode

LABELS = ("contradiction", "entailment", "neutral")


class SentencePair(NamedTuple):
    """label: what the premise says of the hypothesis, one of LABELS."""

    premise: str
    hypothesis: str
    label: str


Pairs = dict[str, SentencePair]  # by id; parallel pairs share theirs


def read_xnli(path: Path, languages: Collection[str]) -> dict[str, Pairs]:
    """xnli.dev.tsv or xnli.test.tsv: language -> pair id -> pair, for these languages, as the file orders them.

    Raises DataError naming file and line for a missing column, an unknown label, a blank sentence or an id that comes
    twice, and naming the languages that the file lacks.
    """
    found: dict[str, Pairs] = {language: {} for language in languages}
    for number, row in _rows(path, ("language", "gold_label", "sentence1", "sentence2", "pairID")):
        if (pairs := found.get(row["language"])) is None:
            continue
        if row["pairID"] in pairs:
            raise DataError(f"{path}:{number}: pair {row['pairID']} comes twice in {row['language']}; fetch it again.")
        pairs[row["pairID"]] = _pair(row["sentence1"], row["sentence2"], row["gold_label"], f"{path}:{number}")
    if empty := [language for language, pairs in found.items() if not pairs]:
        raise DataError(f"{path}: no pairs in {', '.join(empty)}. Leave the language out, or fetch the file again.")
    return found


def read_multinli(path: Path) -> Pairs:
    """multinli.train.en.tsv, English: line number -> pair. Its texts are tokenised, with blanks before punctuation.

    Raises DataError as `read_xnli` does.
    """
    return {
        str(number): _pair(row["premise"], row["hypo"], row["label"], f"{path}:{number}")
        for number, row in _rows(path, ("premise", "hypo", "label"))
    }


def _rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line numbers and fields by column: tab-separated, where quotes mean nothing."""
    lines = read_lines(path)
    header = next(lines)[1].split("\t")
    if missing := [name for name in columns if name not in header]:
        raise DataError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(header)}. Is it the right file?")
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise DataError(f"{path}:{number}: {len(fields)} fields under {len(header)} columns; fetch the file again.")
        yield number, dict(zip(header, fields, strict=True))


def _pair(premise: str, hypothesis: str, label: str, where: str) -> SentencePair:
    label = "contradiction" if label == "contradictory" else label  # as MultiNLI's file has it
    if label not in LABELS:
        raise DataError(f"{where}: label '{label}' is none of {', '.join(LABELS)}; fetch the file again.")
    if not premise.strip() or not hypothesis.strip():
        raise DataError(f"{where}: a blank sentence; fetch the file again.")
    return SentencePair(premise, hypothesis, label)


LICENCE = "CC BY-NC 4.0"
LANGUAGES = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicFile:
    """A file of an archive. member: its place there; per_language, languages: the published numbers of pairs."""

    name: str
    archive: str
    member: str
    per_language: int
    languages: int

    @property
    def url(self) -> str:
        return f"https://dl.fbaipublicfiles.com/XNLI/{self.archive}"

    @property
    def lines(self) -> int:
        """With the header."""
        return self.per_language * self.languages + 1

    def path(self, folder: Path) -> Path:
        """Where the file is: in folder, else unpacked to the cache from its archive, in folder or fetched.

        No checksum is published: a fetched archive must hold the file with its published number of lines. Raises
        DataError where it does not, or there is neither file, archive nor network.
        """
        local = folder / self.name
        if local.is_file():
            return local
        try:
            archive = local_or_fetched(
                self.archive,
                needed_by="task xnli",
                folder=folder,
                cached=cache_dir() / "xnli" / self.archive,
                url=self.url,
                verify=functools.partial(self._verify, whole=True),
            )
        except DataError as error:
            raise DataError(f"{error} {self.name} alone, from that archive, will do as well.") from error
        unpacked = cache_dir() / "xnli" / sha256(archive)[:16] / self.name
        if not unpacked.is_file():
            self._verify(archive, whole=False)
            with (
                zipfile.ZipFile(archive) as opened,
                opened.open(self.member) as packed,
                atomic_write(unpacked) as partial,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
        return unpacked

    def _verify(self, archive: Path, *, whole: bool) -> None:
        try:
            with zipfile.ZipFile(archive) as opened, opened.open(self.member) as file:
                lines = sum(1 for _ in file) if whole else self.lines
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(
                f"{archive}: no archive with {self.member} in it ({error}); fetch {self.url} again."
            ) from error
        if lines != self.lines:
            raise DataError(
                f"{self.url}: {self.member} has {lines:,} lines, not the published {self.lines:,}; not kept."
            )


DEV = PublicFile("xnli.dev.tsv", "XNLI-1.0.zip", "XNLI-1.0/xnli.dev.tsv", 2490, len(LANGUAGES))
TEST = PublicFile("xnli.test.tsv", "XNLI-1.0.zip", "XNLI-1.0/xnli.test.tsv", 5010, len(LANGUAGES))
MULTINLI = PublicFile(
    "multinli.train.en.tsv", "XNLI-MT-1.0.zip", "XNLI-MT-1.0/multinli/multinli.train.en.tsv", 392_702, 1
)


def known_languages(task: str, languages: Collection[str] | None) -> tuple[str, ...]:
    """These languages, sorted; all fifteen for None. Raises ConfigError for one that XNLI does not have."""
    for language in languages or ():
        if language not in LANGUAGES:
            listed = ", ".join(LANGUAGES)
            raise ConfigError(f"task {task}: no language '{language}'; it has {listed}.{suggest(language, LANGUAGES)}")
    return LANGUAGES if languages is None else tuple(sorted(languages))


def release(task: str, counts: Mapping[Path, Collection[tuple[int, int]]]) -> str:
    """ "XNLI-1.0" where every file has as many pairs as published, else a name by the files' content, with a warning.

    counts: published and found numbers of pairs in the languages that are used of each file.
    """
    others = [path for path, pairs in counts.items() if any(published != found for published, found in pairs)]
    if not others:
        return "XNLI-1.0"
    revision = f"local-{content_hash(*counts)[:16]}"
    logger.warning(
        "task %s: %s differ from the published files; scores carry revision %s and compare with no published figure",
        task,
        ", ".join(map(str, others)),
        revision,
    )
    return revision


INVERSE_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: the smaller, the stronger the penalty
HELD_OUT = 0.2  # expected share of the groups on which the penalty is chosen
_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Probe:
    """A fitted probe. inverse_strength: the chosen C; held_out_accuracy: what it was chosen for."""

    model: Pipeline
    inverse_strength: float
    held_out_accuracy: float

    def __call__(self, features: NDArray[np.float32]) -> list[str]:
        """(N, F) features -> N labels."""
        return [str(label) for label in self.model.predict(features)]


def pair_features(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) and (N, D) vectors of N pairs -> (N, 4 D): u, v, |u - v| and u * v.

    Source: Conneau et al. 2017, "Supervised learning of universal sentence representations", section 3.1.
    """
    return np.concatenate([left, right, np.abs(left - right), left * right], axis=1)


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
    best, most = INVERSE_STRENGTHS[0], -1.0
    for inverse_strength in INVERSE_STRENGTHS:
        model = _fitted(features[~held_out], answers[~held_out], inverse_strength)
        accuracy = float(model.score(features[held_out], answers[held_out]))
        logger.info("probe: C=%g gives %.4f on %d held-out rows", inverse_strength, accuracy, held_out.sum())
        if accuracy > most:
            best, most = inverse_strength, accuracy
    return Probe(_fitted(features, answers, best), best, most)


def _fitted(features: NDArray[np.float32], labels: NDArray[np.str_], inverse_strength: float) -> Pipeline:
    regression = LogisticRegression(C=inverse_strength, max_iter=_MAX_ITERATIONS)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)


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


def evaluate_probe(task: XnliTask, encode: Encode) -> TaskResult:
    """Accuracy of each pair (1 or 0) and macro-F1 of each language; every rank must call this.

    Both sentences are encoded as queries: the task is symmetric. The figures of low-resource languages come
    twice, the second time as metrics of their own that are averaged apart. Raises ModelError where a vector is not
    finite.
    """
    vectors = _vectors(encode, [*task.train, *(pair for pairs in task.test.values() for pair in pairs.values())])
    # Rank zero decides for all: a fit on another machine might differ in the last bit.
    found = _predict(task, vectors) if distributed.rank() == 0 else None
    probe, predicted = distributed.all_gather_objects(found)[0]
    languages = [language for language, pairs in task.test.items() for _ in pairs]
    labels = {language: [pair.label for pair in pairs.values()] for language, pairs in task.test.items()}
    right = np.concatenate([np.equal(labels[language], predicted[language]) for language in task.test])
    table = PerQueryTable(
        query_ids=[key for pairs in task.test.values() for key in pairs],
        query_languages=languages,
        passage_languages=languages,
        values={"accuracy": right.astype(np.float64)},
    )
    return TaskResult(
        task.name,
        {**task.provenance(), "probe": probe},
        {"monolingual": table},
        further_rows=list(_further_rows(task, labels, predicted)),
    )


def _predict(
    task: XnliTask, vectors: Mapping[str, NDArray[np.float32]]
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """What was chosen for the probe, and its label of every test pair, by language."""
    probe: Probe = fit_probe(
        _features(vectors, task.train), [pair.label for pair in task.train], [pair.premise for pair in task.train]
    )
    chosen = {"C": probe.inverse_strength, "held_out_accuracy": probe.held_out_accuracy}
    return chosen, {language: probe(_features(vectors, pairs.values())) for language, pairs in task.test.items()}


def _further_rows(
    task: XnliTask, labels: Mapping[str, list[str]], predicted: Mapping[str, list[str]]
) -> Iterable[ResultRow]:
    for language in task.test:
        truth, guess = labels[language], predicted[language]
        values = {
            "accuracy": float(np.equal(truth, guess).mean()),
            "macro_f1": float(f1_score(truth, guess, labels=LABELS, average="macro", zero_division=0.0)),
        }
        where = (task.name, "monolingual", language, language)
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


def xnli_retrieval(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """Hypotheses of XNLI's test pairs: find the translation among all hypotheses of another language.

    Cross-lingual only: within a language a hypothesis would find itself. Equal hypotheses of a language are one, and
    every translation of any of them is relevant. folder, languages and errors as for `xnli`; two languages or more.
    """
    chosen = known_languages("xnli_retrieval", languages)
    if len(chosen) < 2:
        raise ConfigError(f"task xnli_retrieval: languages={list(chosen)}; translations need two languages or more.")
    path = TEST.path(Path(folder))
    pairs = read_xnli(path, chosen)
    version = release("xnli_retrieval", {path: {(TEST.per_language, len(own)) for own in pairs.values()}})
    # language -> hypothesis -> the pairs that have it, of which the first gives the id
    having: dict[str, dict[str, list[str]]] = {language: {} for language in chosen}
    for language, own in pairs.items():
        for key, pair in own.items():
            having[language].setdefault(pair.hypothesis, []).append(key)
    passage_of = {
        language: {key: f"{language}:{keys[0]}" for keys in texts.values() for key in keys}
        for language, texts in having.items()
    }
    return RetrievalTask(
        name="xnli_retrieval",
        revision=f"{version}, hypotheses 1",
        licence=LICENCE,
        note="Hypotheses translated by people from English; a hypothesis is to be found by its translation.",
        queries={language: {keys[0]: text for text, keys in texts.items()} for language, texts in having.items()},
        passages={
            language: {f"{language}:{keys[0]}": text for text, keys in texts.items()}
            for language, texts in having.items()
        },
        qrels={
            language: {
                keys[0]: {
                    passage_of[other][key]: 1
                    for other in chosen if other != language
                    for key in keys if key in passage_of[other]
                }
                for keys in texts.values()
            }
            for language, texts in having.items()
        },
        settings=("crosslingual",),
        files={path.name: sha256(path)},
    )  # fmt: skip
