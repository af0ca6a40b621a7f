"""From the configuration to what a step learns by: the losses, the further texts that they need, the teacher."""

from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.data.views import (
    OWN_PASSAGES,
    OWN_QUERIES,
    PIVOT_PASSAGES,
    PIVOT_QUERIES,
    SIDES,
    TEACHER_VIEWS,
    VARIANT_PASSAGES,
    VARIANT_QUERIES,
    TeacherTexts,
    Variants,
    ViewMaker,
)
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.losses.total import TotalLoss
from mixlingua.model.teacher import Teacher


def build_loss(cfg: DictConfig) -> TotalLoss:
    """The weighted sum of the chosen losses. Raises ConfigError where none is chosen."""
    return TotalLoss({name: instantiate(loss) for name, loss in cfg.loss.items()})


def build_teacher(cfg: DictConfig, loss: TotalLoss, encoder: BiEncoder) -> Teacher | None:
    """The configured teacher, or else the encoder as it is now; None where no loss asks for one."""
    if not set(TEACHER_VIEWS) & set(loss.views):
        return None
    if cfg.teacher is None:
        return Teacher.copy_of(encoder)
    return Teacher(instantiate(cfg.teacher).load(cfg.seed))


def build_views(cfg: DictConfig, loss: TotalLoss, encoder: BiEncoder, teacher: Teacher | None) -> dict[str, ViewMaker]:
    """How to make each of the further texts that the losses need, cut at the training lengths."""
    lengths = cfg.data.max_query_length, cfg.data.max_passage_length
    views: dict[str, ViewMaker] = {}
    if teacher is not None:
        tokenizer = teacher.tokenizer.limited(*lengths)
        for name in (PIVOT_QUERIES, PIVOT_PASSAGES):
            views[name] = TeacherTexts(SIDES[name], cfg.data.pivot, tokenizer)
        for name in (OWN_QUERIES, OWN_PASSAGES):
            views[name] = TeacherTexts(SIDES[name], None, tokenizer)
    own, languages = encoder.tokenizer.limited(*lengths), tuple(cfg.data.languages)
    for name in (VARIANT_QUERIES, VARIANT_PASSAGES):
        if name in loss.views:
            views[name] = Variants(SIDES[name], languages, own, cfg.seed, loss.views[name])
    return {name: views[name] for name in loss.views}
