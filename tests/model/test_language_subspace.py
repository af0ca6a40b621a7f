"""The directions between language means: worked by hand, and what taking them out does and does not change."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from mixlingua.errors import ModelError
from mixlingua.model.language_layers import is_projection, language_means, language_subspace, projection
from mixlingua.model.layers import Dense

# Around (0, 0, 0.5) by (2, 0), (-1, 1) and (-1, -1): squares of 6 along the first axis and of 2 along the second.
THREE = torch.tensor([[2.0, 0.0, 0.5], [-1.0, 1.0, 0.5], [-1.0, -1.0, 0.5]], dtype=torch.float64)


def same(left, right, atol=1e-6):
    torch.testing.assert_close(left.double(), right.double(), rtol=0, atol=atol)


def test_means_are_those_of_each_language_in_order():
    vectors = {"de": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "ar": torch.tensor([[0.0, -1.0]])}
    assert language_means(vectors).tolist() == [[0.5, 0.5], [0.0, -1.0]]


def test_two_languages_differ_in_the_direction_from_one_to_the_other():
    means = torch.tensor([[0.6, 0.8, 0.0], [1.4, 0.8, 0.6]], dtype=torch.float64)  # apart by (0.8, 0, 0.6)
    weight = projection(language_subspace(means, dims=None)).linear.weight
    same(weight, torch.tensor([[0.36, 0.0, -0.48], [0.0, 1.0, 0.0], [-0.48, 0.0, 0.64]]))


@pytest.mark.parametrize(("dims", "kept"), [(1, [0.0, 1.0, 1.0]), (2, [0.0, 0.0, 1.0]), (None, [0.0, 0.0, 1.0])])
def test_the_strongest_directions_go_first(dims, kept, caplog):
    with caplog.at_level(logging.INFO):
        weight = projection(language_subspace(THREE, dims)).linear.weight
    same(weight, torch.diag(torch.tensor(kept)))
    assert ("75.0 %" if dims == 1 else "100.0 %") in caplog.text  # 6 of 6 + 2


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), num_languages=st.integers(2, 6), dims=st.integers(1, 5))
def test_a_projection(seed, num_languages, dims):
    torch.manual_seed(seed)
    means = torch.randn(num_languages, 9, dtype=torch.float64)
    dims = min(dims, num_languages - 1)
    subspace = language_subspace(means, dims)
    same(subspace.T @ subspace, torch.eye(dims))
    layer = projection(subspace)
    weight = layer.linear.weight.detach().double()
    same(weight @ weight, weight)
    same(weight, weight.T)
    same(weight.trace(), torch.tensor(9.0 - dims))
    vectors = torch.randn(5, 9)
    with torch.no_grad():
        projected = layer(vectors)
        same(projected @ subspace.float(), torch.zeros(5, dims), atol=1e-5)
        orthogonal = vectors.double() - vectors.double() @ subspace @ subspace.T
        same(layer(orthogonal.float()), orthogonal, atol=1e-5)
        # A layer without bias does the same to a vector before it is normalised and after.
        unit = functional.normalize(vectors, dim=1)
        same(functional.normalize(layer(unit), dim=1), functional.normalize(projected, dim=1), atol=1e-5)


@pytest.mark.parametrize("dims", [None, 4])
def test_language_means_are_equal_once_all_their_directions_are_out(dims):
    torch.manual_seed(0)
    unit = {name: functional.normalize(torch.randn(50, 16) + 3 * torch.randn(16), dim=1) for name in "abcde"}
    layer = projection(language_subspace(language_means(unit), dims))
    with torch.no_grad():
        means = language_means({name: layer(rows) for name, rows in unit.items()})
    same(means - means[0], torch.zeros(5, 16))
    assert means.norm(dim=1).min() > 0.1  # what they share is still there


def test_fewer_directions_than_all_leave_the_weaker_differences():
    layer = projection(language_subspace(THREE, dims=1))
    with torch.no_grad():
        same(layer(THREE.float())[:, 1], torch.tensor([0.0, 1.0, -1.0]))


def test_means_that_differ_in_fewer_directions_are_refused():
    with pytest.raises(
        ModelError, match=r"postprocess\.dims=2: the mean vectors of 2 languages differ in 1 directions"
    ):
        language_subspace(THREE[:2], dims=2)
    with pytest.raises(ModelError, match="3 languages differ in 0 directions"):
        language_subspace(THREE[:1].expand(3, 3), dims=None)
    once = THREE.float() @ projection(language_subspace(THREE, dims=1)).linear.weight.detach()
    with pytest.raises(ModelError, match="3 languages differ in 1 directions"):
        language_subspace(once.double(), dims=2)


def test_a_projection_is_known_from_other_layers_and_not_trained():
    layer = projection(language_subspace(THREE, dims=2))
    assert is_projection(layer)
    assert not layer.linear.weight.requires_grad
    size = layer.out_features

    def changed(weight=None, *, bias=False, activation=None):
        other = Dense(size, size, bias=bias, activation=activation or nn.Identity())
        with torch.no_grad():
            other.linear.weight.copy_(layer.linear.weight if weight is None else weight)
        return other

    assert is_projection(changed())
    weight = layer.linear.weight.detach()
    for other in (
        changed(bias=True),
        changed(activation=nn.Tanh()),
        changed(torch.eye(size)),
        changed(0.9 * weight),
        changed(weight + 1e-3 * torch.randn(size, size, generator=torch.Generator().manual_seed(0))),
        Dense(size, 2, bias=False, activation=nn.Identity()),
    ):
        assert not is_projection(other)
