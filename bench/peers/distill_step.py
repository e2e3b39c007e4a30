"""Times whole distillation steps in plain float32 PyTorch on the CPU, as a peer for the TypeScript trainer.

One step: teacher forward with attention maps, student forward and backward through T time steps, the five losses and the rate
hinge, gradient clipping by a float64 norm, Adam. The weights are random, calibrated to about 10 % firing; the work of a dense
simulation does not depend on the rates, but gradients and stability do.

    python3 bench/peers/distill_step.py --d-model 64 --layers 3 --heads 2 --context 64 --batch 16 --time-steps 2 --json
"""

from __future__ import annotations

import argparse
import json
import os


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"d-model": 64, "layers": 3, "heads": 2, "context": 64, "batch": 16, "time-steps": 2, "vocab": 512, "threads": 1}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--blas-threads", type=int, default=1,
                        help="threads of OpenBLAS, whose pool is apart from PyTorch's; both at 2 fight for two cores; default 1")
    parser.add_argument("--feed-forward", type=int, default=None, help="default 4 x d-model")
    parser.add_argument("--steps", type=int, default=20, help="timed steps; default 20")
    parser.add_argument("--warm-up", type=int, default=3, help="untimed steps before; default 3")
    parser.add_argument("--preset", choices=("practical", "paper"), default="practical")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--serve", action="store_true",
                        help="read numbers of steps from standard input, one a line, and answer each with the times of these steps")
    return parser.parse_args()


def main() -> None:
    """Fixes the number of threads, measures and reports."""
    options = parse_arguments()
    # Read when the libraries are loaded, hence before the import of torch.
    os.environ.update({"OMP_NUM_THREADS": str(options.threads), "OPENBLAS_NUM_THREADS": str(options.blas_threads)})
    from timed_step import measure, serve

    if options.serve:
        serve(options)
        return
    report = measure(options)
    if options.json:
        print(json.dumps(report))
        return
    wall, processor = report["stepMs"], report["processorMs"]
    print(f"{wall['median']:.1f} ms a step (median of {options.steps}, min {wall['min']:.1f}, deviation {wall['deviation']:.1f}; processor "
          f"{processor['median']:.1f} ms), {report['tokensPerSecond']:.0f} tokens/s, mean rate {report['meanRate']['first']:.3f}, "
          f"loss {report['lastLoss']:.3f}")


if __name__ == "__main__":
    main()
