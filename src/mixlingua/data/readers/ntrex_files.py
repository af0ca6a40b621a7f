"""Where NTREX-128's files are: in the user's folder, else in the cache, else on GitHub."""

from pathlib import Path

from mixlingua.data.published import fetched_archive, fetched_lines, public_files
from mixlingua.files import cache_dir

COMMIT = "c9f006f2c132c932b83ccd7aaa6a35930dd9c370"
URL = f"https://raw.githubusercontent.com/MicrosoftTranslator/NTREX/{COMMIT}/NTREX-128"
DOCUMENTS = "DOCUMENT_IDS.tsv"  # the document of each line
DOCUMENTS_URL = (
    f"https://raw.githubusercontent.com/MicrosoftTranslator/NTREX/fa9e8c9e3bb875a39b0d3f36394c54e2d0f67cc7/{DOCUMENTS}"
)
NUM_LINES = 1997


def public_name(language: str) -> str:
    """What the file of a language is published as."""
    code = public_files()["ntrex"][language]
    return "newstest2019-src.eng.txt" if language == "en" else f"newstest2019-ref.{code}.txt"


def local_name(folder: Path, language: str) -> str:
    """What a language's file is called in the user's folder: de.txt, where there is one, else as it is published."""
    return f"{language}.txt" if (folder / f"{language}.txt").is_file() else public_name(language)


def sentences_file(folder: Path, language: str, needed_by: str) -> Path:
    """The path of a language's sentences, one a line. Raises DataError where it cannot be had."""
    return fetched_lines(
        local_name(folder, language),
        needed_by=needed_by,
        folder=folder,
        cached=cache_dir() / "ntrex" / COMMIT / public_name(language),
        url=f"{URL}/{public_name(language)}",
        num_lines=NUM_LINES,
    )


def documents_file(folder: Path, needed_by: str) -> Path:
    """The path of the document ids, one for each line of sentences. Raises DataError where it cannot be had."""
    cached = cache_dir() / "ntrex" / COMMIT / DOCUMENTS
    return fetched_archive(DOCUMENTS, needed_by=needed_by, folder=folder, cached=cached, url=DOCUMENTS_URL)
