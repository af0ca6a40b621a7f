"""How much of a text is left when its translation is translated back."""

from collections import Counter
from statistics import mean

_ORDERS = range(1, 7)
_BETA = 2  # recall counts that many times as much as precision


def chrf(text: str, reference: str) -> float:
    """chrF of a text against its reference, from 0 to 100: F-score of character n-grams of 1 to 6, without spaces.

    Precision and recall are averaged over the orders of which both texts have n-grams; 0 where there are none.
    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", eq. 1, with beta 2. As written
    there, not as an average of the F-scores of each order.
    """
    precisions, recalls = [], []
    for order in _ORDERS:
        found, expected = _ngrams(text, order), _ngrams(reference, order)
        if found and expected:
            matching = (found & expected).total()
            precisions.append(matching / found.total())
            recalls.append(matching / expected.total())
    if not any(precisions):
        return 0.0
    precision, recall = mean(precisions), mean(recalls)
    return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    text = "".join(text.split())
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
