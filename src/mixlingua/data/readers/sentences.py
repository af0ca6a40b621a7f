"""A simple sentence splitter by punctuation, for files that come without sentence boundaries."""

import re

# Full stops that need a following space, and those of scripts that write without one.
_SPACED = ".!?…؟۔।॥"
_UNSPACED = "。！？｡๚๛"
_CLOSING = "\"'”’»)]）」』】〉》"
_END = re.compile(
    rf"[{re.escape(_UNSPACED)}]+[{re.escape(_CLOSING)}]*\s*"
    rf"|[{re.escape(_SPACED)}]+[{re.escape(_CLOSING)}]*\s+(?=\S)"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each sentence, in order, without surrounding space; none is empty.

    A sentence ends after . ! ? … ؟ ۔ । ॥ (with closing quotes and brackets) where space and no lower-case letter
    follows, and after 。 ！ ？ ｡ ๚ ๛ anywhere. Abbreviations before a capital letter therefore end a sentence, and
    Thai, which marks sentences with spaces alone, is split only where it uses one of these signs.
    """
    cuts = [match.end() for match in _END.finditer(text) if not text[match.end() : match.end() + 1].islower()]
    spans = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        piece = text[start:end]
        if piece.strip():
            left = start + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(piece.strip())))
    return spans
