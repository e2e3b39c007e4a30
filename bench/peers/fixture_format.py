"""How fixtures are written: rounding, number formats and a JSON layout that reads well in a diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron import Neuron
from teacher import Parameters

FOLDER = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "student-reference"
MARGIN = 1e-4
"""Least distance of a membrane from its threshold, so that float32 code cannot decide otherwise."""


def rounded(weights: Parameters, digits: int) -> Parameters:
    """Weights with few decimals, so that they are short to write and the written number is the one computed with."""
    return {name: torch.tensor([round(v, digits) for v in value.flatten().tolist()], dtype=torch.float64).view(value.shape)
            for name, value in weights.items()}


def values(tensor: Tensor, digits: int = 9) -> list[float] | list[int]:
    """Row-major numbers of a tensor, shortened to significant digits; integers when all are."""
    flat = [float(f"{value:.{digits}g}") for value in tensor.detach().flatten().tolist()]
    return [int(value) for value in flat] if all(value == int(value) for value in flat) else flat


def tensors(weights: Parameters) -> dict[str, Any]:
    """Named tensors with their shapes."""
    return {name: {"shape": list(value.shape), "values": values(value)} for name, value in weights.items()}


def describe_neuron(neuron: Neuron) -> dict[str, Any]:
    """Constants of a neuron in the words of the TypeScript code."""
    return {
        "timeSteps": neuron.time_steps, "decay": neuron.decay, "threshold": neuron.threshold, "reset": neuron.reset,
        "surrogate": neuron.surrogate, "surrogateAlpha": neuron.alpha, "detachReset": neuron.detach_reset,
    }


def write(name: str, document: dict[str, Any]) -> None:
    """Writes JSON with one line per list of numbers, readable in a diff."""

    def lines(value: Any, indent: str) -> str:
        inner = indent + " "
        if isinstance(value, dict) and "values" not in value and value:
            return "{\n" + ",\n".join(f"{inner}{json.dumps(key)}: {lines(item, inner)}" for key, item in value.items()) + f"\n{indent}}}"
        if isinstance(value, list) and value and not isinstance(value[0], (int, float)):
            return "[\n" + ",\n".join(inner + lines(item, inner) for item in value) + f"\n{indent}]"
        return json.dumps(value, separators=(",", ":"))

    path = FOLDER / name
    path.write_text(lines(document, "") + "\n")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
