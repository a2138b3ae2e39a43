"""The train step in PyTorch: the loss of `training.objective`, AdamW and the average of weights.

Kept patches, noise, times and hidden conditions are drawn in the step, as in the original, from
PyTorch's own generator.
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
        # The draw takes 1 % of a step; with it in the graph, compiling takes many times longer.
        self._losses = torch.compile(losses) if compiled else losses

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> float:
        """One update; `batch` holds tensors as `vision_banana.data.mixture` has arrays."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            seen = noised(batch, self._network.size.patch, self._objective)
            loss = self._losses(self._network, seen, self._objective).mean()
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


def noised(
    batch: Mapping[str, torch.Tensor], patch: int, objective: Objective
) -> dict[str, torch.Tensor]:
    """What the network sees of a batch, as from `training.objective.noised`."""
    time, lead = objective.time, batch["tokens"].shape[:2]
    x, weight, places = batch["target"], batch["weight"], {}
    if objective.kept_share < 1:
        chances = _cells(weight, patch).sum((3, 5)).flatten(2) + 1e-9
        count = patches.count_kept(chances.shape[-1], objective.kept_share)
        kept = torch.multinomial(chances.flatten(0, 1), count).unflatten(0, lead)
        x, weight = take(x, kept, patch), take(weight, kept, patch)
        weight = weight / weight.mean(-1, keepdim=True).clamp(min=1e-6)
        places = {"kept": kept}
    x = x * 2 - 1
    mask = batch["reference_mask"] & (torch.rand(*lead, 1) >= objective.drop_references)
    t = torch.sigmoid(time.mean + time.std * torch.randn(lead))
    t = t / (t + time.shift * (1 - t))
    t = torch.where(mask.any(-1) & (torch.rand(lead) < time.noise_share), 0.0, t)
    share = t[..., None, None, None]
    z = share * x + (1 - share) * torch.randn(x.shape)
    tokens = batch["tokens"] * (torch.rand(*lead, 1) >= objective.drop_text)
    conditions = {"tokens": tokens, "references": batch["references"] * 2 - 1}
    conditions["reference_mask"] = mask
    return {"x": x, "z": z, "t": t, "weight": weight, **conditions, **places}


def losses(
    network: TorchGenerator, seen: Mapping[str, torch.Tensor], objective: Objective
) -> torch.Tensor:
    """The loss of each query, (G, Q), as from `training.objective.loss_fn`."""
    conditions = (seen["tokens"], seen["references"], seen["reference_mask"])
    predicted = network(seen["z"], seen["t"], *conditions, seen.get("kept"))
    weight = seen["weight"]
    error = (predicted - seen["x"]).square().mean(-1) * weight
    means = error.sum((-2, -1)) / weight.sum((-2, -1)).clamp(min=1e-6)
    return means / (1 - seen["t"]).clamp(min=objective.clip).square()


def take(x: torch.Tensor, kept: torch.Tensor, patch: int) -> torch.Tensor:
    """(G, Q, H, W, ...) to the pixels of kept patches, as from `models.patches.take`."""
    groups, queries, _ = (torch.arange(n) for n in kept.shape)
    x = _cells(x, patch)
    columns = x.shape[4]
    row, column = kept // columns, kept % columns
    return x[groups[:, None, None], queries[:, None], row, :, column].flatten(3, 4)


def _cells(x: torch.Tensor, patch: int) -> torch.Tensor:
    """(G, Q, H, W, ...) to (G, Q, h, patch, w, patch, ...)."""
    return x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))


def tensors(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """A host batch as tensors."""
    names = ("target", "weight", "tokens", "references", "reference_mask")
    return {name: torch.from_numpy(np.array(batch[name])) for name in names}
