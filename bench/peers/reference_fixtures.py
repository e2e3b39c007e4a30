"""Writes test/fixtures/student-reference/{practical,paper,lif}.json: float64 results of this independent implementation.

    python3 bench/peers/reference_fixtures.py            # rewrites the fixtures (same seeds, same numbers)

Seeds are searched until no decision is close: every membrane is at least MARGIN away from its threshold, so that a float32
implementation must produce the same spikes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Iterator

import torch
from torch import Tensor

from calibration import Rates, random_student
from distillation import Distillation, loss_terms, total_loss
from neuron import Neuron, lif, surrogate_derivative
from student import Student, StudentConfig, StudentTrace, paper, practical
from teacher import Parameters, Shape, TeacherTrace, random_teacher, teacher_forward

FOLDER = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "student-reference"
MARGIN = 1e-4
RATE_MARGIN = 1e-3
RATE_RANGE = (0.02, 0.75)
RATES = Rates(entry=0.25, query=0.35, value=0.07, unit=0.25, attention=0.25)
"""High enough for a few hundred neurons to show every effect; the values stay under the hinge's target, the rest above."""
INTEGER_SITES = ("attention", "attention_out")
"""Without learned neurons their currents are counts, so a membrane may equal the threshold exactly, in any precision."""


@dataclass(frozen=True)
class Case:
    """One tiny model."""

    name: str
    config: StudentConfig
    batch: int
    length: int


@dataclass(frozen=True)
class Run:
    """Everything one forward and backward pass gave."""

    teacher: TeacherTrace
    student: StudentTrace
    terms: dict[str, Tensor]
    total: Tensor
    gradients: Parameters


SMALL = Shape(vocab=24, width=8, layers=2, heads=2, feed_forward=16, context=9)
ODD = Shape(vocab=23, width=10, layers=2, heads=2, feed_forward=14, context=9)
"""Head width 5, no width a multiple of 4, and a context longer than the sequences: for code that works in vectors or powers of two."""


def cases(preset: str) -> list[Case]:
    """The two models of a preset."""
    make = practical if preset == "practical" else paper
    return [Case("head-width-4-T2", make(SMALL, 2), 2, 9), Case("head-width-5-T3", make(ODD, 3), 2, 7)]


def setting_of(preset: str) -> Distillation:
    """Loss weights: the paper has no rate hinge."""
    return Distillation(rate_loss=2.0 if preset == "practical" else 0.0)


def rounded(weights: Parameters, digits: int) -> Parameters:
    """Weights with few decimals, so that they are short to write and the written number is the one computed with."""
    return {name: torch.tensor([round(v, digits) for v in value.flatten().tolist()], dtype=torch.float64).view(value.shape)
            for name, value in weights.items()}


def run(case: Case, teacher: Parameters, student: Parameters, batch: Tensor, setting: Distillation, dtype: torch.dtype) -> Run:
    """Forward and backward in one precision."""
    frozen = {name: value.to(dtype) for name, value in teacher.items()}
    trained = {name: value.detach().clone().to(dtype).requires_grad_() for name, value in student.items()}
    dense = teacher_forward(batch[:, :-1], frozen, case.config.shape)
    spiking = Student(case.config, trained).forward(batch[:, :-1], keep_membranes=True)
    terms = loss_terms(spiking, dense, batch[:, 1:], (case.config.neuron, setting))
    total = total_loss(terms, setting)
    total.backward()
    gradients = {name: torch.zeros_like(value) if value.grad is None else value.grad for name, value in trained.items()}
    return Run(dense, spiking, terms, total, gradients)


def closeness(case: Case, result: Run) -> float:
    """Distance of the membrane (student's or target encoder's) that is nearest to its threshold; exact counts do not count."""
    neuron = case.config.neuron
    nearest = float("inf")
    for (_, site), membrane in result.student.membranes.items():
        distance = (membrane - neuron.threshold).abs()
        if site in INTEGER_SITES and not case.config.learned_neurons:
            distance = distance[distance > 0]
        nearest = min(nearest, distance.min().item())
    for probabilities in result.teacher.attention:
        distance = (lif(probabilities.expand(neuron.time_steps, *probabilities.shape), neuron)[1] - neuron.threshold).abs()
        nearest = min(nearest, distance[distance > 0].min().item())  # the first token's probability of itself is exactly 1
    return nearest


def accepted(case: Case, result: Run, setting: Distillation) -> bool:
    """Whether spikes are robust, alive and unsaturated, the hinge is decided, and every parameter takes part."""
    rates = [rate.item() for rate in result.student.rates.values()]
    return (
        closeness(case, result) >= MARGIN
        and all(RATE_RANGE[0] <= rate <= RATE_RANGE[1] and abs(rate - setting.rate_target) >= RATE_MARGIN for rate in rates)
        and any(rate < setting.rate_target for rate in rates)
        and all(gradient.abs().max().item() > 1e-7 for gradient in result.gradients.values())
    )


def search(case: Case, setting: Distillation) -> tuple[int, Parameters, Parameters, Tensor, Run]:
    """The first seed whose model is accepted."""
    shape = case.config.shape
    for seed in range(1, 500):
        generator = torch.Generator().manual_seed(seed)
        batch = torch.randint(shape.vocab, (case.batch, case.length + 1), generator=generator)
        teacher = rounded(random_teacher(shape, generator, std=0.45), 4)
        student = rounded(random_student(case.config, teacher, batch[:, :-1], RATES, generator, embedding_noise=0.1), 5 if case.config.embedding_gain > 1 else 4)
        result = run(case, teacher, student, batch, setting, torch.float64)
        if accepted(case, result, setting):
            return seed, teacher, student, batch, result
    raise RuntimeError(f"no seed is accepted for {case.name}")


def float32_deviation(case: Case, exact: Run, single: Run) -> dict[str, float]:
    """Largest deviation of our own float32 run, as a guide to tolerances. Spikes must be identical."""
    for where, membrane in exact.student.membranes.items():
        threshold = case.config.neuron.threshold
        if not torch.equal(membrane >= threshold, single.student.membranes[where] >= threshold):
            raise RuntimeError(f"{case.name}: float32 changes spikes at {where}")
    return {
        "logits": (exact.student.logits - single.student.logits).abs().max().item(),
        "terms": max((exact.terms[name] - single.terms[name]).abs().item() for name in exact.terms),
        "gradients": max((exact.gradients[name] - single.gradients[name]).abs().max().item() for name in exact.gradients),
    }


def values(tensor: Tensor, digits: int = 9) -> list[float] | list[int]:
    """Row-major numbers of a tensor, shortened to significant digits; integers when all are."""
    flat = [float(f"{value:.{digits}g}") for value in tensor.detach().flatten().tolist()]
    return [int(value) for value in flat] if all(value == int(value) for value in flat) else flat


def tensors(weights: Parameters) -> dict[str, Any]:
    """Named tensors with their shapes."""
    return {name: {"shape": list(value.shape), "values": values(value)} for name, value in weights.items()}


def describe_config(config: StudentConfig) -> dict[str, Any]:
    """The configuration in the words of the TypeScript code."""
    shape, neuron = config.shape, config.neuron
    return {
        "vocabSize": shape.vocab, "hiddenSize": shape.width, "layers": shape.layers, "heads": shape.heads,
        "feedForwardSize": shape.feed_forward, "contextLength": shape.context, "neuron": describe_neuron(neuron),
        "residualWrite": config.residual_write, "learnedNeurons": config.learned_neurons, "onOff": config.on_off,
        "relativeBias": config.relative_bias, "embeddingGain": config.embedding_gain, "layerNormEps": 1e-5,
    }


def describe_neuron(neuron: Neuron) -> dict[str, Any]:
    """Constants of a neuron in the words of the TypeScript code."""
    return {
        "timeSteps": neuron.time_steps, "decay": neuron.decay, "threshold": neuron.threshold, "reset": neuron.reset,
        "surrogate": neuron.surrogate, "surrogateAlpha": neuron.alpha, "detachReset": neuron.detach_reset,
    }


def describe_losses(setting: Distillation) -> dict[str, Any]:
    """Loss weights by term, and constants."""
    numbers = asdict(setting)
    weights = {"rateLoss": numbers["rate_loss"], **{name: numbers[name] for name in ("ea", "saa", "sfa", "sta", "hta")}}
    return {"weights": weights, "gamma": setting.gamma, "temperature": setting.temperature, "rateTarget": setting.rate_target}


def model_document(case: Case, setting: Distillation) -> dict[str, Any]:
    """One case of practical.json or paper.json."""
    seed, teacher, student, batch, exact = search(case, setting)
    single = run(case, teacher, student, batch, setting, torch.float32)
    deviation = float32_deviation(case, exact, single)
    print(f"{case.name}: seed {seed}, nearest membrane {closeness(case, exact):.1e}, float32 deviation {deviation}")
    print("  rates", {f"{layer}.{site}": round(rate.item(), 3) for (layer, site), rate in exact.student.rates.items()})
    print("  terms", {name: round(term.item(), 4) for name, term in exact.terms.items()})
    return {
        "name": case.name, "seed": seed, "config": describe_config(case.config), "losses": describe_losses(setting),
        "batch": {"shape": list(batch.shape), "values": batch.flatten().tolist()},
        "teacherWeights": tensors(teacher), "studentWeights": tensors(student),
        "teacher": {
            "logits": values(exact.teacher.logits), "hidden": [values(x) for x in exact.teacher.hidden],
            "attention": [values(x) for x in exact.teacher.attention],
        },
        "student": {
            "logits": values(exact.student.logits), "embedding": values(exact.student.embedding),
            "features": [values(x) for x in exact.student.features], "attention": [values(x) for x in exact.student.attention],
            "rates": [{"layer": layer, "site": site, "rate": rate.item()} for (layer, site), rate in exact.student.rates.items()],
        },
        "terms": {name: term.item() for name, term in exact.terms.items()}, "total": exact.total.item(),
        "gradients": {name: values(gradient) for name, gradient in exact.gradients.items()},
        "nearestMembrane": closeness(case, exact), "float32Deviation": deviation,
    }


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


def main() -> None:
    """Rewrites all fixtures."""
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    origin = {"format": 1, "generator": "bench/peers/reference_fixtures.py", "precision": "float64", "torch": torch.__version__}
    for preset in ("practical", "paper"):
        documents = [model_document(case, setting_of(preset)) for case in cases(preset)]
        write(f"{preset}.json", {**origin, "preset": preset, "cases": documents})
    groups = [lif_group("changing-current", False, 1.0, 0.9), lif_group("constant-current-on-off", True, 0.7, 0.8)]
    write("lif.json", {**origin, "groups": groups})


if __name__ == "__main__":
    main()
