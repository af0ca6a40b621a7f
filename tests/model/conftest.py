"""A folder whose tokenizer is a unigram model."""

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mixlingua.model.local_weights import tiny_folder

# Pieces with their probabilities, as a SentencePiece unigram model has them; the special ones have none.
PIECES = {"<s>": 1.0, "<pad>": 1.0, "</s>": 1.0, "<unk>": 1.0, "\u2581the": 0.25, "\u2581mountain": 0.001, "s": 0.05}


@pytest.fixture
def unigram(tmp_path) -> Path:
    """A plain folder of the tiny transformer whose tokenizer is a unigram model of PIECES and an added token."""
    folder = shutil.copytree(tiny_folder(0), tmp_path / "unigram")
    scores = [(piece, torch.tensor(share).double().log().item()) for piece, share in PIECES.items()]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_tokens(["[new]"])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, model_max_length=64).save_pretrained(folder)
    return folder
