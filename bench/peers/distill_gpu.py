"""Times whole distillation steps of the PyTorch student on a GPU, for the same shapes and batches as `bench/gpu.bench.ts`.

The step of `timed_step.py` (teacher with attention maps, student forward and backward through T time steps, the five losses, clipping) with
AdamW, as a user of PyTorch would run it there: bfloat16 autocast or float32, eager or under torch.compile. The neuron is functional and
multi-step, a loop over time steps with a surrogate gradient, which is what SpikingJelly's PyTorch backend does. Weights are random and not
calibrated: a dense simulation does the same work at any firing rate.

    python3 bench/peers/distill_gpu.py --out torch.json
    python3 bench/peers/distill_gpu.py --device cpu --d-model 32 --layers 2 --heads 2 --vocab 100 --context 16 --batches 2,1 --modes eager-float32
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Any, Callable

import torch
from torch import Tensor

from calibration import Rates, initial_value
from distillation import Distillation, loss_terms, total_loss
from student import Student, StudentConfig, paper, practical, student_shapes
from teacher import POSITION_OFFSET, PREFIX, Parameters, Shape, TeacherTrace, teacher_forward, teacher_shapes

MODES = ("eager-bf16", "compile-bf16", "eager-float32")
WARM_UP, LEAST_STEPS, MOST_STEPS = 2, 3, 20


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in {"d-model": 768, "layers": 12, "heads": 12, "vocab": 50272, "context": 1024}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--preset", choices=("paper", "practical"), default="paper")
    parser.add_argument("--time-steps", default="4,2", help="default 4,2")
    parser.add_argument("--batches", default="8,1,2,4,16,32", help="default 8,1,2,4,16,32; after one that does not fit, larger ones are left out")
    parser.add_argument("--compile-batches", default="8,4,2", help="compiling takes minutes, so only the first of these that fits is timed; default 8,4,2")
    parser.add_argument("--modes", default=",".join(MODES), help=f"default {','.join(MODES)}")
    parser.add_argument("--device", default="cuda", help="cuda or cpu; default cuda")
    parser.add_argument("--seconds-per-batch", type=float, default=5.0, help="timed steps of a batch end after this long, not before the third; default 5")
    parser.add_argument("--limit-s", type=float, default=180.0, help="nothing is begun after this long; default 180")
    parser.add_argument("--out", default=None, help="JSON file that is written anew after every batch; default: standard output, at the end")
    return parser.parse_args()


class GpuTrainer:
    """Teacher, student and optimiser on one device, in one precision."""

    def __init__(self, config: StudentConfig, mode: str, device: torch.device) -> None:
        self.config, self.device = config, device
        self.is_half = mode.endswith("bf16")
        generator = torch.Generator(device).manual_seed(0)
        self.teacher = random_weights(teacher_shapes(config.shape), device, generator, lambda name, noise: noise / config.shape.width**0.5)
        for name in self.teacher:
            if "layer_norm" in name:
                self.teacher[name].fill_(1.0 if name.endswith("weight") else 0.0)
        if self.is_half:
            self.teacher = {name: value.bfloat16() for name, value in self.teacher.items()}
        student = random_weights(student_shapes(config), device, generator, lambda name, noise: initial_value(name, noise, Rates()))
        if config.learned_neurons:
            rows = slice(POSITION_OFFSET, POSITION_OFFSET + config.shape.context)
            student["embed_tokens.weight"] = self.teacher[PREFIX + "embed_tokens.weight"].float()
            student["embed_positions.weight"] = self.teacher[PREFIX + "embed_positions.weight"][rows].float()
        self.student = {name: value.detach().clone().requires_grad_() for name, value in student.items()}
        self.setting = Distillation(rate_loss=2.0 if config.learned_neurons else 0.0)
        fused = {"fused": True} if device.type == "cuda" and int(torch.__version__.split(".")[0]) >= 2 else {}
        self.optimizer = torch.optim.AdamW(list(self.student.values()), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.0, **fused)
        self.run_teacher: Callable[..., TeacherTrace] = teacher_forward
        self.loss: Callable[..., Tensor] = self._loss
        if mode.startswith("compile"):
            self.run_teacher, self.loss = torch.compile(teacher_forward), torch.compile(self._loss)

    def _loss(self, inputs: Tensor, labels: Tensor, teacher: TeacherTrace) -> Tensor:
        student = Student(self.config, self.student).forward(inputs)
        return total_loss(loss_terms(student, teacher, labels, (self.config.neuron, self.setting)), self.setting)

    def step(self, batch: Tensor) -> float:
        """One update on (B, L + 1) tokens; the loss before it. Reading it waits for the device."""
        inputs, labels = batch[:, :-1], batch[:, 1:]
        teacher = self.run_teacher(inputs, self.teacher, self.config.shape)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_half):
            loss = self.loss(inputs, labels, teacher)
        del teacher
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.values(), 1.0)
        self.optimizer.step()
        value = loss.item()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return value


def random_weights(
    shapes: dict[str, tuple[int, ...]], device: torch.device, generator: torch.Generator, value: Callable[[str, Tensor], Tensor],
) -> Parameters:
    """Float32 tensors of these shapes, each made from normal noise."""
    return {name: value(name, torch.randn(size, generator=generator, device=device)) for name, size in shapes.items()}


def time_batch(trainer: GpuTrainer, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Steps of one batch size: times by the clock and the most memory that was allocated."""
    generator = torch.Generator().manual_seed(batch)
    tokens = torch.randint(options.vocab, (batch, options.context + 1), generator=generator).to(trainer.device)
    is_cuda = trainer.device.type == "cuda"
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    first = time.perf_counter()
    trainer.step(tokens)
    first_ms = 1000 * (time.perf_counter() - first)
    for _ in range(WARM_UP - 1):
        trainer.step(tokens)
    times: list[float] = []
    end = time.perf_counter() + options.seconds_per_batch
    while len(times) < LEAST_STEPS or (time.perf_counter() < end and len(times) < MOST_STEPS):
        start = time.perf_counter()
        loss = trainer.step(tokens)
        times.append(1000 * (time.perf_counter() - start))
    median = statistics.median(times)
    return {
        "batch": batch, "tokensPerSecond": 1000 * batch * options.context / median, "stepMs": {"min": min(times), "median": median, "max": max(times)},
        "steps": len(times), "firstStepMs": first_ms, "loss": loss, "maxAllocatedBytes": torch.cuda.max_memory_allocated() if is_cuda else None,
        "maxReservedBytes": torch.cuda.max_memory_reserved() if is_cuda else None,
    }


def run_batches(trainer: GpuTrainer, batches: list[int], only_first: bool, context: dict[str, Any]) -> None:
    """Times batch after batch, leaving out what is larger than one that failed; every result is kept at once."""
    options, found, end, keep = context["options"], context["found"], context["end"], context["keep"]
    limit = float("inf")
    for batch in batches:
        if batch >= limit or time.monotonic() > end:
            continue
        try:
            found.append(time_batch(trainer, batch, options))
        except RuntimeError as error:  # out of memory is one of these in every version
            found.append({"batch": batch, "error": str(error).strip().split("\n")[0][:300]})
            trainer.optimizer.zero_grad(set_to_none=True)
            limit = batch
        keep()
        if only_first and "error" not in found[-1]:
            return


def numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Times every mode at every number of time steps."""
    options = parse_arguments()
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
    shape = Shape(options.vocab, options.d_model, options.layers, options.heads, 4 * options.d_model, options.context)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    document: dict[str, Any] = {
        "implementation": f"PyTorch {torch.__version__}", "python": platform.python_version(), "device": name,
        "shape": vars(shape), "preset": options.preset, "students": [],
    }

    def keep() -> None:
        if options.out is not None:
            with open(options.out, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)

    end = time.monotonic() + options.limit_s
    for time_steps in numbers(options.time_steps):
        for mode in options.modes.split(","):
            student: dict[str, Any] = {"timeSteps": time_steps, "mode": mode, "batches": []}
            document["students"].append(student)
            if time.monotonic() > end:
                student["skipped"] = "no time was left"
                continue
            if mode.startswith("compile") and not hasattr(torch, "compile"):
                student["skipped"] = f"PyTorch {torch.__version__} has no torch.compile"
                continue
            config = (paper if options.preset == "paper" else practical)(shape, time_steps)
            trainer = GpuTrainer(config, mode, device)
            is_compiled = mode.startswith("compile")
            batches = numbers(options.compile_batches if is_compiled else options.batches)
            try:
                run_batches(trainer, batches, is_compiled, {"options": options, "found": student["batches"], "end": end, "keep": keep})
            except Exception as error:  # the compiler's own failures: the other modes still count
                student["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
            del trainer
    keep()
    json.dump(document, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
