"""Leaky integrate-and-fire neurons in plain PyTorch: a Python loop over time steps and a surrogate gradient.

Independent of the TypeScript implementation on purpose: nothing here is derived from it, so that the two can judge each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Neuron:
    """Constants shared by all neurons of a network; `alpha` is the sharpness of the surrogate."""

    time_steps: int
    decay: float = 0.9
    threshold: float = 1.0
    reset: str = "soft"
    surrogate: str = "atan"
    alpha: float = 2.0
    detach_reset: bool = True


def surrogate_derivative(x: Tensor, kind: str, alpha: float) -> Tensor:
    """Stand-in for dS/dU at the distance x = u - threshold."""
    if kind == "atan":
        return (alpha / 2) / (1 + (math.pi / 2 * alpha * x) ** 2)
    if kind == "sigmoid":
        gate = torch.sigmoid(alpha * x)
        return alpha * gate * (1 - gate)
    if kind == "triangle":
        return alpha * torch.clamp(1 - alpha * x.abs(), min=0)
    raise ValueError(f"unknown surrogate {kind!r}")


class Spike(torch.autograd.Function):
    """Heaviside step forward (1 at exactly 0), surrogate derivative backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, kind: str, alpha: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(distance)
        ctx.kind, ctx.alpha = kind, alpha
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (distance,) = ctx.saved_tensors
        return grad * surrogate_derivative(distance, ctx.kind, ctx.alpha), None, None


def lif(current: Tensor, neuron: Neuron) -> tuple[Tensor, Tensor]:
    """Spikes and membranes (before the reset) of a current (T, ...); membranes start at rest, the reset acts one step later.

    soft: u[t] = I[t] + decay u[t-1] - threshold s[t-1]; soft-leaked: u[t] = I[t] + decay (u[t-1] - threshold s[t-1]);
    hard: u[t] = I[t] + decay u[t-1] (1 - s[t-1]); s[t] = [u[t] >= threshold].
    """
    spikes: list[Tensor] = []
    membranes: list[Tensor] = []
    for t in range(neuron.time_steps):
        u = current[t]
        if t > 0:
            before, fired = membranes[-1], spikes[-1]
            if neuron.detach_reset:
                fired = fired.detach()
            if neuron.reset == "soft":
                u = u + neuron.decay * before - neuron.threshold * fired
            elif neuron.reset == "soft-leaked":
                u = u + neuron.decay * (before - neuron.threshold * fired)
            elif neuron.reset == "hard":
                u = u + neuron.decay * before * (1 - fired)
            else:
                raise ValueError(f"unknown reset {neuron.reset!r}")
        membranes.append(u)
        spikes.append(Spike.apply(u - neuron.threshold, neuron.surrogate, neuron.alpha))
    return torch.stack(spikes), torch.stack(membranes)
