"""How much of a text is left when its translation is translated back."""

from collections.abc import Sequence


def chrf(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each text against its reference, from 0 to 100: the F-score, with recall counting double, of character
    n-grams of 1 to 6 (Popović 2015). A text of fewer than 6 characters cannot reach 100."""
    from torchmetrics.functional.text import chrf_score

    if not texts:
        return []
    scores = chrf_score(
        list(texts), [[reference] for reference in references], n_word_order=0, return_sentence_level_score=True
    )
    return [100 * float(score) for score in scores[1]]
