"""Times whole distillation steps in plain float32 PyTorch on the CPU, as a peer for the TypeScript trainer.

One step: teacher forward with attention maps, student forward and backward through T time steps, the five losses and the rate
hinge, gradient clipping by a float64 norm, Adam. The weights are random, calibrated to about 10 % firing; the work of a dense
simulation does not depend on the rates, but gradients and stability do.

    python3 bench/peers/distill_step.py --d-model 64 --layers 3 --heads 2 --context 64 --batch 16 --time-steps 2 --json
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import statistics
import time

import torch
from torch import Tensor

from calibration import Rates, random_student
from distillation import Distillation, loss_terms, total_loss
from student import Student, StudentConfig, paper, practical
from teacher import Parameters, Shape, random_teacher, teacher_forward

CALIBRATION_SEQUENCES = 4


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"d-model": 64, "layers": 3, "heads": 2, "context": 64, "batch": 16, "time-steps": 2, "vocab": 512, "threads": 1}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--feed-forward", type=int, default=None, help="default 4 x d-model")
    parser.add_argument("--steps", type=int, default=20, help="timed steps; default 20")
    parser.add_argument("--warm-up", type=int, default=3, help="untimed steps before; default 3")
    parser.add_argument("--preset", choices=("practical", "paper"), default="practical")
    parser.add_argument("--default-malloc", action="store_true", help="leave glibc's allocator as it is (slower)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory, so that activations are not mapped anew in every step: a large gain for a dense simulation."""
    top_pad, trim_threshold, mmap_threshold = -2, -1, -3
    libc = ctypes.CDLL(None)
    for option, size in ((mmap_threshold, 32 << 20), (trim_threshold, 2**31 - 1), (top_pad, 64 << 20)):
        libc.mallopt(option, size)


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


def main() -> None:
    """Builds, warms up, times and reports."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    if not options.default_malloc:
        keep_freed_memory()
    generator = torch.Generator().manual_seed(options.seed)
    trainer = build(options, generator)
    times_ms: list[float] = []
    for number in range(options.warm_up + options.steps):
        batch = torch.randint(options.vocab, (options.batch, options.context + 1), generator=generator)
        start = time.perf_counter()
        loss, rates = trainer.step(batch)
        if number >= options.warm_up:
            times_ms.append(1000 * (time.perf_counter() - start))
        if number == 0:
            first_rate = torch.stack(list(rates.values())).mean().item()
    report = {
        "implementation": f"PyTorch {torch.__version__}, autograd, float32", "python": platform.python_version(),
        "machine": platform.machine(), **{key: value for key, value in vars(options).items() if key != "json"},
        "parameters": sum(value.numel() for value in trainer.student.values()),
        "stepMs": {
            "median": statistics.median(times_ms), "mean": statistics.fmean(times_ms),
            "deviation": statistics.stdev(times_ms) if len(times_ms) > 1 else 0.0, "min": min(times_ms), "max": max(times_ms),
        },
        "tokensPerSecond": 1000 * options.batch * options.context / statistics.median(times_ms),
        "firstMeanRate": first_rate, "lastLoss": loss,
    }
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{report['stepMs']['median']:.1f} ms a step (median of {options.steps}, deviation "
              f"{report['stepMs']['deviation']:.1f}), {report['tokensPerSecond']:.0f} tokens/s, mean rate {first_rate:.3f}, loss {loss:.3f}")


if __name__ == "__main__":
    main()
