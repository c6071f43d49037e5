"""Muon: kernels of convolutions take steps along orthogonal matrices, all other parameters take AdamW's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration, Jordan 2024
ITERATIONS = 5
ADAMW_RMS = 0.2  # of AdamW's steps over its learning rate, which those of kernels are given too; Liu et al. 2025


def orthogonal(matrices: Tensor) -> Tensor:
    """The matrices with all singular values near 1 (0.7 to 1.2), as Newton-Schulz iterations give them; zeros stay.

    The iterations are carried out on the Gram matrices, which have as many rows as the kernel has channels out: a
    third of the arithmetic or less where rows are few and long.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.

    Args:
        matrices: (n, rows, columns).

    Returns:
        (n, rows, columns).

    Example:
        >>> torch.linalg.svdvals(orthogonal(torch.diag(torch.tensor([4.0, 2.0, 1.0]))[None])).round(decimals=1)
        tensor([[1.1000, 0.8000, 0.7000]])
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    gram = matrices @ matrices.mT
    squared_norm = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp_min(1e-20)
    gram = gram / squared_norm
    linear, cubic, quintic = COEFFICIENTS
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    factor = eye
    for _ in range(ITERATIONS):
        polynomial = linear * eye + cubic * gram + quintic * gram @ gram
        factor = polynomial @ factor
        gram = polynomial @ gram @ polynomial
    return factor @ matrices / squared_norm.sqrt()


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW for biases, norms and kernels of one row or column, under one learning rate.

    A kernel is a matrix of (channels out, channels in times voxels of the kernel). Its step is the orthogonal matrix
    that is nearest to its averaged gradient, so that rare directions, as of emboli among vessels, are learned as fast
    as common ones. `torch.optim.Muon` takes matrices alone, and computes in bfloat16, which many CPUs have not.

    Sources: Jordan et al. 2024 (steps); Liu et al., Muon is scalable for LLM training, arXiv:2502.16982 (their size);
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019 (AdamW).

    Args:
        parameters: All of a network.
        learning_rate: Of both.
        weight_decay: A step's, times the learning rate.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        kinds: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for parameter in parameters:
            kinds[parameter.dim() > 1 and min(_matrix(parameter).shape) > 1].append(parameter)
        groups = [{"params": those, "kernels": kernels} for kernels, those in kinds.items()]
        defaults = {
            "lr": learning_rate,
            "weight_decay": weight_decay,
            "momentum": 0.95,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have a gradient.

        Args:
            closure: Computes the loss again, and its gradients.

        Returns:
            What `closure` returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            steps = self._orthogonal_steps if group["kernels"] else self._adamw_steps
            given = [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]
            for parameter, _ in given:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            steps(given, group)
        return loss

    def _orthogonal_steps(self, given: Sequence[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for kernel, gradient in given:
            state = self.state[kernel]
            if not state:
                state["average"] = torch.zeros_like(kernel)
            state["average"].lerp_(gradient, 1 - group["momentum"])
            ahead = _matrix(gradient.lerp(state["average"], group["momentum"]))  # Nesterov's
            alike[ahead.shape].append((kernel, ahead))
        for shape, pairs in alike.items():  # of one shape at once: few, larger products
            size = group["lr"] * ADAMW_RMS * math.sqrt(max(shape))
            directions = orthogonal(torch.stack([matrix for _, matrix in pairs]))
            for (kernel, _), direction in zip(pairs, directions, strict=True):
                kernel.sub_(direction.reshape(kernel.shape), alpha=size)

    def _adamw_steps(self, given: Sequence[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        beta, beta_of_squares = group["betas"]
        for parameter, gradient in given:
            state = self.state[parameter]
            if not state:
                state |= {"steps": 0, "average": torch.zeros_like(parameter), "squares": torch.zeros_like(parameter)}
            state["steps"] += 1
            state["average"].lerp_(gradient, 1 - beta)
            state["squares"].mul_(beta_of_squares).addcmul_(gradient, gradient, value=1 - beta_of_squares)
            spread = (state["squares"] / (1 - beta_of_squares ** state["steps"])).sqrt_().add_(group["eps"])
            parameter.addcdiv_(state["average"], spread, value=-group["lr"] / (1 - beta ** state["steps"]))


def _matrix(kernel: Tensor) -> Tensor:
    """(channels out, all else)."""
    return kernel.reshape(len(kernel), -1)
