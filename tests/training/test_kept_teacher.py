"""A teacher whose vectors are kept teaches what a live one does, and reads each text once."""

import pytest
import torch

from mixlingua.data.batches import View, ViewTexts
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.distillation import Distillation
from mixlingua.training.module import RetrieverModule, Teacher

WORDS = ["alpha", "river bank", "stone", "a longer text with more words"]


def counted(teacher: Teacher, monkeypatch) -> list[int]:
    """The number of texts of each of the teacher's forward passes from now on."""
    counts: list[int] = []
    teacher._encoder.register_forward_pre_hook(lambda module, args: counts.append(len(args[0]["input_ids"])))
    return counts


def step_of(module: RetrieverModule, batch, texts: list[str]) -> tuple[float, list[torch.Tensor]]:
    tokenizer, present = module.teacher.tokenizer, torch.ones(len(texts), dtype=torch.bool)
    batch.views = {
        View.PIVOT_QUERIES: ViewTexts(tokenizer.queries(texts), present),
        View.PIVOT_PASSAGES: ViewTexts(tokenizer.passages(texts), present),
    }
    module.zero_grad()
    loss, _ = module.batch_loss(batch)
    loss.backward()
    return loss.item(), [p.grad.clone() for p in module.parameters() if p.grad is not None]


def test_kept_is_live_in_value_and_gradient_and_computed_once(own_cache, pretrained, module, make_batch, monkeypatch):
    module.loss = TotalLoss({"distillation": Distillation(weight=20)})
    batch = make_batch(0, WORDS, WORDS)
    module.teacher = Teacher(pretrained(query_prefix="query: ").load(seed=5))
    live_loss, live = step_of(module, batch, WORDS[::-1])

    for again in range(2):  # the second time as another run would, from disk
        module.teacher = Teacher(pretrained(query_prefix="query: ").load(seed=5))
        module.teacher.keep("32-true")
        counts = counted(module.teacher, monkeypatch)
        for _ in range(2):
            loss, found = step_of(module, batch, WORDS[::-1])
            assert loss == pytest.approx(live_loss, rel=2e-3)
            for kept, expected in zip(found, live, strict=True):
                torch.testing.assert_close(kept, expected, rtol=0, atol=2e-3 * max(1.0, float(expected.abs().max())))
        assert counts == ([] if again else [8])
        module.on_train_end()


def test_padding_on_the_left_is_no_part_of_a_text(own_cache, pretrained):
    """A short text beside a longer one keeps its end, and is the same text alone."""
    teacher = Teacher(pretrained().load(seed=5))
    teacher.tokenizer.tokenizer.padding_side = "left"
    live = Teacher(pretrained().load(seed=5)).encode_together([teacher.tokenizer.queries(WORDS)])[0]
    teacher.keep("32-true")
    beside = teacher.encode_together([teacher.tokenizer.queries(WORDS)])[0]
    alone = teacher.encode_together([teacher.tokenizer.queries(WORDS[:1])])[0]
    torch.testing.assert_close(beside, live, rtol=0, atol=2.0**-10)
    assert torch.equal(alone, beside[:1])


def test_a_text_of_both_sides_or_of_another_teacher_is_not_mistaken(own_cache, pretrained, module):
    def vectors(seed: int, **changes):
        teacher = Teacher(pretrained(**changes).load(seed=seed))
        teacher.keep("32-true")
        kept = teacher.encode_together([teacher.tokenizer.queries(WORDS), teacher.tokenizer.passages(WORDS)])
        teacher.flush()
        live = Teacher(pretrained(**changes).load(seed=seed))
        live = live.encode_together([live.tokenizer.queries(WORDS), live.tokenizer.passages(WORDS)])
        for one, other in zip(kept, live, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2.0**-10)
        return kept

    queries, passages = vectors(5, query_prefix="query: ")
    assert not torch.allclose(queries, passages, atol=1e-2)
    assert not torch.allclose(vectors(6, query_prefix="query: ")[0], queries, atol=1e-2)
    assert torch.equal(vectors(5, query_prefix="query: ")[0], queries)
    assert not torch.allclose(vectors(5, query_prefix="q ")[0], queries, atol=1e-3)
