"""Parallel-sentence retrieval on the hypotheses of XNLI."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.errors import ConfigError
from mixlingua.evaluation.task import RetrievalTask
from mixlingua.evaluation.xnli_files import LICENCE, TEST, known_languages, release
from mixlingua.evaluation.xnli_pairs import read_xnli
from mixlingua.files import sha256


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
