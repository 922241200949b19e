"""One step of a training: views, losses, gradients over all ranks, and the move of the weights.

Every random number of a step is keyed by (seed, step), of dropout by (seed, step, rank) too; none is carried
along. Shapes: B clips, S seen classes, N labels a clip in matching.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from zsar_lab.data.loader import Batch, training_view
from zsar_lab.models.losses import alignment_loss, classification_loss, hard_labels, matching_loss
from zsar_lab.models.rest import LabelCode, ResT
from zsar_lab.train.averaging import Average
from zsar_lab.train.checks import check_finite, smaller_batch
from zsar_lab.train.compiling import in_full_precision, mixed_precision
from zsar_lab.train.optimisers import learning_rate
from zsar_lab.train.presets import TrainConfig
from zsar_lab.train.ranks import Ranks
from zsar_lab.train.text_tail import KeptTexts, TextInputs, TextTail


def training_losses(
    model: ResT,
    view_BTKHW: Tensor,
    target_B: Tensor,
    labels: LabelCode,
    config: TrainConfig,
    uniform_BS: Tensor | None,
) -> dict[str, Tensor]:
    """The weighted losses of a batch by name; those of weight 0 are not computed. Their sum is what is minimised.

    Args:
        model: in training.
        view_BTKHW: of the clips.
        target_B: the seen class of each.
        labels: the codes of all seen classes.
        config: weights and temperatures.
        uniform_BS: random numbers in 0..1 that choose the labels of matching; None where its weight is 0.
    """
    code = model.encode_video(view_BTKHW)
    losses: dict[str, Tensor] = {}
    with in_full_precision(view_BTKHW.device):
        if config.classification_weight:
            logits_BS = model.seen_logits(code.embedding_BD, config.temperature)
            losses["classification"] = config.classification_weight * classification_loss(
                logits_BS, target_B, config.label_smoothing
            )
        if config.alignment_weight:
            loss = alignment_loss(code.embedding_BD, labels.embedding_CD, target_B, model.log_temperature)
            losses["alignment"] = config.alignment_weight * loss
        if config.matching_weight:
            chosen_BN = hard_labels(
                code.embedding_BD, labels.embedding_CD, target_B, config.n_match_labels, uniform_BS
            )
    if config.matching_weight:
        tokens = code.tokens_BPD.repeat_interleave(config.n_match_labels, 0)
        logits_BN = model.match(tokens, labels.tokens_CLD[chosen_BN.flatten()]).view(chosen_BN.shape)
        losses["matching"] = config.matching_weight * matching_loss(logits_BN)
    return losses


class StepLosses(nn.Module):
    """Class texts and clips to losses in one call, for gradients to be exchanged between ranks after it."""

    def __init__(
        self, model: ResT, tail: TextTail | None, begun: TextInputs | KeptTexts, config: TrainConfig
    ) -> None:
        super().__init__()
        self.model, self.tail, self.begun, self.config = model, tail, begun, config
        self.text = nn.ParameterList(tail.trained.values() if tail else ())

    def forward(self, view_BTKHW: Tensor, target_B: Tensor, uniform_BS: Tensor | None) -> dict[str, Tensor]:
        with mixed_precision(view_BTKHW.device):
            labels = self.model.encode_labels(*end_text(self.tail, self.begun, self.config))
            return training_losses(self.model, view_BTKHW, target_B, labels, self.config, uniform_BS)


def end_text(tail: TextTail | None, begun: TextInputs | KeptTexts, config: TrainConfig) -> TextInputs:
    """Class texts as they are read now: through the trained layers of the text encoder, if there are."""
    return tail.inputs(begun, config.model.n_label_tokens) if tail else begun


class Step:
    """What takes a training's steps.

    Args:
        model, tail, optimiser, average: what a step moves; no tail where the text encoder is frozen, no
            average where none is kept.
        seen_text: the texts of the seen classes.
        config: of the training.
        total_steps: of the training.
        device: of the model.
        ranks: that share each step.
    """

    def __init__(
        self,
        model: ResT,
        tail: TextTail | None,
        optimiser: torch.optim.Optimizer,
        average: Average | None,
        seen_text: TextInputs | KeptTexts,
        config: TrainConfig,
        total_steps: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self.model, self.tail, self.optimiser, self.average = model, tail, optimiser, average
        self.config, self.total_steps, self.device, self.ranks = config, total_steps, device, ranks
        some_unused = not (
            config.classification_weight and config.alignment_weight and config.matching_weight
        )
        self.losses = ranks.joined(StepLosses(model, tail, seen_text, config), device, some_unused)

    def take(self, batch: Batch) -> dict[str, float]:
        """One optimiser step over the clips of all ranks, at most `batch_size` of them in the model of each at a time.

        Returns:
            The losses by name, means over the step's clips.

        Raises:
            ValueError: a loss or a gradient is not finite; the weights stay as they were.
            RuntimeError: the batch does not fit into the GPU's memory.
        """
        try:
            return self._take(batch)
        except torch.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
        # only here, so that the failed step's tensors are not held by the error
        raise RuntimeError(smaller_batch(self.config, self.device, batch.step, reason, self.ranks.count))

    def _take(self, batch: Batch) -> dict[str, float]:
        config, step, share = self.config, batch.step, batch.share
        _seed_torch(_seed(config.seed, step, self.ranks.number), self.device)
        generator = torch.Generator(self.device).manual_seed(_seed(config.seed, step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.total_steps, config, group["peak"])
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        view = training_view(
            batch.frames_BNHWC.to(self.device, non_blocking=True), config.view, generator, share
        )
        uniform = torch.rand(share.total, config.model.n_seen, generator=generator, device=self.device)[
            share.rows
        ]
        values = self._add_up_gradients(view, batch, uniform if config.matching_weight else None)
        norms = {"that of the model": nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)}
        if self.tail:  # by itself, so that the model's own steps do not depend on it
            norms["that of the text encoder"] = nn.utils.clip_grad_norm_(
                self.tail.trained.values(), config.clip_norm
            )
        numbers = torch.stack(
            [*values.values(), *norms.values()]
        ).tolist()  # at once: a GPU is waited for once a step
        losses = self.ranks.total_by_name(dict(zip(values, numbers)))
        check_finite(losses, step, "loss")
        check_finite(dict(zip(norms, numbers[len(values) :], strict=True)), step, "gradient")
        self.optimiser.step()
        if self.average:
            self.average.update(step)
        return losses

    def _add_up_gradients(
        self, view_BTKHW: Tensor, batch: Batch, uniform_BS: Tensor | None
    ) -> dict[str, Tensor]:
        """Part by part, as many parts on every rank; gradients are exchanged with the last. Gives this rank's part of the step's mean losses."""
        share, n_ranks = batch.share, self.ranks.count
        n_parts = math.ceil(math.ceil(share.total / n_ranks) / self.config.batch_size)
        targets = batch.target_B.to(self.device, non_blocking=True).tensor_split(n_parts)
        uniforms = uniform_BS.tensor_split(n_parts) if uniform_BS is not None else [None] * n_parts
        values: dict[str, Tensor] = {}
        for number, (part, target, uniform) in enumerate(
            zip(view_BTKHW.tensor_split(n_parts), targets, uniforms, strict=True)
        ):
            weight = len(target) / share.total if share.last > share.first else 0.0
            if not len(
                target
            ):  # fewer clips than parts: one again, without weight, for all ranks to make the same calls
                part, target, uniform = (
                    view_BTKHW[:1],
                    targets[0][:1],
                    uniforms[0][:1] if uniform is not None else None,
                )
            with self.ranks.apart(self.losses) if number + 1 < n_parts else nullcontext():
                losses = self.losses(part, target, uniform)
                (
                    n_ranks * weight * sum(losses.values())
                ).backward()  # exchanged gradients are means over the ranks
            values = {
                name: values.get(name, 0.0) + weight * value.detach().float()
                for name, value in losses.items()
            }
        return values


def _seed(*keys: int) -> int:
    """A seed of these numbers; zeros at their end do not change it."""
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)


def _seed_torch(seed: int, device: torch.device) -> None:
    """As torch.manual_seed, which keeps a stack trace for each kind of device that is not in use: 0.2 to 0.5 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
