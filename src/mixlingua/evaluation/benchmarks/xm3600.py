"""Crossmodal-3600: captions of the same images in 36 languages, as text retrieval (arXiv 2205.12522)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import chosen_languages, published_member, settings_of, warn_of_others
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import sha256
from mixlingua.reading import parse_json, read_lines

URL = "https://google.github.io/crossmodal-3600/web-data/captions.zip"
NAME = "captions.jsonl"
NUM_IMAGES = 3600
LANGUAGES = (
    *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja"),
    *("ko", "mi", "nl", "no", "pl", "pt", "qu", "ro", "ru", "sv", "sw", "te", "th", "tl", "tr", "uk", "vi", "zh"),
)
CODES = {language: language for language in LANGUAGES} | {"tl": "fil", "qu": "quz"}  # the file's


def xm3600(folder: str | Path, languages: Sequence[str] | None = None) -> RetrievalTask:
    """Crossmodal-3600: the first caption of each image asks for the other captions of that image.

    A language's pool is its captions but the first ones. So no text is its own answer, and a pool is the same whatever
    language asks: rows with one passage language compare. Captions of an image that are alike count once. They were
    written independently, not translated: answers describe the same picture, not the same sentence, and captions of
    other images may fit as well. Bengali has one caption an image: it asks, but has no pool. Maori has a second one for
    some images only, so its pool is small, and fewer images are asked of it.

    folder: where captions.jsonl, or captions.zip as published, is looked for before the cache and the network
    languages: a list such as [de, en]; null: all 36, 261,375 captions

    No checksum is published: the revision is a hash of the file. A file that has not the published 3,600 images is used
    with a warning, and not kept where it was fetched.
    Raises DataError for a file that is missing and cannot be fetched, or is malformed; ConfigError for a language that
    the benchmark does not have.
    """
    chosen = chosen_languages("xm3600", languages, CODES)
    path = published_member(
        "xm3600", Path(folder), NAME, "captions.zip", URL, lambda path: read_captions(path, {}).difference
    )
    captions, digest = read_captions(path, {language: CODES[language] for language in chosen}), sha256(path)
    if captions.difference:
        warn_of_others("xm3600", f"{path}: {captions.difference}")
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
        revision=f"sha256-{digest[:16]}",
        licence="CC BY 4.0",
        note="Captions of images, written in each language for itself: relevant texts describe one picture and are no "
        "translations. No pool in Bengali, a small one in Maori.",
        queries=queries,
        passages=passages,
        qrels={language: {image: answers[image] for image in by_image} for language, by_image in queries.items()},
        settings=settings_of(chosen),
        files={NAME: digest},
        symmetric=True,
    )


@dataclass(frozen=True)
class Captions:
    """texts: language -> image -> its captions in that language, each once, in the file's order; an image without a
    caption is not there."""

    texts: Mapping[str, Mapping[str, list[str]]]
    num_images: int

    @property
    def difference(self) -> str | None:
        """What tells the file from the published one."""
        return None if self.num_images == NUM_IMAGES else f"it has {self.num_images} images, not {NUM_IMAGES}"


def read_captions(path: Path, codes: Mapping[str, str]) -> Captions:
    """Read the captions in some languages: codes is language -> what the file calls it.

    Every line is {"image/key": KEY, CODE: {"caption": [TEXT, ...], ...}, ...}; other fields are ignored.
    Raises DataError naming file and line for what is not of this form, or an image that comes twice.
    """
    texts: dict[str, dict[str, list[str]]] = {language: {} for language in codes}
    images: set[str] = set()
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        entry = parse_json(line, where)
        image = entry.get("image/key") if isinstance(entry, dict) else None
        if not isinstance(image, str) or not image:
            raise DataError(f'{where}: no "image/key"; not the format of Crossmodal-3600.')
        if image in images:
            raise DataError(f"{where}: image '{image}' comes twice. Fetch the file again.")
        images.add(image)
        for language, code in codes.items():
            if captions := _captions(entry.get(code), f"{where}: {code} of image '{image}'"):
                texts[language][image] = captions
    return Captions(texts, len(images))


def _captions(entry: Any, where: str) -> list[str]:
    if entry is None:
        return []
    captions = entry.get("caption") if isinstance(entry, dict) else None
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise DataError(f'{where}: "caption" is no list of texts; not the format of Crossmodal-3600.')
    return list(dict.fromkeys(text.strip() for text in captions if text.strip()))
