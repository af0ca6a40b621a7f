"""A translation in a process of its own, slow enough to be killed between two batches.

Run by test_resume.py as: python journal_worker.py FOLDER PAUSE OUT. Writes the files to FOLDER, what it
translated to OUT.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fakes import LetterTranslator

from mixlingua.data.rows import PairRow
from mixlingua.translation.job import Job, Translation
from mixlingua.translation.texts import Pieces, SourceTexts

WORDS = ["a", "valley", "river", "that", "people", "once", "crossed", "by", "night", "and", "never", "again", "today"]


def rows() -> list[PairRow]:
    """Twelve rows, two to a passage of two sentences."""
    made = []
    for number in range(12):
        query = " ".join(WORDS[number % 5 :][: 3 + number % 7]) + f" {number}?"
        passage = f"{' '.join(WORDS[number // 2 :])}. Then {' '.join(WORDS[: 3 + number // 2])}."
        made.append(PairRow(f"row-{number}", {"en": query}, {"en": passage}, f"p{number // 2}"))
    return made


def job(folder: Path, translator: LetterTranslator, **given: object) -> Job:
    values = {"source": "en", "languages": ["de", "ru"], "num_beams": 2, "piece_tokens": 14, "max_growth": 3.0}
    settings = Translation(**{**values, "token_budget": 40, **given})
    sources = SourceTexts("en", settings.languages)
    sources.add(rows())
    pieces = Pieces(sources.texts, translator, "en", settings.piece_tokens)
    return Job(translator, settings, sources, pieces, folder)


def verdicts(made: Job) -> dict[str, object]:
    return {language: made.translate(language, lambda *progress: None)[0] for language in made.settings.languages}


if __name__ == "__main__":
    folder, pause, out = sys.argv[1:]
    translator = LetterTranslator(pause=float(pause))
    found = verdicts(job(Path(folder), translator))
    Path(out).write_text(json.dumps({"verdicts": found, "called": translator.called}))
