"""A cache for all tests of models, and sentence-transformers as the measure of vectors."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

TEXTS = ("Wie hoch ist der Berg?", "", "ประเทศไทยมีประชากรเท่าไร", "a", "truncated " * 200)


@pytest.fixture(autouse=True)
def cache(session_cache, monkeypatch) -> Path:
    """Weights made by a test stay out of the user's cache."""
    monkeypatch.setenv("MIXLINGUA_CACHE", str(session_cache))
    return session_cache


@pytest.fixture(scope="session")
def vectors() -> Callable[..., list[torch.Tensor]]:
    """An encoder's vectors of texts as queries and as passages."""

    @torch.inference_mode()
    def encode(encoder, texts=TEXTS) -> list[torch.Tensor]:
        return [encoder(encoder.tokenizer.queries(texts)), encoder(encoder.tokenizer.passages(texts))]

    return encode


@pytest.fixture(scope="session")
def assert_same_vectors(vectors) -> Callable[..., None]:
    """Queries and passages have the vectors that sentence-transformers makes from the folder, or a model of its own."""

    def check(encoder, reference: Path | SentenceTransformer, texts=TEXTS, atol=1e-6, **options) -> None:
        if isinstance(reference, Path):
            reference = SentenceTransformer(str(reference), device="cpu", **options)
        theirs = [reference.encode_query(list(texts)), reference.encode_document(list(texts))]
        for mine, other in zip(vectors(encoder, texts), theirs, strict=True):
            torch.testing.assert_close(mine, torch.from_numpy(other), rtol=0, atol=atol)

    return check
