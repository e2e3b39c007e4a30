"""Random students whose sites fire at chosen rates, so that timings and fixtures see realistic spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from student import Student, StudentConfig, student_shapes
from teacher import POSITION_OFFSET, PREFIX, Parameters


@dataclass(frozen=True)
class Rates:
    """Wanted mean rate of each kind of site."""

    entry: float = 0.10
    query: float = 0.10
    value: float = 0.10
    unit: float = 0.10
    attention: float = 0.06

    def of(self, site: str) -> float:
        """The wanted rate of a site."""
        if site.endswith("entry"):
            return self.entry
        return {"attention": self.attention, "query": self.query, "value": self.value}.get(site, self.unit)


SITES = (
    "attention_entry", "query", "key", "value", "attention", "attention_out", "attention_write",
    "feed_forward_entry", "hidden", "feed_forward_write",
)


def random_student(
    config: StudentConfig, teacher: Parameters, ids: Tensor, rates: Rates, generator: torch.Generator, embedding_noise: float = 0.0,
) -> Parameters:
    """A student with normal weights, calibrated on `ids`.

    Embeddings are the teacher's plus noise where neurons are learned, else random as in the paper.
    """
    weights: Parameters = {}
    for name, size in student_shapes(config).items():
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        weights[name] = initial_value(name, noise, rates)
    if config.learned_neurons:
        rows = slice(POSITION_OFFSET, POSITION_OFFSET + config.shape.context)
        for name, source in (("embed_tokens", teacher[PREFIX + "embed_tokens.weight"]),
                             ("embed_positions", teacher[PREFIX + "embed_positions.weight"][rows])):
            noise = torch.randn(source.shape, generator=generator, dtype=torch.float64)
            weights[name + ".weight"] = source + embedding_noise * noise
    for layer in range(config.shape.layers):
        for site in SITES:
            _scale(config, weights, ids, layer, site)
            offset = _offset(weights, config, layer, site)
            if offset is not None:
                _bisect(config, weights, ids, (layer, site), offset, rates.of(site))
    return weights


def initial_value(name: str, noise: Tensor, rates: Rates) -> Tensor:
    """Starting value of a parameter from standard normal noise."""
    kind = name.rsplit(".", 2)[-2:]
    if name.startswith("embed"):
        return 0.02 * noise
    if name.startswith("final_norm") or kind[1] == "gain":
        return 0.1 * noise + (0 if kind[1] == "bias" else 1)
    if kind[1] != "weight":
        return 0.1 * noise
    rate = rates.entry if kind[0] in ("qkv", "fc1") else rates.unit
    return (0.7 if kind[0] in ("qkv", "fc1") else 0.5) / math.sqrt(noise.shape[0] * rate) * noise


def _offset(weights: Parameters, config: StudentConfig, layer: int, site: str) -> Tensor | None:
    """The view of a bias that moves the rate of a site; None where the configuration has none."""
    base, width = f"layers.{layer}.", config.shape.width
    if site in ("query", "key", "value"):
        start = ("query", "key", "value").index(site) * width
        return weights[base + "qkv.bias"][start : start + width]
    if site == "hidden":
        return weights[base + "fc1.bias"]
    if site.endswith("write"):
        name = "out.bias" if site == "attention_write" else "fc2.bias"
        return weights[base + name] if config.residual_write == "spike" else None
    return weights.get(base + ("attention.distance_bias" if site == "attention" else site + ".bias"))


def _upto(config: StudentConfig, layer: int) -> StudentConfig:
    return replace(config, shape=replace(config.shape, layers=layer + 1))


@torch.no_grad()
def _scale(config: StudentConfig, weights: Parameters, ids: Tensor, layer: int, site: str) -> None:
    """Divides the gain of a site by the deviation of its current, so that one bias reaches any rate."""
    gain = weights.get(f"layers.{layer}.{site}.gain")
    if gain is None:
        return
    trace = Student(_upto(config, layer), weights).forward(ids, keep_membranes=True)
    gain /= trace.membranes[layer, site][0].std().clamp(min=0.1) * (1.5 if site.startswith("attention") and site != "attention_entry" else 1)


@torch.no_grad()
def _bisect(config: StudentConfig, weights: Parameters, ids: Tensor, where: tuple[int, str], bias: Tensor, wanted: float) -> None:
    """Adds to a bias, in place, what brings the mean rate near the wanted one; coarse, as the limit of a bisection of a step function
    would put a membrane right at its threshold."""
    start, low, high = bias.clone(), -6.0, 6.0
    for _ in range(9):
        middle = (low + high) / 2
        bias.copy_(start + middle)
        if Student(_upto(config, where[0]), weights).forward(ids).rates[where] < wanted:
            low = middle
        else:
            high = middle
