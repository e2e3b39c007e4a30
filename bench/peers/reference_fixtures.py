"""Writes test/fixtures/student-reference/{practical,paper,lif}.json: float64 results of this independent implementation.

    python3 bench/peers/reference_fixtures.py            # rewrites the fixtures (same seeds, same numbers)

Seeds are searched until no decision is close: every membrane is at least MARGIN away from its threshold, so that a float32
implementation must produce the same spikes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from calibration import Rates, random_student
from distillation import Distillation, loss_terms, total_loss
from fixture_format import FOLDER, MARGIN, describe_neuron, rounded, tensors, values, write
from lif_fixtures import lif_group
from neuron import lif
from student import Student, StudentConfig, StudentTrace, paper, practical
from teacher import Parameters, Shape, TeacherTrace, random_teacher, teacher_forward

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
        drawn = random_student(case.config, teacher, batch[:, :-1], RATES, generator, embedding_noise=0.1)
        student = rounded(drawn, 5 if case.config.embedding_gain > 1 else 4)
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


def describe_config(config: StudentConfig) -> dict[str, Any]:
    """The configuration in the words of the TypeScript code."""
    shape, neuron = config.shape, config.neuron
    return {
        "vocabSize": shape.vocab, "hiddenSize": shape.width, "layers": shape.layers, "heads": shape.heads,
        "feedForwardSize": shape.feed_forward, "contextLength": shape.context, "neuron": describe_neuron(neuron),
        "residualWrite": config.residual_write, "learnedNeurons": config.learned_neurons, "onOff": config.on_off,
        "relativeBias": config.relative_bias, "embeddingGain": config.embedding_gain, "layerNormEps": 1e-5,
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
