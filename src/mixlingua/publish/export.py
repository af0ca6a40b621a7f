"""An encoder in the formats of other programs: an ONNX graph, plain or in 8 bits, or a sentence-transformers folder.

What is written is run, and compared with the encoder, before it is there.
"""

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixlingua.data.rows import Side
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import ConfigError, ModelError, check_choice
from mixlingua.files import atomic_folder, sha256, write_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.language_layers import LanguageCentring
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.encode import encode, length_sorted_batches

FORMATS = ("onnx", "sentence_transformers")
PLAIN, INT8 = "model.onnx", "model_int8.onnx"
SETTINGS = "mixlingua.json"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
TOLERANCE = {"onnx": 1e-5, "sentence_transformers": 1e-6}  # of a component of a vector
_SINGLE_FILE = 1 << 31  # bytes of weights that fit into one ONNX file
# Texts of many lengths: the graph is exported with other ones.
_SAMPLE = [
    "a",
    "Wo liegt Kairo?",
    "Cairo lies on the Nile. " * 3,
    "القاهرة تقع على النيل. " * 40,
    "กรุงเทพ " * 12,
    "尼罗河 " * 7,
]


@dataclass(frozen=True)
class ExportSettings:
    """How a model is exported.

    int8: with to=onnx, write a second graph whose matrices are 8-bit integers, and measure on the chosen evaluation
        what that costs
    """

    int8: bool = False


def check_format(name: str) -> None:
    """Raises ConfigError for a format that is not known, or whose packages are not there."""
    check_choice("to", name, FORMATS)
    if name == "onnx":
        lacking = [each for each in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(each) is None]
        if lacking:
            raise ConfigError(f"to=onnx: needs {', '.join(lacking)}. Run: pip install {' '.join(lacking)}")


def export_sentence_transformers(encoder: BiEncoder, folder: Path) -> tuple[float, bool]:
    """Write a sentence-transformers folder and read it again, by sentence-transformers too where that is installed.

    Returns the largest difference of a component of a vector, and whether sentence-transformers was asked. Raises
    ModelError where one is above `TOLERANCE`; the folder is there then, for a look.
    """
    save_folder(encoder, folder)
    read = PretrainedEncoder(str(folder)).load(seed=0)
    sides: tuple[Side, Side] = ("query", "passage")
    ours = {side: _vectors(encoder, side) for side in sides}
    differences = [_difference(ours[side], _vectors(read, side)) for side in sides]
    asked = importlib.util.find_spec("sentence_transformers") is not None
    if asked:
        from sentence_transformers import SentenceTransformer

        # Its name for a class of mixlingua, which is here already. Nothing else of the folder is run.
        own_class = any(isinstance(layer, LanguageCentring) for layer in encoder.dense)
        nothing = {"trust_remote_code": False}
        theirs = SentenceTransformer(
            str(folder), device="cpu", trust_remote_code=own_class, model_kwargs=nothing, config_kwargs=nothing
        )
        differences.append(_difference(ours["query"], theirs.encode_query(_SAMPLE)))
        differences.append(_difference(ours["passage"], theirs.encode_document(_SAMPLE)))
    _check(max(differences), "sentence_transformers", folder)
    return max(differences), asked


def export_onnx(encoder: BiEncoder, folder: Path, *, int8: bool = False) -> float:
    """Write a folder with model.onnx, the tokenizer's files and mixlingua.json, and model_int8.onnx where asked for.

    The graph takes input_ids and attention_mask, (N, L) int64, of texts that have their prefix, and gives
    sentence_embedding, (N, D) float32 rows of length one: pooling and the layers behind it are in it. mixlingua.json
    has prefixes, lengths and the padding token. Returns the largest difference of a component of a vector to the
    encoder's. Raises ConfigError where a package is not there, ModelError where the difference is above `TOLERANCE`.
    """
    check_format("onnx")
    with atomic_folder(folder, mark=PLAIN) as partial:
        _write_graph(encoder, partial / PLAIN)
        if int8:
            _quantise(partial / PLAIN, partial / INT8)
        _write_tokenizer(encoder, partial)
        exported = OnnxEncoder(partial, encoder.tokenizer)
        # Several batch sizes and lengths, of which none is that of the export.
        difference = max(
            _difference(_vectors(encoder, side, texts), exported(texts, side))
            for side in ("query", "passage")
            for texts in (_SAMPLE[:1], _SAMPLE[2:4], _SAMPLE, _SAMPLE * 3)
        )
        _check(difference, "onnx", folder)
    return difference


class OnnxEncoder:
    """An exported graph as benchmarks take encoders: texts of a side to (N, D) vectors (`Encode`)."""

    def __init__(self, folder: Path, tokenizer: PairTokenizer, file: str = PLAIN, *, token_budget: int = 2048) -> None:
        """tokenizer: with the prefixes and lengths of the encoder that was exported."""
        import onnxruntime

        self.tokenizer, self.token_budget = tokenizer, token_budget
        self.fingerprint = sha256(folder / file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        """(N, D) float32 rows of length one."""
        distinct = list(dict.fromkeys(texts))
        ids = self.tokenizer.encode(distinct, side)
        rows: dict[str, np.ndarray] = {}
        for batch in length_sorted_batches([len(each) for each in ids], self.token_budget, padded=True):
            features = self.tokenizer.pad([ids[position] for position in batch])
            vectors = self._session.run([OUTPUT], {name: features[name].numpy() for name in INPUTS})[0]
            rows.update(zip((distinct[position] for position in batch), vectors, strict=True))
        return torch.from_numpy(np.stack([rows[text] for text in texts]))


class _Graph(nn.Module):
    """What is exported: token ids to unit vectors, with the features as arguments of their own."""

    def __init__(self, encoder: BiEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors: Tensor = self.encoder({"input_ids": input_ids, "attention_mask": attention_mask})
        return vectors


def _write_graph(encoder: BiEncoder, file: Path) -> None:
    features = encoder.tokenizer.passages(["two texts", "of different lengths, neither of them long"])
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    size = sum(tensor.nbytes for tensor in encoder.state_dict().values())
    arguments = tuple(features[name] for name in INPUTS)
    with _as_transformers_has_it(encoder), _quiet(), torch.no_grad():
        graph = _Graph(encoder).eval()
        graph(*arguments)  # the first call prepares what transformers keeps, which cannot be exported
        program = torch.export.export(graph, arguments, dynamic_shapes=dict.fromkeys(INPUTS, dynamic), strict=True)
        exported = torch.onnx.export(
            program, input_names=list(INPUTS), output_names=[OUTPUT], dynamo=True, verbose=False
        )
        assert exported is not None
        exported.save(file, external_data=size > _SINGLE_FILE)


def _quantise(source: Path, target: Path) -> None:
    """Matrices as 8-bit integers, one scale for each column; activations when they are computed.

    Source: Jacob et al. 2018 (arXiv 1712.05877), dynamically, by onnxruntime.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
        )


def _write_tokenizer(encoder: BiEncoder, folder: Path) -> None:
    tokenizer = encoder.tokenizer
    tokenizer.untouched().save_pretrained(folder)
    settings = {
        "inputs": list(INPUTS), "output": OUTPUT, "dim": encoder.embedding_dim,
        "query_prefix": tokenizer.prefix["query"], "passage_prefix": tokenizer.prefix["passage"],
        "max_query_length": tokenizer.max_length["query"], "max_passage_length": tokenizer.max_length["passage"],
        "pad_id": tokenizer.tokenizer.pad_token_id, "pad_token": tokenizer.tokenizer.pad_token,
        "pretraining": encoder.pretraining,
    }  # fmt: skip
    write_json(folder / SETTINGS, settings)


@contextmanager
def _as_transformers_has_it(encoder: BiEncoder) -> Iterator[None]:
    """Without packing: texts side by side, padded, with the attention that transformers computes by itself."""
    packed, attention = encoder.packed, encoder.transformer.config._attn_implementation
    training = encoder.training
    encoder.packed = False
    encoder.transformer.set_attn_implementation("sdpa")
    encoder.eval()
    try:
        yield
    finally:
        encoder.packed = packed
        encoder.transformer.set_attn_implementation(attention)
        encoder.train(training)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own log is about its inside; what is wrong with a graph is seen when it runs."""
    root = logging.getLogger()
    before = root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _vectors(encoder: BiEncoder, side: Side, texts: Sequence[str] = _SAMPLE) -> Tensor:
    return encode(encoder, texts, side, token_budget=2048, precision="32-true")


def _difference(one: Tensor, other: Any) -> float:
    return float((one - torch.as_tensor(other)).abs().max())


def _check(difference: float, form: str, folder: Path) -> None:
    if not difference <= TOLERANCE[form]:
        raise ModelError(
            f"to={form}: the vectors of {folder} differ from the model's by {difference:.1e} in a component, more than "
            f"{TOLERANCE[form]:.0e}. Do not use them, and report it with the model's name and the packages' versions."
        )
