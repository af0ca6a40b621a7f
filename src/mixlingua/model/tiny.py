"""A few thousand random weights behind a real tokenizer: for tests, and for trying a configuration in seconds."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mixlingua.files import atomic_folder, cache_dir, lock

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_VERSION = 1


def tiny_folder(seed: int) -> Path:
    """A Hugging Face folder: a byte-level tokenizer and a two-layer BERT of width 32 with weights drawn from seed."""
    target = cache_dir() / "weights" / f"tiny-{_VERSION}-{seed}"
    if not target.exists():
        with lock(target):
            if not target.exists():  # another process may have made it meanwhile
                _create(target, seed)
    return target


def _create(target: Path, seed: int) -> None:
    tokenizer = _byte_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=512, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
    with atomic_folder(target) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = _SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=512,
    )  # fmt: skip
