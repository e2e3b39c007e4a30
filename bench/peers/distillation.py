"""Spike-aware alignment distillation: five losses and a hinge on firing rates (paper, Table 3; hinge and form choices are ours)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron import Neuron, lif
from student import StudentTrace
from teacher import TeacherTrace

MAC_SHARE = {"attention_entry": 3, "query": 1, "key": 1, "value": 1, "attention": 1, "attention_out": 1, "feed_forward_entry": 4, "hidden": 4}
"""Units of D squared (of L times D for the attention products) that each site's spikes are multiplied into; 16 a layer."""


@dataclass(frozen=True)
class Distillation:
    """Weights of the loss terms and their constants."""

    ea: float = 0.2
    saa: float = 0.1
    sfa: float = 0.1
    sta: float = 0.3
    hta: float = 0.3
    rate_loss: float = 2.0
    rate_target: float = 0.10
    gamma: float = 0.5
    temperature: float = 2.0


def attention_loss(student: list[Tensor], teacher: list[Tensor], neuron: Neuron, gamma: float) -> Tensor:
    """SAA: gamma (mean map - rate of the teacher's probabilities)^2 + (1 - gamma) (mean map - probabilities)^2 over causal pairs."""
    length = teacher[0].shape[-1]
    causal = torch.ones(length, length, dtype=teacher[0].dtype, device=teacher[0].device).tril()
    pairs = teacher[0][..., 0].numel() * (length + 1) / 2
    layers = []
    for mean_map, probabilities in zip(student, teacher):
        with torch.no_grad():
            rate = lif(probabilities.expand(neuron.time_steps, *probabilities.shape), neuron)[0].mean(0)
        mixed = gamma * (mean_map - rate) ** 2 + (1 - gamma) * (mean_map - probabilities) ** 2
        layers.append((mixed * causal).sum() / pairs)
    return torch.stack(layers).mean()


def feature_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """SFA: mean squared difference of the normalised streams after each block, averaged over blocks."""

    def normalise(x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=1e-5)

    return torch.stack([F.mse_loss(normalise(ours), normalise(theirs)) for ours, theirs in zip(student, teacher)]).mean()


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """STA: temperature^2 KL(teacher || student), summed over the vocabulary, mean over targets."""
    ours, theirs = (F.log_softmax(logits.flatten(0, 1) / temperature, -1) for logits in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def rate_loss(rates: dict[tuple[int, str], Tensor], layers: int, target: float) -> Tensor:
    """Sum over sites of MAC share times the excess of the mean rate over the target."""
    shares = [MAC_SHARE[site] / (16 * layers) * torch.relu(rate - target) for (_, site), rate in rates.items() if site in MAC_SHARE]
    return torch.stack(shares).sum()


def loss_terms(student: StudentTrace, teacher: TeacherTrace, labels: Tensor, setting: tuple[Neuron, Distillation]) -> dict[str, Tensor]:
    """The unweighted terms; labels (B, L) are the tokens that follow the inputs."""
    neuron, distillation = setting
    return {
        "ea": F.mse_loss(student.embedding, teacher.hidden[0]),
        "saa": attention_loss(student.attention, teacher.attention, neuron, distillation.gamma),
        "sfa": feature_loss(student.features, teacher.hidden[1:]),
        "sta": soft_target_loss(student.logits, teacher.logits, distillation.temperature),
        "hta": F.cross_entropy(student.logits.flatten(0, 1), labels.flatten()),
        "rateLoss": rate_loss(student.rates, len(student.features), distillation.rate_target),
    }


def total_loss(terms: dict[str, Tensor], weights: Distillation) -> Tensor:
    """The weighted sum that is minimised."""
    return (
        weights.ea * terms["ea"] + weights.saa * terms["saa"] + weights.sfa * terms["sfa"]
        + weights.sta * terms["sta"] + weights.hta * terms["hta"] + weights.rate_loss * terms["rateLoss"]
    )
