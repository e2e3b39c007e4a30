"""Writes test/fixtures/teacher-reference/{prenorm,postnorm}.json: float64 results of OPT in both layouts.

    python3 bench/peers/teacher_fixtures.py            # rewrites the fixtures (same seeds, same numbers)

Pre-norm is the layout of OPT-125M and 1.3B; post-norm that of OPT-350M, with narrower embeddings, `project_in`, `project_out` and no
norm after the last block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fixture_format import FOLDER, rounded, tensors, values, write
from teacher import POSITION_OFFSET, PREFIX, Parameters


@dataclass(frozen=True)
class Layout:
    """Sizes and kind of a model."""

    vocab: int
    width: int
    embedding: int
    layers: int
    heads: int
    feed_forward: int
    context: int
    norm_first: bool


CASES = {
    "prenorm": (Layout(24, 12, 12, 2, 3, 20, 11, True), 9),
    "postnorm": (Layout(23, 12, 8, 2, 2, 22, 11, False), 7),
}
"""Widths that are no powers of two; sequences shorter than the context."""
BATCH = 2


def shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Hugging Face's names and (out, in) shapes."""
    d, e, f = layout.width, layout.embedding, layout.feed_forward
    result: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (layout.vocab, e), "embed_positions.weight": (layout.context + POSITION_OFFSET, d)}
    if e != d:
        result |= {"project_in.weight": (d, e), "project_out.weight": (e, d)}
    if layout.norm_first:
        result |= {"final_layer_norm.weight": (d,), "final_layer_norm.bias": (d,)}
    for i in range(layout.layers):
        linears = {f"self_attn.{name}_proj": (d, d) for name in "qkv"} | {"self_attn.out_proj": (d, d), "fc1": (f, d), "fc2": (d, f)}
        for name, (rows, columns) in linears.items():
            result |= {f"layers.{i}.{name}.weight": (rows, columns), f"layers.{i}.{name}.bias": (rows,)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            result |= {f"layers.{i}.{name}.weight": (d,), f"layers.{i}.{name}.bias": (d,)}
    return {PREFIX + name: shape for name, shape in result.items()}


def draw(layout: Layout, generator: torch.Generator) -> Parameters:
    """Weights large enough that attention is far from uniform and a mistake shows."""
    weights: Parameters = {}
    for name, shape in shapes(layout).items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        weights[name] = 0.2 * noise + (1 if name.endswith("weight") else 0) if "layer_norm" in name else 0.45 * noise
    return rounded(weights, 4)


class Model:
    """One forward pass, keeping what the fixture shows."""

    def __init__(self, layout: Layout, weights: Parameters) -> None:
        self.layout, self.weights = layout, weights
        self.hidden: list[Tensor] = []
        self.attention: list[Tensor] = []

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Biased variance, epsilon 1e-5."""
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        return centred * scale * self.weights[f"{PREFIX}{name}.weight"] + self.weights[f"{PREFIX}{name}.bias"]

    def linear(self, x: Tensor, name: str) -> Tensor:
        """y = W x + b."""
        return x @ self.weights[f"{PREFIX}{name}.weight"].T + self.weights[f"{PREFIX}{name}.bias"]

    def attend(self, x: Tensor, base: str) -> Tensor:
        """Head by head and query by query, so that no mask is needed."""
        length, width = x.shape[1], self.layout.width // self.layout.heads
        query, key, value = (self.linear(x, f"{base}.{name}_proj") for name in "qkv")
        maps = torch.zeros(x.shape[0], self.layout.heads, length, length, dtype=x.dtype)
        mixed = torch.zeros_like(x)
        for head in range(self.layout.heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(length):
                scores = (key[:, : i + 1, part] @ query[:, i, part, None]).squeeze(-1) / math.sqrt(width)
                maps[:, head, i, : i + 1] = scores.softmax(-1)
                mixed[:, i, part] = (maps[:, head, i, : i + 1, None] * value[:, : i + 1, part]).sum(1)
        self.attention.append(maps)
        return self.linear(mixed, f"{base}.out_proj")

    def block(self, x: Tensor, layer: int) -> Tensor:
        """Attention and feed-forward part with the norm before each, or after each sum."""
        parts = (("self_attn_layer_norm", lambda y: self.attend(y, f"layers.{layer}.self_attn")),
                 ("final_layer_norm", lambda y: self.linear(torch.relu(self.linear(y, f"layers.{layer}.fc1")), f"layers.{layer}.fc2")))
        for norm, part in parts:
            name = f"layers.{layer}.{norm}"
            x = x + part(self.norm(x, name)) if self.layout.norm_first else self.norm(x + part(x), name)
        return x

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, L, V); `hidden` holds the input of the first block and the output of each, before any final norm."""
        embeddings = self.weights[PREFIX + "embed_tokens.weight"]
        x = F.embedding(ids, embeddings)
        if PREFIX + "project_in.weight" in self.weights:
            x = x @ self.weights[PREFIX + "project_in.weight"].T
        x = x + self.weights[PREFIX + "embed_positions.weight"][POSITION_OFFSET : POSITION_OFFSET + ids.shape[1]]
        self.hidden.append(x)
        for layer in range(self.layout.layers):
            x = self.block(x, layer)
            self.hidden.append(x)
        if self.layout.norm_first:
            x = self.norm(x, "final_layer_norm")
        if PREFIX + "project_out.weight" in self.weights:
            x = x @ self.weights[PREFIX + "project_out.weight"].T
        return x @ embeddings.T


def config(layout: Layout) -> dict[str, Any]:
    """config.json of the model."""
    return {
        "model_type": "opt", "vocab_size": layout.vocab, "hidden_size": layout.width, "word_embed_proj_dim": layout.embedding,
        "num_hidden_layers": layout.layers, "num_attention_heads": layout.heads, "ffn_dim": layout.feed_forward,
        "max_position_embeddings": layout.context, "do_layer_norm_before": layout.norm_first, "activation_function": "relu",
    }


def main() -> None:
    """Rewrites both fixtures."""
    folder = FOLDER.parent / "teacher-reference"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, (layout, length)) in enumerate(CASES.items(), start=11):
        generator = torch.Generator().manual_seed(seed)
        weights = draw(layout, generator)
        ids = torch.randint(layout.vocab, (BATCH, length), generator=generator)
        model = Model(layout, weights)
        logits = model.forward(ids)
        write(f"../{folder.name}/{name}.json", {
            "format": 1, "generator": "bench/peers/teacher_fixtures.py", "precision": "float64", "seed": seed, "config": config(layout),
            "ids": {"shape": list(ids.shape), "values": ids.flatten().tolist()}, "weights": tensors(weights),
            "logits": values(logits), "hidden": [values(x) for x in model.hidden], "attention": [values(x) for x in model.attention],
        })
        print(f"{name}: logits up to {logits.abs().max().item():.2f}, largest probability {max(x[..., 1:, :].max().item() for x in model.attention):.3f}")


if __name__ == "__main__":
    main()
