"""One distillation step in plain float32 PyTorch, and how long it takes."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Any

import torch
from torch import Tensor

from calibration import Rates, random_student
from distillation import Distillation, loss_terms, total_loss
from student import Student, StudentConfig, paper, practical
from teacher import Parameters, Shape, random_teacher, teacher_forward

CALIBRATION_SEQUENCES = 4


class Trainer:
    """Teacher, student and optimiser of one timing run."""

    def __init__(self, config: StudentConfig, teacher: Parameters, student: Parameters) -> None:
        self.config = config
        self.teacher = {name: value.float() for name, value in teacher.items()}
        self.student = {name: value.float().requires_grad_() for name, value in student.items()}
        self.setting = Distillation()
        self.optimizer = torch.optim.Adam(self.student.values(), lr=1e-3, betas=(0.9, 0.98), eps=1e-8)

    def step(self, batch: Tensor) -> tuple[float, dict[tuple[int, str], Tensor]]:
        """One update on (B, L + 1) tokens; the loss before it and the firing rates."""
        inputs, labels = batch[:, :-1], batch[:, 1:]
        teacher = teacher_forward(inputs, self.teacher, self.config.shape)
        student = Student(self.config, self.student).forward(inputs)
        loss = total_loss(loss_terms(student, teacher, labels, (self.config.neuron, self.setting)), self.setting)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._clip(1.0)
        self.optimizer.step()
        return loss.item(), student.rates

    def _clip(self, limit: float) -> None:
        grads = [value.grad for value in self.student.values() if value.grad is not None]
        norm = torch.stack([grad.double().pow(2).sum() for grad in grads]).sum().sqrt().item()
        if norm > limit:
            for grad in grads:
                grad.mul_(limit / norm)


def build(options: argparse.Namespace, generator: torch.Generator) -> Trainer:
    """A trainer with random teacher and calibrated student."""
    width = options.d_model
    shape = Shape(options.vocab, width, options.layers, options.heads, options.feed_forward or 4 * width, options.context)
    config = (practical if options.preset == "practical" else paper)(shape, options.time_steps)
    teacher = random_teacher(shape, generator, std=1 / width**0.5)
    sample = torch.randint(shape.vocab, (min(options.batch, CALIBRATION_SEQUENCES), shape.context), generator=generator)
    return Trainer(config, teacher, random_student(config, teacher, sample, Rates(), generator))


def timed(trainer: Trainer, options: argparse.Namespace, generator: torch.Generator) -> tuple[float, float, float, Tensor]:
    """One step on a random batch: wall and processor time in milliseconds, loss, mean firing rate."""
    batch = torch.randint(options.vocab, (options.batch, options.context + 1), generator=generator)
    start, start_processor = time.perf_counter(), time.process_time()
    loss, by_site = trainer.step(batch)
    wall_ms, processor_ms = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - start_processor)
    return wall_ms, processor_ms, loss, torch.stack(list(by_site.values())).mean().detach()


def describe() -> dict[str, str]:
    """What computes."""
    return {"implementation": f"PyTorch {torch.__version__}, autograd, float32", "python": platform.python_version()}


def serve(options: argparse.Namespace) -> None:
    """Warms up, says what computes, then answers every line of standard input, a number of steps, with the times of these steps."""
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(options.seed)
    trainer = build(options, generator)
    for _ in range(options.warm_up):
        timed(trainer, options, generator)
    print(json.dumps(describe()), flush=True)
    for line in sys.stdin:
        steps = [timed(trainer, options, generator) for _ in range(int(line))]
        print(json.dumps({"wallMs": [step[0] for step in steps], "processorMs": [step[1] for step in steps]}), flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Builds, warms up and times; wall time and processor time of each step in milliseconds."""
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(options.seed)
    trainer = build(options, generator)
    steps = [timed(trainer, options, generator) for _ in range(options.warm_up + options.steps)]
    wall_ms = [step[0] for step in steps[options.warm_up :]]
    return {
        **describe(), "machine": platform.machine(),
        "options": {key: value for key, value in vars(options).items() if key not in ("json", "serve")},
        "parameters": sum(value.numel() for value in trainer.student.values()),
        "stepMs": summary(wall_ms), "processorMs": summary([step[1] for step in steps[options.warm_up :]]),
        "tokensPerSecond": 1000 * options.batch * options.context / statistics.median(wall_ms),
        "meanRate": {"first": steps[0][3].item(), "last": steps[-1][3].item()}, "lastLoss": steps[-1][2],
    }


def summary(times: list[float]) -> dict[str, float]:
    """Middle and spread of some times."""
    deviation = statistics.stdev(times) if len(times) > 1 else 0.0
    return {"median": statistics.median(times), "mean": statistics.fmean(times), "deviation": deviation, "min": min(times), "max": max(times)}
