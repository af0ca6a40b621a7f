"""Which further texts a choice of losses asks for, in which language, and who reads them."""

from types import SimpleNamespace

from omegaconf import OmegaConf

from mixlingua.cli.train import build_views
from mixlingua.data.batches import TeacherTexts, Variants
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.distillation import Distillation, LanguageVariants, Retention


def reader(name):
    """An encoder or teacher whose tokenizer is its name with the lengths that it was cut to."""
    return SimpleNamespace(tokenizer=SimpleNamespace(limited=lambda *lengths: (name, *lengths)))


def test_pivot_texts_and_own_texts_are_the_teachers_and_variants_the_models():
    data = {"max_query_length": 8, "max_passage_length": 16, "pivot": "fr", "languages": ["de", "fr"]}
    cfg = OmegaConf.create({"data": data, "seed": 3})
    losses = {
        "distillation": Distillation(sides="both"),
        "retention": Retention(sides="both"),
        "variants": LanguageVariants(temperature=0.02),
    }
    views = build_views(cfg, TotalLoss(losses), reader("model"), reader("teacher"))
    teacher, model = ("teacher", 8, 16), ("model", 8, 16)
    assert views == {
        "pivot_queries": TeacherTexts("query", "fr", teacher),
        "pivot_passages": TeacherTexts("passage", "fr", teacher),
        "own_queries": TeacherTexts("query", None, teacher),
        "own_passages": TeacherTexts("passage", None, teacher),
        "variant_queries": Variants("query", ("de", "fr"), model, 3, 1),
    }
    only = TotalLoss({"retention": Retention(sides="passage")})
    assert list(build_views(cfg, only, reader("model"), reader("teacher"))) == ["own_passages"]
