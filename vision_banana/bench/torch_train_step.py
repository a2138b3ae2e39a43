"""The train step in PyTorch: the loss of `training.objective`, AdamW and the average of weights.

Noise, times and hidden conditions are drawn in the step, as in the original, from PyTorch's own
generator.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vision_banana.bench.torch_generator import TorchGenerator
from vision_banana.models import patches
from vision_banana.training.objective import Objective
from vision_banana.training.optimizer import Optimizer


class TorchStep:
    """A train step; calling it makes one and returns the loss.

    Args:
      network: the network, which is trained.
      settings: the optimiser's; the rate is held at its peak.
      objective: the loss's.
      compiled: whether forward and backward pass go through `torch.compile`.
      bfloat16: whether they run under autocast.
    """

    def __init__(
        self,
        network: TorchGenerator,
        settings: Optimizer,
        objective: Objective,
        *,
        compiled: bool,
        bfloat16: bool,
    ) -> None:
        self._network, self._objective = network, objective
        self._clip, self._bfloat16 = settings.clip_norm, bfloat16
        self._average = copy.deepcopy(network)
        named = dict(network.named_parameters())
        still = [n for n, p in named.items() if p.ndim < 2 or "norm" in n or n.endswith("lation")]
        groups = [
            {"params": [named[n] for n in still], "weight_decay": 0.0},
            {"params": [p for n, p in named.items() if n not in still]},
        ]
        self._optimizer = torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            betas=(settings.b1, settings.b2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._loss = torch.compile(self._mean_loss) if compiled else self._mean_loss

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> float:
        """One update; `batch` holds tensors as `vision_banana.data.mixture` has arrays."""
        kept, share = None, self._objective.kept_share
        if share < 1:
            tokens, queries = self._network.places.shape[0], batch["tokens"].shape[1]
            count = patches.count_kept(tokens, share)
            places = torch.arange(queries * count).reshape(queries, count) % tokens
            kept = torch.randperm(tokens)[places]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            loss = self._loss(batch, kept)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._clip)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._average.parameters()),
                list(self._network.parameters()),
                1 - self._objective.ema_decay,
            )
        return loss.item()

    def _mean_loss(
        self, batch: Mapping[str, torch.Tensor], kept: torch.Tensor | None
    ) -> torch.Tensor:
        objective, time = self._objective, self._objective.time
        x, lead = batch["target"] * 2 - 1, batch["tokens"].shape[:2]
        seen = batch["reference_mask"] & (torch.rand(*lead, 1) >= objective.drop_references)
        t = torch.sigmoid(time.mean + time.std * torch.randn(lead))
        t = t / (t + time.shift * (1 - t))
        t = torch.where(seen.any(-1) & (torch.rand(lead) < time.noise_share), 0.0, t)
        share = t[..., None, None, None]
        z = share * x + (1 - share) * torch.randn(x.shape)
        tokens = batch["tokens"] * (torch.rand(*lead, 1) >= objective.drop_text)
        weight = batch["weight"]
        if kept is not None:
            weight = weight * self._kept_pixels(kept)
        references = batch["references"] * 2 - 1
        predicted = self._network(z, t, tokens, references, seen, kept)
        error = (predicted - x).square().mean(-1) * weight
        losses = error.sum((-2, -1)) / weight.sum((-2, -1)).clamp(min=1e-6)
        return (losses / (1 - t).clamp(min=objective.clip).square()).mean()

    def _kept_pixels(self, kept: torch.Tensor) -> torch.Tensor:
        (height, width), patch = self._network.picture, self._network.size.patch
        mask = torch.zeros(len(kept), height // patch * (width // patch)).scatter(1, kept, 1.0)
        mask = mask.unflatten(1, (height // patch, width // patch))
        return mask.repeat_interleave(patch, 1).repeat_interleave(patch, 2)


def tensors(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A host batch as tensors."""
    names = ("target", "weight", "tokens", "references", "reference_mask")
    return {name: torch.from_numpy(np.array(batch[name])) for name in names}
