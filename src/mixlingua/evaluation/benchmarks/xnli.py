"""XNLI: zero-shot transfer of a probe, and parallel-sentence retrieval on the hypotheses (arXiv 1809.05053)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixlingua.data.rows import unit_interval
from mixlingua.errors import DataError, check_choice, check_whole
from mixlingua.evaluation.benchmarks.common import chosen_languages, published_member, revision_of, with_language
from mixlingua.evaluation.engines.probe import PROBE_VERSION
from mixlingua.evaluation.tasks import ProbeTask, RetrievalTask, SentencePair
from mixlingua.files import sha256
from mixlingua.reading import read_lines

LABELS = ("contradiction", "entailment", "neutral")
LOW_RESOURCE = ("sw", "ur")  # as the paper names them
RELEASE = "XNLI-1.0"
LICENCE = "CC BY-NC 4.0"
LANGUAGES = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")


def xnli(
    folder: str | Path,
    languages: Sequence[str] | None = None,
    train: Literal["dev", "multinli"] = "dev",
    max_train: int = 20_000,
) -> ProbeTask:
    """XNLI's 5,010 test pairs in each of fifteen languages, and English pairs for the probe.

    folder: where xnli.test.tsv, ... or their archives are looked for before the cache and the network
    languages: to test in, such as [en, sw, ur]; null: all fifteen
    train: English pairs for the probe: dev (2,490, xnli.dev.tsv) or multinli (392,702; an archive of some 450 MB)
    max_train: of these at most, drawn by a hash of their texts

    Files whose number of pairs differs from the published one are used, with a revision of their own. Raises DataError
    for a file that is missing and cannot be fetched, or is malformed, ConfigError for another value or language.
    """
    check_choice("evaluation.tasks.xnli.train", train, ("dev", "multinli"))
    check_whole("evaluation.tasks.xnli.max_train", max_train, 1)
    chosen = chosen_languages("xnli", languages, LANGUAGES)
    train_file, test_path = (DEV if train == "dev" else MULTINLI), TEST.path(Path(folder))
    train_path = train_file.path(Path(folder))
    pairs = read_xnli(train_path, ["en"])["en"] if train == "dev" else read_multinli(train_path)
    drawn = sorted(pairs.values(), key=lambda pair: unit_interval(f"{pair.premise}\t{pair.hypothesis}"))[:max_train]
    test = read_xnli(test_path, chosen)
    others = [(test_path, TEST.has(test)), (train_path, train_file.has({"en": pairs}))]
    revision = revision_of("xnli", RELEASE, [test_path, train_path], [path for path, same in others if not same])
    return ProbeTask(
        name="xnli",
        revision=f"{revision}, probe {PROBE_VERSION} on {len(drawn)} pairs of {train_path.name}",
        licence=LICENCE,
        note=f"A probe fitted on {len(drawn):,} English pairs of {train_path.name}; test pairs translated by people.",
        labels=LABELS,
        test=test,
        train=drawn,
        low_resource=LOW_RESOURCE,
        files={path.name: sha256(path) for path in (test_path, train_path)},
    )


def xnli_retrieval(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """Hypotheses of XNLI's test pairs: find the translation among all hypotheses of another language.

    Cross-lingual only: within a language a hypothesis would find itself. Equal hypotheses of a language are one, and
    every translation of any of them is relevant. Errors are those of `xnli`.

    folder: where xnli.test.tsv or XNLI-1.0.zip is looked for before the cache and the network
    languages: two or more, such as [en, sw, ur]; null: all fifteen
    """
    chosen = chosen_languages("xnli_retrieval", languages, LANGUAGES, at_least=2)
    path = TEST.path(Path(folder))
    pairs = read_xnli(path, chosen)
    revision = revision_of("xnli_retrieval", RELEASE, [path], [] if TEST.has(pairs) else [path])
    # language -> hypothesis -> ids of the pairs that have it; the first one is the id of the hypothesis
    ids: dict[str, dict[str, list[str]]] = {language: {} for language in chosen}
    for language, by_id in pairs.items():
        for key, pair in by_id.items():
            ids[language].setdefault(pair.hypothesis, []).append(key)
    passage_of = {
        language: {key: f"{language}:{keys[0]}" for keys in texts.values() for key in keys}
        for language, texts in ids.items()
    }
    queries = {language: {keys[0]: text for text, keys in texts.items()} for language, texts in ids.items()}
    return RetrievalTask(
        name="xnli_retrieval",
        revision=f"{revision}, hypotheses 1",
        licence=LICENCE,
        note="Hypotheses translated by people from English; a hypothesis is to be found by its translation.",
        queries=queries,
        passages=with_language(queries),
        qrels={
            language: {
                keys[0]: {
                    passage_of[other][key]: 1
                    for other in chosen
                    if other != language
                    for key in keys
                    if key in passage_of[other]
                }
                for keys in texts.values()
            }
            for language, texts in ids.items()
        },
        settings=("crosslingual",),
        files={path.name: sha256(path)},
    )


@dataclass(frozen=True)
class PublicFile:
    """A file of an archive. member: its place there; per_language, languages: the published numbers of pairs.

    No checksum is published: a fetched archive must hold the file with its number of lines, the header included.
    """

    archive: str
    member: str
    per_language: int
    languages: int = 1

    def path(self, folder: Path) -> Path:
        """Where the file is. Errors are those of `published_member`."""
        url = f"https://dl.fbaipublicfiles.com/XNLI/{self.archive}"
        return published_member("xnli", folder, self.member, self.archive, url, self._differs)

    def _differs(self, path: Path) -> str | None:
        lines, published = sum(1 for _ in read_lines(path)), self.per_language * self.languages + 1
        return None if lines == published else f"{path.name} has {lines:,} lines, not {published:,}"

    def has(self, pairs: Mapping[str, Collection[str]]) -> bool:
        """Whether every language has the published number of pairs; pairs: of each language."""
        return all(len(of_language) == self.per_language for of_language in pairs.values())


DEV = PublicFile("XNLI-1.0.zip", "XNLI-1.0/xnli.dev.tsv", 2490, len(LANGUAGES))
TEST = PublicFile("XNLI-1.0.zip", "XNLI-1.0/xnli.test.tsv", 5010, len(LANGUAGES))
MULTINLI = PublicFile("XNLI-MT-1.0.zip", "XNLI-MT-1.0/multinli/multinli.train.en.tsv", 392_702)


def read_xnli(path: Path, languages: Collection[str]) -> dict[str, dict[str, SentencePair]]:
    """xnli.dev.tsv or xnli.test.tsv: language -> pair id -> pair, for these languages, as the file orders them.

    Raises DataError naming file and line for a missing column, an unknown label, a blank sentence or an id that comes
    twice, and naming the languages that the file lacks.
    """
    by_language: dict[str, dict[str, SentencePair]] = {language: {} for language in languages}
    for number, row in _rows(path, ("language", "gold_label", "sentence1", "sentence2", "pairID")):
        if (pairs := by_language.get(row["language"])) is None:
            continue
        if row["pairID"] in pairs:
            raise DataError(f"{path}:{number}: pair {row['pairID']} comes twice in {row['language']}; fetch it again.")
        pairs[row["pairID"]] = _pair(row["sentence1"], row["sentence2"], row["gold_label"], f"{path}:{number}")
    if empty := [language for language, pairs in by_language.items() if not pairs]:
        raise DataError(f"{path}: no pairs in {', '.join(empty)}. Leave the language out, or fetch the file again.")
    return by_language


def read_multinli(path: Path) -> dict[str, SentencePair]:
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
