"""Where the files of LASER's Tatoeba pairs are: in the user's folder, else in the cache, else on GitHub."""

from pathlib import Path

from mixlingua.data.published import fetched_lines, public_files
from mixlingua.files import cache_dir

COMMIT = "fec5c7d63daa2bea9d127e8252b10e87278586c0"
URL = f"https://raw.githubusercontent.com/facebookresearch/LASER/{COMMIT}/data/tatoeba/v1"


def names(language: str) -> tuple[str, str]:
    """What the file of a language, and that of its English sentences, are published as."""
    code, _ = public_files()["tatoeba"][language]
    return f"tatoeba.{code}-eng.{code}", f"tatoeba.{code}-eng.eng"


def pair_files(folder: Path, language: str, needed_by: str) -> list[Path]:
    """The paths of a language's sentences and of their English ones. Raises DataError where they cannot be had."""
    return [
        fetched_lines(
            name,
            needed_by=needed_by,
            folder=folder,
            cached=cache_dir() / "tatoeba" / COMMIT / name,
            url=f"{URL}/{name}",
            num_lines=public_files()["tatoeba"][language][1],
        )
        for name in names(language)
    ]
