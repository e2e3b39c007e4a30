"""Unit cases of the neuron alone: three resets, three surrogates, reset detached or kept, with gradients."""

from __future__ import annotations

from typing import Any, Iterator

import torch
from torch import Tensor

from fixture_format import MARGIN, describe_neuron, rounded, tensors, values
from neuron import Neuron, lif, surrogate_derivative
from teacher import Parameters


def scalar_gradient(neuron: Neuron, membranes: list[float], spikes: list[float], upstream: list[float]) -> list[float]:
    """Gradient of one neuron's current by the adjoint recursion, written apart from autograd to check it."""
    carried, result = 0.0, [0.0] * neuron.time_steps
    for t in reversed(range(neuron.time_steps)):
        through_spike = upstream[t]
        if t + 1 < neuron.time_steps and not neuron.detach_reset:
            jump = {"soft": neuron.threshold, "soft-leaked": neuron.decay * neuron.threshold, "hard": neuron.decay * membranes[t]}
            through_spike -= result[t + 1] * jump[neuron.reset]
        if t + 1 < neuron.time_steps:
            carried = result[t + 1] * neuron.decay * ((1 - spikes[t]) if neuron.reset == "hard" else 1)
        distance = torch.tensor(membranes[t] - neuron.threshold, dtype=torch.float64)
        result[t] = through_spike * surrogate_derivative(distance, neuron.surrogate, neuron.alpha).item() + carried
    return result


def lif_inputs(constant: bool, seed: int) -> dict[str, Tensor]:
    """Currents, gains, biases and upstream gradients of the unit cases; `constant` also pairs +x and -x."""
    generator = torch.Generator().manual_seed(seed)
    steps, rows, channels = 4, 3, 3
    width = 2 * channels if constant else channels

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    sources = {"x": 1.2 * draw(1 if constant else steps, rows, channels), "gain": 0.8 + 0.2 * draw(width),
               "bias": 0.3 + 0.2 * draw(width), "dy": draw(steps, rows, width)}
    return rounded(sources, 3)


def lif_case(neuron: Neuron, inputs: Parameters, on_off: bool) -> tuple[dict[str, Any], float, float]:
    """One unit case, its distance from the threshold and its firing rate."""
    x, gain, bias = (inputs[name].clone().requires_grad_() for name in ("x", "gain", "bias"))
    both = torch.cat((x, -x), -1) if on_off else x
    current = (gain * both + bias).expand(neuron.time_steps, *inputs["dy"].shape[1:])
    current.retain_grad()
    spikes, membranes = lif(current, neuron)
    (spikes * inputs["dy"]).sum().backward()
    assert current.grad is not None and x.grad is not None and gain.grad is not None and bias.grad is not None
    columns = (tensor.detach().flatten(1).t().tolist() for tensor in (membranes, spikes, inputs["dy"]))
    by_hand = torch.tensor([scalar_gradient(neuron, *column) for column in zip(*columns)], dtype=torch.float64).t()
    by_channel = by_hand.view(inputs["dy"].shape)
    assert torch.allclose(by_channel.sum((0, 1)), bias.grad, atol=1e-12), "autograd and the adjoint recursion disagree"
    assert torch.allclose((by_channel * both.detach()).sum((0, 1)), gain.grad, atol=1e-12), "gain gradients disagree"
    document = {
        "neuron": describe_neuron(neuron), "onOff": on_off, "spikes": values(spikes), "membranes": values(membranes),
        "dx": values(x.grad), "dGain": values(gain.grad), "dBias": values(bias.grad),
    }
    return document, (membranes - neuron.threshold).abs().min().item(), spikes.mean().item()


def lif_neurons(threshold: float, decay: float) -> Iterator[Neuron]:
    """Three resets by three surrogates by detached or not."""
    for reset in ("soft", "soft-leaked", "hard"):
        for surrogate, alpha in (("atan", 2.0), ("sigmoid", 4.0), ("triangle", 1.0)):
            for detach in (True, False):
                yield Neuron(4, decay, threshold, reset, surrogate, alpha, detach)


def lif_group(name: str, constant: bool, threshold: float, decay: float) -> dict[str, Any]:
    """All neurons over one set of inputs, the first seed whose membranes are clear of the threshold."""
    for seed in range(1, 200):
        inputs = lif_inputs(constant, seed)
        results = [lif_case(neuron, inputs, constant) for neuron in lif_neurons(threshold, decay)]
        if all(distance >= MARGIN and 0.15 < rate < 0.7 for _, distance, rate in results):
            print(f"lif {name}: seed {seed}, nearest membrane {min(distance for _, distance, _ in results):.1e}")
            return {"name": name, "seed": seed, "inputs": tensors(inputs), "cases": [document for document, _, _ in results]}
    raise RuntimeError(f"no seed is accepted for {name}")
