"""The directions in which the mean vectors of languages differ, and the layer that takes them out of every vector."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixlingua.errors import ModelError
from mixlingua.model.encoder import Dense

logger = logging.getLogger(__name__)

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
