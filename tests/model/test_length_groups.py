"""Texts of like length are encoded together: the same vectors and gradients from fewer tokens."""

import pytest
import torch

from mixlingua.model.encoder import GROUP, length_groups


def batch(lengths, width=None):
    """Texts of these lengths, padded on the right with id 1."""
    width = width or max(lengths)
    mask = (torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 40, mask.shape, generator=torch.Generator().manual_seed(0)) * mask + (1 - mask)
    return {"input_ids": ids, "attention_mask": mask}


def test_every_text_is_in_one_group_whole_and_without_the_padding_of_longer_ones():
    features = batch([3 + number % 7 * 4 for number in range(40)])
    groups = length_groups(features)
    assert [len(rows) for rows, _ in groups] == [16, 16, 8]
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(40))
    for rows, part in groups:
        lengths = features["attention_mask"][rows].sum(1)
        assert part["input_ids"].shape == part["attention_mask"].shape == (len(rows), int(lengths.max()))
        for name, tensor in part.items():
            assert torch.equal(tensor, features[name][rows][:, : tensor.shape[1]])
    widths = [part["input_ids"].shape[1] for _, part in groups]
    assert widths == sorted(widths) and widths[0] < widths[-1] == 27


@pytest.mark.parametrize("lengths", [[9] * 60, [9] * 59 + [10], [3, 9] * (GROUP // 2)])
def test_a_batch_with_little_to_save_stays_as_it_is(lengths):
    features = batch(lengths)
    [(rows, part)] = length_groups(features)
    assert part is features and rows.tolist() == list(range(len(lengths)))


def test_columns_that_pad_every_text_go_too():
    assert max(part["input_ids"].shape[1] for _, part in length_groups(batch([4] * 20, width=30))) == 4


def test_vectors_and_gradients_are_those_of_the_whole_batch(module, monkeypatch):
    features = batch([3 + number * 5 % 23 for number in range(50)])
    weights = torch.rand(50, module.encoder.embedding_dim, generator=torch.Generator().manual_seed(1))
    tokens, found = [], []
    transformer = module.encoder.transformer
    transformer.register_forward_pre_hook(
        lambda _, args, given: tokens.append(given["input_ids"].numel()), with_kwargs=True
    )
    for group in (GROUP, 50):
        monkeypatch.setattr("mixlingua.model.encoder.GROUP", group)
        module.zero_grad()
        tokens.clear()
        vectors = module.encoder(features)
        (vectors * weights).sum().backward()
        gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
        found.append((sum(tokens), vectors.detach(), gradients))
    (fewer, vectors, gradients), (whole, expected, others) = found
    assert fewer < 0.75 * whole == 0.75 * 50 * 25
    torch.testing.assert_close(vectors, expected, atol=1e-6, rtol=0)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], atol=1e-5, rtol=1e-4)
