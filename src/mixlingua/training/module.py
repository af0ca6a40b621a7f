"""One training step: encode the texts of a batch, gather the embeddings of all processes, compute the loss."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from mixlingua import distributed
from mixlingua.data.batches import TrainBatch, View
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import ConfigError, TrainingError
from mixlingua.losses.base import StepInputs, TokenVectors, TotalLoss, ViewVectors
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.lora import adapter_alpha
from mixlingua.retrieval.kept_vectors import KeptVectors, folder_of
from mixlingua.training.optimizer import AdamW


class Teacher:
    """Vectors of texts, without gradient and without dropout.

    Not a module: it is no part of what is trained, saved or compared on resuming. Its encoder moves to the device of
    the texts. kept: where its vectors of whole texts are kept, so that each text is read once; None: nowhere, they are
    computed in every step.
    """

    def __init__(self, encoder: BiEncoder, kept: KeptVectors | None = None) -> None:
        self._encoder = encoder.eval()
        self._kept = kept

    @classmethod
    def copy_of(cls, encoder: BiEncoder) -> Self:
        """The model as it is now: it will learn from what it was before training."""
        return cls(deepcopy(encoder))

    def keep(self, precision: str) -> None:
        """Keep vectors in the cache from now on. precision: that of training, in which they are computed."""
        self._kept = KeptVectors(folder_of(self.fingerprint, precision, self._encoder.embedding_dim))

    @cached_property
    def fingerprint(self) -> str:
        """That of its encoder, whose weights stay as they are: it is computed once."""
        return self._encoder.fingerprint()

    def flush(self) -> None:
        """Write the vectors that are to be kept and are not on disk yet."""
        if self._kept is not None:
            self._kept.flush()

    @property
    def tokenizer(self) -> PairTokenizer:
        """How its texts are tokenised."""
        return self._encoder.tokenizer

    @torch.no_grad()
    def encode_together(self, batches: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """batches: input_ids and attention_mask, (N, L) int64. Returns (N, T) float32 unit rows of each.

        Kept vectors are rounded to float16, also where they are computed for the first time.
        """
        if self._kept is None:
            return self._beside(batches[0]).encode_together(batches)
        device = batches[0]["input_ids"].device
        ids = [tokens for batch in batches for tokens in _token_ids(batch)]

        def encode(missing: list[int]) -> Tensor:
            encoder = self._beside(batches[0])
            features = encoder.tokenizer.pad([ids[position] for position in missing])
            return encoder({name: tensor.to(device) for name, tensor in features.items()})

        vectors = self._kept.complete(ids, self._encoder.embedding_dim, encode)
        return list(vectors.to(device).split([len(batch["input_ids"]) for batch in batches]))

    @torch.no_grad()
    def with_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The unit rows of one batch, and the state of each token that is pooled, (N, L, H) float32 unit rows."""
        return self._beside(features).with_tokens(features)

    def _beside(self, features: dict[str, Tensor]) -> BiEncoder:
        device = features["input_ids"].device
        if self._encoder.device != device:
            self._encoder.to(device)
        return self._encoder


def _token_ids(features: dict[str, Tensor]) -> list[list[int]]:
    """The ids of each text, without the padding on either side."""
    texts = zip(features["input_ids"], features["attention_mask"].bool(), strict=True)
    return [ids[mask].tolist() for ids, mask in texts]


class RetrieverModule(pl.LightningModule):
    """Trains a bi-encoder on pair batches, with in-batch negatives from all devices.

    teacher: reads the teacher views; None where no loss asks for one.
    """

    def __init__(self, encoder: BiEncoder, loss: TotalLoss, optimizer: AdamW, teacher: Teacher | None = None) -> None:
        """Raises ConfigError where the losses read token vectors only, and the encoder has weights after these."""
        super().__init__()
        if not loss.trains_texts and (len(encoder.dense) or encoder.pooling == "pooler"):
            raise ConfigError(
                f"loss=[{','.join(loss.losses)}]: it trains the vectors of tokens, and this model has layers after "
                "them that would stay as they are. Add a loss of whole texts, such as loss=[infonce,transport]."
            )
        self.encoder = encoder
        self.loss = loss
        self.optimizer = optimizer
        self.teacher = teacher
        self._unsharded: list[BiEncoder] = []  # of trainer=fsdp: what the weights are put together in
        # The batches since the last optimiser step, each with its loss and the parts of that by name.
        self._unchecked: list[tuple[TrainBatch, dict[str, Tensor]]] = []

    def configure_model(self) -> None:
        """Under trainer=fsdp: share the encoder's weights among the processes, layer by layer."""
        if self.device_mesh is None or self._unsharded:
            return
        self._unsharded.append(deepcopy(self.encoder))
        layers = next(part for part in self.encoder.transformer.modules() if isinstance(part, nn.ModuleList))
        mesh = self.device_mesh["data_parallel"]
        distributed.shard(self.encoder, layers, mesh, ("encode_together", "with_tokens"))

    def whole_encoder(self) -> BiEncoder:
        """The encoder with all of its weights: a copy where they are shared, which every rank must ask for."""
        if not self._unsharded:
            return self.encoder
        (copy,) = self._unsharded
        copy.load_state_dict(distributed.whole_state(self.encoder))
        return copy.to(self.device).train(self.encoder.training)

    def end_sharding(self) -> None:
        """Put the whole encoder in the place of the shared one, for good; nothing is trained after this."""
        self.encoder = self.whole_encoder()
        self._unsharded.clear()

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """The loss of one batch, a scalar in nats; `configure_gradient_clipping` checks and logs it."""
        loss, loss_values = self.batch_loss(batch)
        parts = loss_values if len(loss_values) > 1 else {}
        means = {name: distributed.mean_over_processes(value) for name, value in {"loss": loss, **parts}.items()}
        self._unchecked.append((batch, means))
        return loss

    def on_train_end(self) -> None:
        """Write the teacher's vectors that are not on disk yet."""
        if self.teacher is not None:
            self.teacher.flush()

    def validation_step(self, batch: TrainBatch, batch_idx: int) -> None:
        """Logs the loss of one held-out batch, averaged over devices, as validation/loss."""
        loss, _ = self.batch_loss(batch)
        self.log("validation/loss", distributed.mean_over_processes(loss), prog_bar=True, batch_size=1)

    def batch_loss(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and each of them before its weight."""
        vectors, tokens = self._encoded(batch)
        views = {view: ViewVectors(vectors[view], texts.present) for view, texts in batch.views.items()}
        queries, passages = vectors[View.QUERIES], vectors[View.PASSAGES]
        step = gathered_step(queries, passages, batch.query_keys, batch.passage_keys, views, tokens, batch.scores)
        # Scores in bfloat16 would have a grid of .004, which a low temperature makes a quarter of a nat.
        with torch.autocast(self.device.type, enabled=False):
            total, loss_values = self.loss(step)
            return total, loss_values

    def _encoded(self, batch: TrainBatch) -> tuple[dict[View, Tensor], dict[View, TokenVectors]]:
        """The embeddings of all views of the batch, and of the tokens of those whose tokens a loss asks for."""
        features = {View.QUERIES: batch.queries, View.PASSAGES: batch.passages}
        features |= {view: texts.features for view, texts in batch.views.items()}
        vectors: dict[View, Tensor] = {}
        tokens: dict[View, TokenVectors] = {}
        for encoder in (self.encoder, self.teacher):
            views = [view for view in features if view.read_by_teacher == (encoder is self.teacher)]
            if encoder is None or not views:
                continue
            together = [view for view in views if view not in self.loss.token_views]
            if together:
                vectors |= zip(together, encoder.encode_together([features[view] for view in together]), strict=True)
            for view in self.loss.token_views & set(views):
                vectors[view], states = encoder.with_tokens(features[view])
                tokens[view] = TokenVectors(states, encoder.tokenizer.content(features[view], view.side))
        return vectors, tokens

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Checks and clips the gradient. Raises TrainingError before anything not finite can reach the weights.

        float16 may have gradients that are not finite: its loss scaling meets them by design and skips their step.
        """
        trained = [parameter for parameter in self.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        self._check_and_log(distributed.whole(norm))
        self._log("learning_rate", torch.tensor(float(max(group["lr"] for group in optimizer.param_groups))))
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(trained, gradient_clip_val, norm)

    def _check_and_log(self, gradient_norm: Tensor) -> None:
        """Waits for the device once in an optimiser step: for the norm and the losses of all its batches together.

        Their means are logged from the CPU, so that neither a logger nor the progress bar waits for the device again.
        """
        unchecked, self._unchecked = self._unchecked, []
        losses = [value.float() for _, values in unchecked for value in values.values()]
        norm, *losses = torch.stack([gradient_norm.float(), *losses]).cpu()
        values = torch.stack(losses).view(len(unchecked), -1)  # of each batch, the loss and its parts
        for (batch, _), loss in zip(unchecked, values[:, 0], strict=True):
            if not loss.isfinite():
                raise TrainingError(self._not_finite("the loss", loss, batch))
        if self.trainer.precision != "16-mixed" and not norm.isfinite():
            raise TrainingError(self._not_finite("the gradient norm", norm, unchecked[-1][0]))
        for name, mean in zip(unchecked[0][1], values.mean(0), strict=True):
            self._log(name, mean, prog_bar=name == "loss")
        kinds = [batch.kind for batch, _ in unchecked]
        for kind in sorted(set(kinds)):
            self._log(f"loss_{kind}", values[[other == kind for other in kinds], 0].mean())
        self._log("monolingual", torch.tensor(kinds.count("monolingual") / len(kinds)))
        self._log("gradient_norm", norm)
        if self.loss.temperature is not None:
            self._log("temperature", torch.tensor(self.loss.temperature))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what losses remember, and the settings that go on whatever is configured; `check_resumable` compares."""
        checkpoint["remembered"] = self.loss.remembered()
        checkpoint["settings"] = self.lasting_settings()

    def lasting_settings(self) -> dict[str, float | str | None]:
        """By key, the settings that the state of the optimiser and the weights of adapters hold or depend on.

        teacher: its fingerprint, as that is no part of the state either; None where there is no teacher.
        """
        keys = ("lr", "weight_decay", "layer_decay")
        return {f"optimizer.{key}": getattr(self.optimizer, key) for key in keys} | {
            "adapter.alpha": adapter_alpha(self.encoder),
            "teacher": self.teacher.fingerprint if self.teacher is not None else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The losses remember what they did."""
        self.loss.remember(checkpoint["remembered"])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule over trainer.max_steps."""
        # The loss scaling of float16 cannot clip before a fused step, which would unscale the gradients itself.
        fused = self.device.type in ("cpu", "cuda") and self.trainer.precision != "16-mixed"
        return self.optimizer.configure(self, self.trainer.max_steps, fused=fused)

    def _log(self, name: str, value: Tensor, *, prog_bar: bool = False) -> None:
        self.log(f"train/{name}", value, prog_bar=prog_bar, batch_size=1)

    def _not_finite(self, what: str, value: Tensor, batch: TrainBatch) -> str:
        return (
            f"Step {self.trainer.global_step}: {what} is {value.item()} at {_describe(batch)}. Training stopped; "
            "checkpoints/last.ckpt, where one was written, holds the state before. Lower optimizer.lr, raise "
            "optimizer.warmup_steps or model.temperature, or look at that batch's texts."
        )


def gathered_step(
    queries: Tensor,
    passages: Tensor,
    query_keys: Tensor,
    passage_keys: Tensor,
    views: Mapping[View, ViewVectors],
    tokens: Mapping[View, TokenVectors],
    scores: Tensor | None = None,
) -> StepInputs:
    """Gather embeddings with gradient, keys without. Every rank must call this, with equal numbers of rows.

    queries: (Q, D), passages: (P, D) unit rows; the first Q passages are the queries' positives. Keys: (., K) int64.
    views: further embeddings of the Q rows. tokens: not gathered, since losses compare them row by row. scores: of a
    teacher, (Q, 1 + N), on every rank or on none.
    """
    rows = torch.arange(len(queries), device=queries.device)
    return StepInputs(
        queries,
        passages,
        all_queries=distributed.all_gather_with_grad(queries),
        all_passages=distributed.all_gather_with_grad(passages),
        query_rows=rows + distributed.rank() * len(queries),
        positives=rows + distributed.rank() * len(passages),
        query_keys=query_keys,
        all_query_keys=distributed.all_gather(query_keys),
        all_passage_keys=distributed.all_gather(passage_keys),
        views=views,
        all_views={
            view: ViewVectors(
                distributed.all_gather_with_grad(local.vectors), distributed.all_gather(local.present.long()).bool()
            )
            for view, local in views.items()
        },
        tokens=tokens,
        scores=scores,
        all_scores=None if scores is None else distributed.all_gather(scores),
    )


def _describe(batch: TrainBatch) -> str:
    pairs = sorted({f"{q}->{p}" for q, p in zip(batch.query_languages, batch.passage_languages, strict=True)})
    return f"batch {batch.index} ({batch.kind}, source {batch.source}, languages {', '.join(pairs)})"
