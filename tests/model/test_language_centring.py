"""Centring by the language that a vector itself tells: worked by hand, exact where languages are far apart."""

import math

import pytest
import torch
from safetensors.torch import save_file
from sklearn.covariance import ledoit_wolf
from torch.nn import functional

from mixlingua.errors import ModelError
from mixlingua.model.language_layers import LanguageCentring, fit_language_centring


def toy(offsets: dict[str, list[float]], content: float = 0.1, count: int = 300) -> dict[str, torch.Tensor]:
    """Unit vectors of each language: its offset on the first axes, content drawn on all eight."""
    torch.manual_seed(0)
    vectors = {}
    for language, offset in offsets.items():
        rows = content * torch.randn(count, 8)
        rows[:, : len(offset)] += torch.tensor(offset)
        vectors[language] = functional.normalize(rows, dim=1)
    return vectors


FAR = {"de": [1.0, 0, 0, 0], "en": [0, 1.0, 0, 0], "ru": [0, 0, 1.0, 0], "th": [0, 0, 0, 1.0]}


def test_worked_by_hand():
    """Languages at 0 and 90 degrees, their vectors 60 degrees to either side: cosine 1/2, sine s with s^2 = 3/4.

    The means are (1/2, 0) and (0, 1/2); each language varies by s along the other's axis, so that the covariance of
    both is s^2/2 times the identity, which shrinking keeps. The logits at (1, 0) differ by
    (2/s^2) (m_a - m_b) . ((1, 0) - (1/4, 1/4)) = (8/3) (1/2) = 4/3.
    """
    s = math.sqrt(0.75)
    vectors = {"a": torch.tensor([[0.5, s], [0.5, -s]]), "b": torch.tensor([[s, 0.5], [-s, 0.5]])}
    centring = fit_language_centring(vectors)
    unit = torch.tensor([[1.0, 0.0], [math.sqrt(0.5), math.sqrt(0.5)]])
    p = 1 / (1 + math.exp(-4 / 3))
    torch.testing.assert_close(centring.posterior(unit), torch.tensor([[p, 1 - p], [0.5, 0.5]]))
    expected = unit - torch.tensor([[p / 2, (1 - p) / 2], [0.25, 0.25]])
    torch.testing.assert_close(centring(unit), expected)
    torch.testing.assert_close(centring(7 * unit), expected)  # whatever the length of what it is given


def test_the_posterior_is_that_of_normal_distributions_with_one_covariance():
    """Languages of different spread around means of different length, so that no term of the discriminant cancels."""
    vectors = toy({"de": [0.9, 0, 0.1], "en": [0.3, 0.5, 0.2], "ru": [0.1, 0.2, 0.9]}, content=0.6)
    centring = fit_language_centring(vectors)
    means = torch.stack([rows.double().mean(0) for rows in vectors.values()])
    residuals = torch.cat([rows.double() - mean for rows, mean in zip(vectors.values(), means, strict=True)])
    covariance, _ = ledoit_wolf(residuals.numpy(), assume_centered=True)
    normal = torch.distributions.MultivariateNormal(means, torch.from_numpy(covariance))
    rows = vectors["en"][:50]
    expected = normal.log_prob(rows.double()[:, None]).softmax(1)
    assert 0.05 < expected[:, 1].min() < 0.5
    torch.testing.assert_close(centring.posterior(rows), expected.float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(centring(rows), rows - (expected @ means).float(), rtol=0, atol=1e-5)
    assert centring.out_features == 8


def test_exact_where_languages_are_far_apart():
    vectors = toy(FAR)
    centring = fit_language_centring(vectors)
    for index, rows in enumerate(vectors.values()):
        torch.testing.assert_close(centring.posterior(rows)[:, index], torch.ones(300), rtol=0, atol=1e-6)
        torch.testing.assert_close(centring(rows), rows - rows.mean(0), rtol=0, atol=1e-6)
        torch.testing.assert_close(centring(rows).mean(0), torch.zeros(8), rtol=0, atol=1e-6)


def test_rows_it_was_not_fitted_to_are_told_alike():
    centring = fit_language_centring({name: rows[:200] for name, rows in toy(FAR).items()})
    for index, rows in enumerate(toy(FAR).values()):
        assert centring.posterior(rows[200:])[:, index].min() > 0.999


def test_an_unseen_language_gets_the_means_of_those_that_it_is_nearest_to():
    centring = fit_language_centring(toy(FAR))
    (between,) = toy({"el": [0.7, 0.7, 0, 0]}).values()
    shares = centring.posterior(between).mean(0)
    assert shares[:2].sum() > 0.999 and shares[:2].min() > 0.3
    (near,) = toy({"vi": [0.2, 0.9, 0.1, 0]}).values()
    assert centring.posterior(near)[:, 1].min() > 0.99
    # What is left of its own mean is what differs from that of its neighbour, which a known language has none of.
    left = centring(near).mean(0)
    torch.testing.assert_close(left, near.mean(0) - centring.means[1], rtol=0, atol=1e-3)
    assert 0.1 < left.norm() < near.mean(0).norm()


def test_languages_that_cannot_be_told_apart_share_their_means():
    torch.manual_seed(1)
    rows = functional.normalize(torch.randn(400, 8) + 2, dim=1)
    centring = fit_language_centring({"no": rows[:200], "da": rows[200:]})
    assert centring.posterior(rows).min() > 0.2
    torch.testing.assert_close(centring(rows), rows - rows.mean(0), rtol=0, atol=0.06)


def test_fewer_rows_than_components():
    few = {name: rows[:3] for name, rows in toy(FAR).items()}
    centring = fit_language_centring({name: few[name] for name in ("de", "en")})
    assert centring.posterior(few["en"])[:, 1].min() > 0.99


def test_equal_vectors_are_refused():
    with pytest.raises(ModelError, match="de en: all vectors of each language are equal"):
        fit_language_centring({"de": torch.eye(2)[:1].expand(4, 2), "en": torch.eye(2)[1:].expand(4, 2)})


def test_it_has_no_parameters_and_is_computed_in_float32_under_autocast():
    vectors = toy(FAR, content=0.4)
    centring = fit_language_centring(vectors)
    assert list(centring.parameters()) == []
    plain = centring(vectors["de"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(centring(vectors["de"]), plain)
    half = centring(vectors["de"].bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), plain, rtol=0, atol=0.05)


def test_saved_is_loaded_to_the_bit(tmp_path):
    vectors = toy(FAR)
    centring = fit_language_centring(vectors)
    centring.save(tmp_path)
    loaded = LanguageCentring.load(tmp_path, 8)
    assert loaded.languages == ("de", "en", "ru", "th")
    assert torch.equal(loaded(vectors["th"]), centring(vectors["th"]))


@pytest.mark.parametrize("fault", ["missing", "cut off", "no languages", "fewer languages", "other tensors"])
def test_what_cannot_be_read_is_refused(tmp_path, fault):
    centring, file = fit_language_centring(toy(FAR)), tmp_path / "model.safetensors"
    tensors = centring.state_dict()
    centring.save(tmp_path)
    if fault == "missing":
        file.unlink()
    elif fault == "cut off":
        file.write_bytes(file.read_bytes()[:100])
    elif fault == "other tensors":
        save_file({"means": tensors["means"]}, file, metadata={"languages": "de en ru th"})
    else:
        save_file(tensors, file, metadata=None if fault == "no languages" else {"languages": "de en"})
    with pytest.raises(ModelError, match=r"model\.safetensors: cannot be read as the means of languages"):
        LanguageCentring.load(tmp_path, 8)
