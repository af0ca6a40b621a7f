"""The card of an index: README.md in its folder says what it holds, how it was made and how it is searched."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.search.documents import UNDETERMINED, Detector
from mixlingua.search.folder import IndexFolder
from mixlingua.search.settings import IndexSettings


def write_card(folder: IndexFolder, settings: IndexSettings) -> None:
    """Write README.md beside index.json."""
    text = "\n".join(_lines(folder, settings)) + "\n"
    with atomic_write(folder.path / "README.md") as partial:
        partial.write_text(text, encoding="utf-8")


def language_line(code: str) -> str:
    """A language as the card and the terminal name it."""
    return "not determined" if code == UNDETERMINED else language_name(code)


def notes(corpus: Mapping[str, Any]) -> Iterator[str]:
    """What a reader should know of documents that were read: detected languages, and what was left out."""
    if detected := corpus["detected"]:
        yield (
            f"The language of {detected:,} of {corpus['documents']:,} documents was detected by {Detector.name}; short "
            "texts are told badly. Give it by a field, by corpus.language, or narrow it by corpus.languages."
        )
    if left_out := corpus["left_out"]:
        yield f"{left_out['empty']:,} documents without text are left out: {', '.join(left_out['examples'])}" + (
            " and others." if left_out["empty"] > len(left_out["examples"]) else "."
        )
    if passed_over := corpus.get("files_passed_over"):
        yield f"{passed_over:,} files of other kinds were passed over."


def engine_line(settings: IndexSettings, about: Mapping[str, Any]) -> str:
    """How exactly the index finds what exact search finds."""
    if settings.is_exact:
        return "Every vector is scored: the results are those of exact search."
    if recall := about.get("recall"):
        (name, value), count = next(iter(recall.items())), recall["queries"]
        return (
            f"{name.replace('_', ' ')} against exact search is {value:.3f}, over {count:,} queries that are the first "
            "sentences of random windows."
        )
    return "Recall against exact search was not measured."


def _lines(folder: IndexFolder, settings: IndexSettings) -> Iterator[str]:
    manifest, about = folder.manifest, folder.manifest.about
    documents = folder.num_documents
    deleted = int(folder.deleted.sum())
    yield "# Search index"
    yield ""
    yield f"{sum(documents.values()):,} documents in {folder.num_rows - deleted:,} windows, made by mixlingua."
    yield ""
    yield "```bash"
    yield f'python run.py action=search index={folder.path} query="..."'
    yield "```"
    yield ""
    yield "| | |"
    yield "|---|---|"
    model = manifest.model
    name, weights = model["arguments"]["name_or_path"], model["fingerprint"][:12]
    yield f"| model | `{name}`, {model['precision']}, weights {weights} |"
    yield f"| vectors | {manifest.dim} components |"
    yield f"| engine | {', '.join(_settings(settings))} |"
    yield f"| results | {engine_line(settings, about)} |"
    if settings.transforms_vectors:
        yield f"| transforms | {settings.transforms.note} |"
    if deleted:
        yield f"| deleted | {deleted:,} windows of documents that were deleted or replaced; build anew to free them |"
    yield f"| size | {_size(folder):,} bytes |"
    yield ""
    yield "| language | documents |"
    yield "|---|---:|"
    yield from (f"| {language_line(code)} (`{code}`) | {count:,} |" for code, count in documents.items())
    for corpus in about.get("corpora", ()):
        yield ""
        yield f"## From {corpus.get('path') or corpus.get('name')}"
        yield ""
        yield f"{corpus['documents']:,} documents, {corpus['windows']:,} windows, {corpus['tokens']:,} tokens."
        for name in ("licence", "revision", "added", "hardware", "processes", "encoding_seconds", "mixlingua"):
            if corpus.get(name) is not None:
                yield f"- {name.replace('_', ' ')}: {corpus[name]}"
        yield from (f"- {note}" for note in notes(corpus))


def _settings(settings: IndexSettings) -> Sequence[str]:
    """The engine's settings that are no part of every index."""
    common = {"windows", "shard_size", "recall_queries", "transforms"}
    return [f"{name} `{value}`" for name, value in settings.record().items() if name not in common]


def _size(folder: IndexFolder) -> int:
    return sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file() and os.access(file, os.R_OK))
