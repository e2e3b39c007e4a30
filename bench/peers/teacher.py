"""The dense teacher: an OPT decoder (pre-norm, ReLU, learned positions, tied head) in plain PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]

PREFIX = "model.decoder."
POSITION_OFFSET = 2
"""OPT's position table starts with two rows that no token uses."""


@dataclass(frozen=True)
class Shape:
    """Widths shared by teacher and student."""

    vocab: int
    width: int
    layers: int
    heads: int
    feed_forward: int
    context: int


@dataclass(frozen=True)
class TeacherTrace:
    """What distillation needs of a teacher: streams before the final norm, attention probabilities and logits."""

    logits: Tensor  # (B, L, V)
    hidden: list[Tensor]  # layers + 1 of (B, L, D): embeddings, then the stream after each block
    attention: list[Tensor]  # layers of (B, H, L, L)


def teacher_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor, in Hugging Face's names and (out, in) layout."""
    d, f = shape.width, shape.feed_forward
    shapes: dict[str, tuple[int, ...]] = {
        PREFIX + "embed_tokens.weight": (shape.vocab, d),
        PREFIX + "embed_positions.weight": (shape.context + POSITION_OFFSET, d),
    }
    for i in range(shape.layers):
        base = f"{PREFIX}layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{base}self_attn.{name}.weight"] = (d, d)
            shapes[f"{base}self_attn.{name}.bias"] = (d,)
        shapes |= {base + "fc1.weight": (f, d), base + "fc1.bias": (f,), base + "fc2.weight": (d, f), base + "fc2.bias": (d,)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{base}{name}.weight": (d,), f"{base}{name}.bias": (d,)}
    return shapes | {PREFIX + "final_layer_norm.weight": (d,), PREFIX + "final_layer_norm.bias": (d,)}


def random_teacher(shape: Shape, generator: torch.Generator, std: float) -> Parameters:
    """A teacher with normal weights of deviation `std`, norms near the identity and float64 values."""
    weights: Parameters = {}
    for name, size in teacher_shapes(shape).items():
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        if "layer_norm" in name:
            weights[name] = 0.1 * noise + (1 if name.endswith("weight") else 0)
        else:
            weights[name] = std * noise
    return weights


def _norm(x: Tensor, weights: Parameters, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], 1e-5)


def _linear(x: Tensor, weights: Parameters, name: str) -> Tensor:
    return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def _attend(x: Tensor, weights: Parameters, base: str, heads: int) -> tuple[Tensor, Tensor]:
    """Causal softmax attention: output (B, L, D) and probabilities (B, H, L, L)."""
    batch, length, width = x.shape
    head_width = width // heads

    def project(name: str) -> Tensor:
        return _linear(x, weights, base + name).view(batch, length, heads, head_width).transpose(1, 2)

    scores = project("q_proj") @ project("k_proj").transpose(2, 3) / math.sqrt(head_width)
    future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    probabilities = scores.masked_fill(future, float("-inf")).softmax(-1)
    mixed = (probabilities @ project("v_proj")).transpose(1, 2).reshape(batch, length, width)
    return _linear(mixed, weights, base + "out_proj"), probabilities


@torch.no_grad()
def teacher_forward(ids: Tensor, weights: Parameters, shape: Shape) -> TeacherTrace:
    """Runs token ids (B, L) through the teacher without a graph."""
    positions = weights[PREFIX + "embed_positions.weight"][POSITION_OFFSET : POSITION_OFFSET + ids.shape[1]]
    x = F.embedding(ids, weights[PREFIX + "embed_tokens.weight"]) + positions
    hidden, attention = [x], []
    for i in range(shape.layers):
        base = f"{PREFIX}layers.{i}."
        mixed, probabilities = _attend(_norm(x, weights, base + "self_attn_layer_norm"), weights, base + "self_attn.", shape.heads)
        x = x + mixed
        inner = torch.relu(_linear(_norm(x, weights, base + "final_layer_norm"), weights, base + "fc1"))
        x = x + _linear(inner, weights, base + "fc2")
        hidden.append(x)
        attention.append(probabilities)
    x = _norm(x, weights, PREFIX + "final_layer_norm")
    return TeacherTrace(F.linear(x, weights[PREFIX + "embed_tokens.weight"]), hidden, attention)
