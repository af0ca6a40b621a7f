"""Layers after pooling that take out of a vector what tells its language; they are fitted, not trained.

The projection takes out the directions in which the languages' mean vectors differ. Centring takes out the mean vector
of the vector's language, which it tells from the vector itself.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from mixlingua.errors import ModelError
from mixlingua.model.layers import Dense, PooledLayer

logger = logging.getLogger(__name__)

_WEIGHTS = "model.safetensors"
_ROUNDING = 1e-5  # of float32 weights, in a sum over up to some thousand of them


def language_means(vectors: Mapping[str, Tensor]) -> Tensor:
    """(L, D) float64 mean vectors of L languages, in their order; vectors: language -> (N, D) unit rows."""
    return torch.stack([rows.double().mean(0) for rows in vectors.values()])


def language_subspace(means: Tensor, dims: int | None) -> Tensor:
    """(D, r) float64 orthonormal columns: the r directions in which the languages' means differ most.

    means: (L, D) of unit vectors. dims: r; None for every direction, L - 1 where the means are in general position.
    Raises ModelError where the means differ in fewer than r directions, or not at all.

    The columns are the first left singular vectors of the means less their own mean. Once all L - 1 of them are taken
    out, the means are equal, until the vectors are normalised again. Source: the language subspace of Xie, Zhao, Yu and
    Li 2022 (LSAR, arXiv 2401.05792). They also ask that what the means share be orthogonal to it, which moves that
    along the subspace and not the subspace.
    """
    differences = means - means.mean(0)
    directions, strengths, _ = torch.linalg.svd(differences.T, full_matrices=False)
    rank = int((strengths > means.shape[1] * torch.finfo(torch.float32).eps).sum())  # below is rounding of unit vectors
    if rank < (dims or 1):
        raise ModelError(
            f"postprocess.dims={dims}: the mean vectors of {len(means)} languages differ in {rank} directions. Lower "
            "it, or choose languages whose texts differ."
        )
    kept = rank if dims is None else dims
    share = float(strengths[:kept].square().sum() / strengths.square().sum())
    logger.info("%d directions hold %.1f %% of the variance of %d language means", kept, 100 * share, len(means))
    return directions[:, :kept]


def projection(subspace: Tensor) -> Dense:
    """The layer x -> x - U U^T x, which is not trained; subspace: U, (D, r) orthonormal columns.

    It has no bias, so that the length of x makes no difference: vectors that are normalised afterwards are the same
    whether it is given them before or after a normalisation.
    """
    dim = len(subspace)
    layer = Dense(dim, dim, bias=False, activation=nn.Identity())
    with torch.no_grad():
        layer.linear.weight.copy_(torch.eye(dim, dtype=subspace.dtype) - subspace @ subspace.T)
    return layer.requires_grad_(False)


def is_projection(layer: Dense) -> bool:
    """Whether a layer is one of `projection`: without bias or activation, symmetric, and the same when done twice.

    The identity, which takes nothing out, is none.
    """
    weight = layer.linear.weight.detach().double()
    if layer.linear.bias is not None or not isinstance(layer.activation, nn.Identity) or len(weight) != len(weight.T):
        return False
    identity = torch.eye(len(weight), dtype=weight.dtype)
    same = [torch.allclose(one, weight, rtol=0, atol=_ROUNDING) for one in (weight.T, weight @ weight, identity)]
    return same == [True, True, False]


class LanguageCentring(PooledLayer):
    """x -> u - sum over languages l of p(l | u) m_l, with u = x / |x| and p the softmax of a linear function of u.

    m_l is the mean of language l's unit vectors. A vector of a language that is none of these gets the mean of those
    that it is taken for, in their proportions.
    """

    module = f"{__name__}.LanguageCentringModule"
    means: Tensor
    centre: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, languages: Sequence[str], *, means: Tensor, centre: Tensor, weight: Tensor, bias: Tensor):
        """means, weight: (L, D), a row for each language; centre: (D,), which is taken from u before weight is applied
        (the logits are differences of small numbers otherwise); bias: (L,). All become float32 buffers."""
        super().__init__()
        self.languages = tuple(languages)
        for name, tensor in {"means": means, "centre": centre, "weight": weight, "bias": bias}.items():
            self.register_buffer(name, tensor.detach().float())
        self.in_features = self.out_features = self.centre.numel()

    def posterior(self, unit: Tensor) -> Tensor:
        """unit: (N, D) rows of length one. Returns (N, L), the probability of each language; rows add up to one."""
        logits = functional.linear(unit - self.centre.float(), self.weight.float(), self.bias.float())
        return functional.softmax(logits, dim=-1)

    def forward(self, pooled: Tensor) -> Tensor:
        """pooled: (N, D) of any length. Returns (N, D), not normalised; computed in float32 also under autocast."""
        with torch.autocast(pooled.device.type, enabled=False):
            unit = functional.normalize(pooled.float(), dim=-1)
            return (unit - self.posterior(unit) @ self.means.float()).to(pooled.dtype)

    def extra_repr(self) -> str:
        return " ".join(self.languages)

    def save(self, folder: Path) -> None:
        """Write model.safetensors, with the languages in its metadata, into an existing folder."""
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / _WEIGHTS, metadata={"languages": " ".join(self.languages)})

    @classmethod
    def load(cls, folder: Path, width: int) -> Self:
        """Read what `save` wrote. Raises ModelError where it is missing or damaged."""
        file = folder / _WEIGHTS
        try:
            with safe_open(file, framework="pt") as stored:
                languages = (stored.metadata() or {})["languages"].split()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            centring = cls(languages, **tensors)
            shapes = [tuple(tensor.shape) for tensor in (centring.means, centring.weight, centring.bias)]
            if shapes != [(len(languages), len(centring.centre))] * 2 + [(len(languages),)]:
                raise ValueError(f"tensors of {shapes} for {len(languages)} languages")
            return centring
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{file}: cannot be read as the means of languages ({error}). Copy the model folder again."
            ) from error


class LanguageCentringModule(nn.Module):
    """A LanguageCentring as a module of sentence-transformers, which imports this class by the name in modules.json.

    It needs mixlingua installed and trust_remote_code=True there, as every class from outside that library.
    """

    def __init__(self, centring: LanguageCentring) -> None:
        super().__init__()
        self.centring = centring

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Centre features["sentence_embedding"], (N, D)."""
        features["sentence_embedding"] = self.centring(features["sentence_embedding"])
        return features

    def save(self, output_path: str) -> None:
        self.centring.save(Path(output_path))

    @classmethod
    def load(cls, input_path: str) -> Self:
        """The one argument is what every version of sentence-transformers can give: the module's own folder."""
        return cls(LanguageCentring.load(Path(input_path), 0))


def fit_language_centring(vectors: Mapping[str, Tensor]) -> LanguageCentring:
    """Means of languages, and the classifier that tells them apart: linear discriminant analysis with equal priors.

    vectors: language -> (N, D) unit rows, of two languages or more. Raises ModelError where all vectors of each
    language are equal.
    Source: centring of Libovický, Rosa and Fraser 2020 (arXiv 2004.05160), section 3, there with known languages;
    discriminants of Hastie, Tibshirani and Friedman 2009, section 4.3, with the covariance of Ledoit and Wolf 2004.
    """
    from sklearn.covariance import ledoit_wolf

    means = language_means(vectors)
    residuals = torch.cat([rows.double() - mean for rows, mean in zip(vectors.values(), means, strict=True)])
    if not residuals.any():
        raise ModelError(f"{' '.join(vectors)}: all vectors of each language are equal; nothing can be told from them.")
    centre = means.mean(0)
    covariance = torch.from_numpy(ledoit_wolf(residuals.numpy(), assume_centered=True)[0])  # invertible for few rows
    weight = torch.linalg.solve(covariance, (means - centre).T).T
    bias = -0.5 * ((means - centre) * weight).sum(1)
    return LanguageCentring(list(vectors), means=means, centre=centre, weight=weight, bias=bias)
