"""Crossmodal-3600: captions of the same images in 36 languages, as text retrieval (arXiv 2205.12522)."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.evaluation.captions import NAME, read_captions
from mixlingua.evaluation.published import chosen_languages
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.evaluation.task import RetrievalTask
from mixlingua.fetch import local_or_fetched
from mixlingua.files import cache_dir

URL = "https://google.github.io/crossmodal-3600/web-data/captions.zip"
ARCHIVE = "captions.zip"
NUM_IMAGES = 3600
LANGUAGES = (
    *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja"),
    *("ko", "mi", "nl", "no", "pl", "pt", "qu", "ro", "ru", "sv", "sw", "te", "th", "tl", "tr", "uk", "vi", "zh"),
)
CODES = {language: language for language in LANGUAGES} | {"tl": "fil", "qu": "quz"}  # the file's

logger = logging.getLogger(__name__)


def xm3600(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """Crossmodal-3600: the first caption of each image asks for the other captions of that image.

    A language's pool is its captions but the first ones. So no text is its own answer, and a pool is the same whatever
    language asks: rows with one passage language compare. Captions of an image that are alike count once. They were
    written independently, not translated: answers describe the same picture, not the same sentence, and captions of
    other images may fit as well. Bengali has one caption an image: it asks, but has no pool. Maori has a second one for
    some images only, so its pool is small, and fewer images are asked of it.

    folder: where captions.jsonl, or captions.zip as published, is looked for before the cache and the network.
    languages: all 36 by default. No checksum is published: the revision is a hash of the file. A file that has not the
    published 3,600 images is used with a warning, and not kept where it was fetched. Raises DataError for a file that
    is missing and cannot be fetched, or is malformed; ConfigError for a language that the benchmark does not have.
    """
    chosen = chosen_languages("xm3600", languages, CODES, LANGUAGES)
    path = _path(Path(folder))
    captions = read_captions(path, {language: CODES[language] for language in chosen})
    if captions.num_images != NUM_IMAGES:
        logger.warning(
            "task xm3600: %s has %d images, not the published %d; scores compare with no published figure",
            path,
            captions.num_images,
            NUM_IMAGES,
        )
    passages: dict[str, dict[str, str]] = {}
    answers: dict[str, dict[str, int]] = {}
    for language, by_image in captions.texts.items():
        for image, texts in by_image.items():
            for number, text in enumerate(texts[1:], start=2):
                passage = f"{language}:{image}:{number}"
                passages.setdefault(language, {})[passage] = text
                answers.setdefault(image, {})[passage] = 1
    queries = {
        language: {image: texts[0] for image, texts in by_image.items() if image in answers}
        for language, by_image in captions.texts.items()
    }
    return RetrievalTask(
        name="xm3600",
        revision=f"sha256-{captions.digest[:16]}",
        licence="CC BY 4.0",
        note="Captions of images, written in each language for itself: relevant texts describe one picture and are no "
        "translations. No pool in Bengali, a small one in Maori.",
        queries=queries,
        passages=passages,
        qrels={language: {image: answers[image] for image in by_image} for language, by_image in queries.items()},
        settings=SETTINGS if len(chosen) > 1 else ("monolingual",),
        files={NAME: captions.digest},
        symmetric=True,
    )


def _path(folder: Path) -> Path:
    if (folder / NAME).is_file():
        return folder / NAME
    cached = cache_dir() / "xm3600" / ARCHIVE
    return local_or_fetched(ARCHIVE, needed_by="task xm3600", folder=folder, cached=cached, url=URL, verify=_verify)


def _verify(path: Path) -> None:
    found = read_captions(path, {}).num_images
    if found != NUM_IMAGES:
        raise DataError(
            f"{URL}: what was fetched has {found} images, not {NUM_IMAGES}; it was not kept. Fetch it again."
        )
