"""Benchmarks in memory, as data: queries, passages and qrels; bitexts; labelled pairs of sentences.

A task holds no code that measures: `suite.evaluate_task` chooses the engine by the type of the task.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, NamedTuple

from mixlingua.errors import DataError
from mixlingua.evaluation.results import SETTINGS
from mixlingua.languages import check_language
from mixlingua.retrieval.passage_transforms import PassageTransforms

Texts = Mapping[str, Mapping[str, str]]  # language -> id -> text
Qrels = Mapping[str, Mapping[str, Mapping[str, int]]]  # query language -> query id -> passage id -> grade
Excluded = Mapping[str, Mapping[str, Collection[str]]]  # query language -> query id -> passage ids


def described(
    task: Any, num_queries: Mapping[str, int], num_candidates: Mapping[str, int], **more: object
) -> dict[str, object]:
    """The provenance of a task: what identifies its data, as plain values. num_queries, num_candidates: by language."""
    names = ("revision", "licence", "note", "main_metric")
    facts = {name: getattr(task, name) for name in names}
    counts = {"num_queries": dict(num_queries), "num_candidates": dict(num_candidates)}
    return {**facts, "languages": list(task.languages), **counts, "files": dict(task.files), **more}


def refuse_problems(task: str, problems: Iterable[str]) -> None:
    """Raise DataError with all that is wrong with a task, if anything is."""
    if found := list(problems):
        raise DataError(f"task {task}: " + "; ".join(found))


@dataclass(frozen=True)
class RetrievalTask:
    """A retrieval benchmark, checked when it is made.

    name: as it stands in metric keys. revision: of all but the transforms; changes whenever a score may change. note:
    what a reader of its scores should know. queries: language -> query id -> text; parallel queries share their id, and
    others do not, since those with one id are one question in comparisons. passages:
    language -> passage id -> text; ids are unique over all languages. A language may have queries or passages alone.
    qrels: query language -> query id -> passage id (of any language) -> grade; a grade above 0 is relevant.
    files: SHA-256 by name of the files it was read from. symmetric: queries and passages are texts of one kind, such as
    sentences and their translations, so that all are encoded as queries. excluded: passages that a query cannot find,
    such as its own text: no answers, whatever the qrels say, and last in a ranking. contexts: language -> passage id ->
    the text that the passage is a part of, of all passages or of none. transforms: what is done to the passages of all
    languages, before they are searched, all of them or those in one language.

    Raises DataError, naming the ids, where a language is empty, a text is blank, a passage id occurs in two languages,
    a query has no relevant passage, a judgement or exclusion names a query or passage that does not exist, contexts are
    not those of the passages, or the transforms need contexts, languages or passages that there are not.
    """

    name: str
    revision: str
    licence: str
    note: str
    queries: Texts
    passages: Texts
    qrels: Qrels
    settings: tuple[str, ...] = SETTINGS
    main_metric: str = "map"
    files: Mapping[str, str] = field(default_factory=dict)
    symmetric: bool = False
    excluded: Excluded = field(default_factory=dict)
    contexts: Texts = field(default_factory=dict)
    transforms: PassageTransforms = field(default_factory=PassageTransforms)

    def __post_init__(self) -> None:
        refuse_problems(self.name, _problems(self))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the queries, sorted."""
        return tuple(sorted(self.queries))

    @property
    def passage_languages(self) -> tuple[str, ...]:
        """The languages that have passages, sorted."""
        return tuple(sorted(self.passages))

    @property
    def num_queries(self) -> dict[str, int]:
        """Number of queries per language."""
        return {language: len(self.queries[language]) for language in self.languages}

    @property
    def num_passages(self) -> dict[str, int]:
        """Number of candidate passages per language."""
        return {language: len(self.passages[language]) for language in self.passage_languages}

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        queries, passages = sum(self.num_queries.values()), sum(self.num_passages.values())
        return f"{queries:,} queries, {passages:,} passages in {len(self.languages)} languages"

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values."""
        facts = {"passage_transforms": repr(self.transforms), "most_recall_at_1": round(self.most_recall_at_1, 6)}
        return described(self, self.num_queries, self.num_passages, **facts)

    @property
    def most_recall_at_1(self) -> float:
        """What recall@1 is of an ideal system in the multilingual setting: 1/R of a query with R relevant passages.

        What a query cannot find is none of them. The mean over queries, then over their languages.
        """
        by_language = []
        for language, judged in self.qrels.items():
            lost = self.excluded.get(language, {})
            numbers = [
                sum(grade > 0 and passage not in lost.get(query, ()) for passage, grade in grades.items())
                for query, grades in judged.items()
            ]
            by_language.append(mean(1 / number for number in numbers))
        return mean(by_language)


def _problems(task: RetrievalTask) -> Iterator[str]:
    languages = set(task.queries)
    if not languages:
        yield "it has no language"
    if set(task.qrels) != languages:
        yield f"queries are in {_few(languages)}, but qrels in {_few(task.qrels)}"
    if unknown := set(task.settings) - set(SETTINGS):
        yield f"settings {_few(unknown)} are none of {', '.join(SETTINGS)}"
    if task.transforms.joining and len(task.passages) < 2:
        yield f"joining needs passages in two languages or more, not in {_few(task.passages)} alone"
    if task.transforms.context_weight and not task.contexts:
        yield f"context_weight={task.transforms.context_weight}, but its passages are parts of no longer text; use 0"
    if task.transforms.hub_correction and (problem := task.transforms.hub_correction.problem(task.num_passages)):
        yield problem
    if task.contexts and _ids(task.contexts) != _ids(task.passages):
        yield "its contexts are not those of its passages, one for each"
    for language in sorted(languages | set(task.passages)):
        check_language(language, f"task {task.name}")
    for name, texts_by_language in (("queries", task.queries), ("passages", task.passages)):
        for language, texts in sorted(texts_by_language.items()):
            if not texts:
                yield f"{language} has no {name}"
            if blank := [key for key, text in texts.items() if not text.strip()]:
                yield f"{language} {name} {_few(blank)} are blank"
    yield from _id_problems(task)


def _id_problems(task: RetrievalTask) -> Iterator[str]:
    known: set[str] = set()
    for language in sorted(task.passages):
        ids = set(task.passages[language])
        if repeated := known & ids:
            yield f"passage ids {_few(repeated)} of {language} occur in another language too"
        known |= ids
    for name, named in (("qrels", task.qrels), ("exclusions", task.excluded)):
        for language, by_query in sorted(named.items()):
            if dangling := set(by_query) - set(task.queries.get(language, by_query if name == "qrels" else {})):
                yield f"{language} {name} name queries that do not exist: {_few(dangling)}"
            if dangling := {passage for passages in by_query.values() for passage in passages} - known:
                yield f"{language} {name} name passages that do not exist: {_few(dangling)}"
    for language in sorted(set(task.qrels) & set(task.queries)):
        judged, excluded = task.qrels[language], task.excluded.get(language, {})
        unanswered = [
            query
            for query in task.queries[language]
            if not any(g > 0 and p not in excluded.get(query, ()) for p, g in judged.get(query, {}).items())
        ]
        if unanswered:
            yield f"{language} queries without a relevant passage: {_few(unanswered)}"


def _ids(texts: Texts) -> dict[str, set[str]]:
    return {language: set(by_id) for language, by_id in texts.items()}


def _few(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


@dataclass(frozen=True)
class BitextTask:
    """Bitexts, each searched both ways: a sentence is the query, its translation the one relevant passage, the other
    side of that bitext the pool.

    bitexts: (a, b) -> the sentences in a and those in b, aligned: the i-th translates the i-th. A language may take
    part in several bitexts with other sentences in each, so that there is no pool of a language: what differs between
    two rows may be the sentences. All texts are encoded as queries, being of one kind, and once each, whatever the
    number of bitexts. The two directions of a line share their question id, such as "de-en:17".

    Raises DataError where a bitext is empty, its sides differ in length, a line is blank, or two bitexts or one hold
    the same pair.
    """

    name: str
    revision: str
    licence: str
    note: str
    bitexts: Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]
    main_metric: str = "recall_at_1"
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_problems(self.name, _bitext_problems(self))

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language of the task, sorted."""
        return tuple(sorted({language for pair in self.bitexts for language in pair}))

    @property
    def num_sentences(self) -> dict[str, int]:
        """Number of sentences per language, in all its bitexts: as many queries, and as many candidates."""
        counts = dict.fromkeys(self.languages, 0)
        for pair, sides in self.bitexts.items():
            for language, sentences in zip(pair, sides, strict=True):
                counts[language] += len(sentences)
        return counts

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        return f"{len(self.texts()):,} sentences in {len(self.languages)} languages, {len(self.bitexts)} bitexts"

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values."""
        pools = {f"{a}-{b}": len(side) for (a, b), (side, _) in self.bitexts.items()}
        return described(self, self.num_sentences, self.num_sentences, pools=pools)

    def texts(self) -> dict[str, int]:
        """Each distinct text and its row among them."""
        sentences = (text for sides in self.bitexts.values() for side in sides for text in side)
        return {text: row for row, text in enumerate(dict.fromkeys(sentences))}

    def directions(self) -> Iterator[tuple[tuple[str, str], Sequence[str], Sequence[str]]]:
        """Query and passage language, queries and pool, of each direction."""
        for (a, b), (left, right) in self.bitexts.items():
            yield (a, b), left, right
            yield (b, a), right, left


def _bitext_problems(task: BitextTask) -> Iterator[str]:
    if not task.bitexts:
        yield "it has no bitext"
    seen: set[frozenset[str]] = set()
    for pair, sides in task.bitexts.items():
        name = "-".join(pair)
        for language, sentences in zip(pair, sides, strict=True):
            check_language(language, f"task {task.name}")
            if blank := [str(line) for line, text in enumerate(sentences, start=1) if not text.strip()]:
                yield f"{name}: blank {language} lines {', '.join(blank[:5])}"
        if len(set(pair)) == 1 or frozenset(pair) in seen:
            yield f"{name}: a bitext is between two languages, and there is one of each pair"
        seen.add(frozenset(pair))
        if len(sides[0]) != len(sides[1]) or not sides[0]:
            yield f"{name}: {len(sides[0])} and {len(sides[1])} lines; a bitext needs some, as many on each side"


class SentencePair(NamedTuple):
    """label: what the premise says of the hypothesis."""

    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True)
class ProbeTask:
    """Zero-shot transfer of a classifier: a probe is fitted to pairs in one language and tested in every language.

    labels: what a pair may have. train: the pairs to fit. test: language -> pair id -> pair; parallel pairs share their
    id. low_resource: languages whose figures are also averaged apart. files: SHA-256 by name.
    """

    name: str
    revision: str
    licence: str
    note: str
    labels: tuple[str, ...]
    train: Sequence[SentencePair]
    test: Mapping[str, Mapping[str, SentencePair]]
    low_resource: tuple[str, ...] = ()
    main_metric: str = "accuracy"
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        tested = sum(map(len, self.test.values()))
        return f"{tested:,} sentence pairs in {len(self.test)} languages, {len(self.train):,} in English to fit a probe"

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language that is tested."""
        return tuple(self.test)

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values. A candidate is a label."""
        num_pairs = {language: len(pairs) for language, pairs in self.test.items()}
        return described(self, num_pairs, dict.fromkeys(self.test, len(self.labels)))
