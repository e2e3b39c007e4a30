"""The binary spiking student in plain PyTorch: every matrix product inside a block has a 0/1 operand."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron import Neuron, lif
from teacher import Parameters, Shape


@dataclass(frozen=True)
class StudentConfig:
    """What a student computes, apart from its weights."""

    shape: Shape
    neuron: Neuron
    residual_write: str  # "current", or "spike" as in the paper's Fig. 2
    learned_neurons: bool
    on_off: bool
    relative_bias: bool
    embedding_gain: float

    @property
    def entrance(self) -> int:
        """E: entrance neurons of a sub-layer."""
        return self.shape.width * (2 if self.on_off else 1)


def practical(shape: Shape, time_steps: int) -> StudentConfig:
    """Our own recipe: current residual, learned gains and biases, on/off pairs, relative-distance currents, detached reset."""
    return StudentConfig(shape, Neuron(time_steps), "current", True, True, True, 1.0)


def paper(shape: Shape, time_steps: int) -> StudentConfig:
    """The paper's strict reading: spike residual, threshold 1 everywhere, nothing learned in the neurons, reset kept in the gradient."""
    return StudentConfig(shape, Neuron(time_steps, detach_reset=False), "spike", False, False, False, 50.0)


@dataclass
class StudentTrace:
    """One forward pass; `sites` maps (layer, site) to spikes, `membranes` likewise (for checks only)."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))  # (B, L, V)
    embedding: Tensor = field(default_factory=lambda: torch.empty(0))  # (B, L, D), token + position, before the gain
    features: list[Tensor] = field(default_factory=list)  # layers of (B, L, D): mean over T of the stream after a block
    attention: list[Tensor] = field(default_factory=list)  # layers of (B, H, L, L): mean over T of the attention spikes
    rates: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    membranes: dict[tuple[int, str], Tensor] = field(default_factory=dict)


def student_shapes(config: StudentConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter; matrices are (in, out)."""
    shape, e = config.shape, config.entrance
    d, f = shape.width, shape.feed_forward
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (shape.vocab, d), "embed_positions.weight": (shape.context, d)}
    for i in range(shape.layers):
        base = f"layers.{i}."
        gains = {"attention_entry": e, "attention_out": d, "feed_forward_entry": e} if config.learned_neurons else {}
        for name, width in gains.items():
            shapes |= {f"{base}{name}.gain": (width,), f"{base}{name}.bias": (width,)}
        if config.learned_neurons:
            shapes[base + "attention.gain"] = (shape.heads,)
        if config.relative_bias:
            shapes[base + "attention.distance_bias"] = (shape.heads, shape.context)
        for name, rows, columns in (("qkv", e, 3 * d), ("out", d, d), ("fc1", e, f), ("fc2", f, d)):
            shapes |= {f"{base}{name}.weight": (rows, columns), f"{base}{name}.bias": (columns,)}
    return shapes | {"final_norm.weight": (d,), "final_norm.bias": (d,)}


class Student:
    """Forward pass of one configuration over a dictionary of parameters."""

    def __init__(self, config: StudentConfig, weights: Parameters) -> None:
        self.config = config
        self.weights = weights

    def forward(self, ids: Tensor, keep_membranes: bool = False) -> StudentTrace:
        """Runs token ids (B, L); membranes start at rest for every pass and every token."""
        self.trace = StudentTrace()
        self.keep_membranes = keep_membranes
        config, weights = self.config, self.weights
        self.trace.embedding = F.embedding(ids, weights["embed_tokens.weight"]) + weights["embed_positions.weight"][: ids.shape[1]]
        start = config.embedding_gain * self.trace.embedding
        stream = start.unsqueeze(0).expand(config.neuron.time_steps, *start.shape)
        for layer in range(config.shape.layers):
            stream = stream + self._write(self._attention(stream, layer), layer, "attention_write")
            stream = stream + self._write(self._feed_forward(stream, layer), layer, "feed_forward_write")
            self.trace.features.append(stream.mean(0))
        final = F.layer_norm(stream.mean(0), stream.shape[-1:], weights["final_norm.weight"], weights["final_norm.bias"], 1e-5)
        self.trace.logits = final @ weights["embed_tokens.weight"].t()
        return self.trace

    def _fire(self, current: Tensor, layer: int, site: str) -> Tensor:
        spikes, membranes = lif(current, self.config.neuron)
        self.trace.rates[layer, site] = spikes.mean()
        if self.keep_membranes:
            self.trace.membranes[layer, site] = membranes.detach()
        return spikes

    def _linear(self, spikes: Tensor, layer: int, name: str) -> Tensor:
        return spikes @ self.weights[f"layers.{layer}.{name}.weight"] + self.weights[f"layers.{layer}.{name}.bias"]

    def _gain_and_bias(self, x: Tensor, layer: int, name: str) -> Tensor:
        if not self.config.learned_neurons:
            return x
        return self.weights[f"layers.{layer}.{name}.gain"] * x + self.weights[f"layers.{layer}.{name}.bias"]

    def _entrance(self, stream: Tensor, layer: int, site: str) -> Tensor:
        both = torch.cat((stream, -stream), -1) if self.config.on_off else stream
        return self._fire(self._gain_and_bias(both, layer, site), layer, site)

    def _write(self, current: Tensor, layer: int, site: str) -> Tensor:
        return self._fire(current, layer, site) if self.config.residual_write == "spike" else current

    def _attention(self, stream: Tensor, layer: int) -> Tensor:
        projected = self._linear(self._entrance(stream, layer, "attention_entry"), layer, "qkv")
        sites = ("query", "key", "value")
        query, key, value = (self._heads(self._fire(x, layer, site)) for x, site in zip(projected.chunk(3, -1), sites))
        chosen = self._choose_keys(query, key, layer)
        counts = (chosen @ value).transpose(2, 3).flatten(3)  # (T, B, L, D)
        out = self._fire(self._gain_and_bias(counts, layer, "attention_out"), layer, "attention_out")
        return self._linear(out, layer, "out")

    def _heads(self, x: Tensor) -> Tensor:
        steps, batch, length, width = x.shape
        return x.view(steps, batch, length, self.config.shape.heads, width // self.config.shape.heads).transpose(2, 3)

    def _choose_keys(self, query: Tensor, key: Tensor, layer: int) -> Tensor:
        """Attention spikes (T, B, H, L, L): a neuron per query-key pair whose current is the overlap; future pairs never fire."""
        current = query @ key.transpose(3, 4)
        length = current.shape[-1]
        causal = torch.ones(length, length, dtype=current.dtype, device=current.device).tril()
        if self.config.learned_neurons:
            current = self.weights[f"layers.{layer}.attention.gain"].view(-1, 1, 1) * current
        if self.config.relative_bias:
            row = torch.arange(length, device=current.device)
            distance = (row[:, None] - row[None, :]).clamp(min=0)
            current = current + self.weights[f"layers.{layer}.attention.distance_bias"][:, distance]
        spikes, membranes = lif(current * causal, self.config.neuron)
        mean_map = spikes.mean(0)
        self.trace.attention.append(mean_map)
        self.trace.rates[layer, "attention"] = mean_map.sum() / (causal.sum() * mean_map.shape[0] * mean_map.shape[1])
        if self.keep_membranes:
            self.trace.membranes[layer, "attention"] = membranes.detach()[..., causal.bool()]
        return spikes

    def _feed_forward(self, stream: Tensor, layer: int) -> Tensor:
        entrance = self._entrance(stream, layer, "feed_forward_entry")
        return self._linear(self._fire(self._linear(entrance, layer, "fc1"), layer, "hidden"), layer, "fc2")
