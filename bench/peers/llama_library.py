"""Times llama.cpp through its shared libraries, where no `llama-bench` is at hand; takes that program's options and prints its keys,
and `samples_processor_ts`: tokens per second of processor time.

    python3 bench/peers/llama_library.py FOLDER -m model.gguf -p 128 -n 64 -t 1 -r 5 -o json

FOLDER holds libllama, libggml and its processor back ends. As `llama-bench` does: random tokens, default parameters, the memory cleared
before every repetition, one warm-up; prompts in one batch with the last token's logits, generation token by token from an empty context.
Parameter structures are passed as the library's own defaults, as bytes, so no layout of theirs is assumed; the thread count is set afterwards.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Bytes(ctypes.Structure):
    """A structure of the library, larger than any version of it; passed on unread."""

    _fields_ = [("bytes", ctypes.c_uint64 * 64)]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [("n_tokens", ctypes.c_int32), ("pointers", ctypes.c_void_p * 6)]


def declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of the library with its types."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


class Llama:
    """A loaded model with one context."""

    def __init__(self, folder: Path, model: str, threads: int) -> None:
        ggml, library = (ctypes.CDLL(str(first(folder, name)), mode=ctypes.RTLD_GLOBAL) for name in ("libggml.", "libllama."))
        declare(ggml, "ggml_backend_load_all_from_path", None, ctypes.c_char_p)(str(folder).encode())
        declare(library, "llama_log_set", None, ctypes.c_void_p, ctypes.c_void_p)(QUIET, None)
        parameters = declare(library, "llama_model_default_params", Bytes)()
        self.model = declare(library, "llama_model_load_from_file", ctypes.c_void_p, ctypes.c_char_p, Bytes)(model.encode(), parameters)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {model}")
        parameters = declare(library, "llama_context_default_params", Bytes)()
        self.context = declare(library, "llama_init_from_model", ctypes.c_void_p, ctypes.c_void_p, Bytes)(self.model, parameters)
        declare(library, "llama_set_n_threads", None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)(self.context, threads, threads)
        vocabulary = declare(library, "llama_model_get_vocab", ctypes.c_void_p, ctypes.c_void_p)(self.model)
        self.vocabulary = declare(library, "llama_vocab_n_tokens", ctypes.c_int32, ctypes.c_void_p)(vocabulary)
        self.one_batch = declare(library, "llama_batch_get_one", Batch, ctypes.POINTER(ctypes.c_int32), ctypes.c_int32)
        self.decode = declare(library, "llama_decode", ctypes.c_int32, ctypes.c_void_p, Batch)
        self.synchronize = declare(library, "llama_synchronize", None, ctypes.c_void_p)
        memory = declare(library, "llama_get_memory", ctypes.c_void_p, ctypes.c_void_p)(self.context)
        clear = declare(library, "llama_memory_clear", None, ctypes.c_void_p, ctypes.c_bool)
        self.clear = lambda: clear(memory, True)
        self.system = declare(library, "llama_print_system_info", ctypes.c_char_p)().decode()

    def append(self, count: int) -> None:
        """Runs `count` random tokens in one batch."""
        tokens = (ctypes.c_int32 * count)(*(random.randrange(self.vocabulary) for _ in range(count)))
        if self.decode(self.context, self.one_batch(tokens, count)) != 0:
            raise SystemExit("llama_decode failed")
        self.synchronize(self.context)


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def QUIET(_level: int, _text: bytes, _data: int) -> None:
    """Drops the library's log."""


def first(folder: Path, start: str) -> Path:
    """The library of that name, whatever its version."""
    found = sorted(folder.glob(f"{start}*so*"))
    if not found:
        raise SystemExit(f"{folder} has no {start}so")
    return found[0]


def rates(llama: Llama, batches: list[int], repeats: int) -> list[tuple[float, float]]:
    """Tokens per second of wall time and of processor time, for each repetition of these batches."""
    result = []
    for _ in range(repeats + 1):
        llama.clear()
        start, start_processor = time.perf_counter(), time.process_time()
        for count in batches:
            llama.append(count)
        result.append((sum(batches) / (time.perf_counter() - start), sum(batches) / (time.process_time() - start_processor)))
    return result[1:]


def main() -> None:
    """Measures a prompt and a generation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("-m", required=True)
    for name, default in (("-p", 128), ("-n", 64), ("-t", 1), ("-r", 5)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("-o", choices=["json"], default="json")
    options = parser.parse_args()
    llama = Llama(options.folder.resolve(), options.m, options.t)
    entries = []
    for prompt, generated, batches in ((options.p, 0, [options.p]), (0, options.n, [1] * options.n)):
        if prompt + generated == 0:
            continue
        both = rates(llama, batches, options.r)
        samples = [wall for wall, _ in both]
        entries.append({
            "n_prompt": prompt, "n_gen": generated, "n_threads": options.t, "samples_ts": samples, "samples_processor_ts": [processor for _, processor in both], "avg_ts": statistics.fmean(samples),
            "stddev_ts": statistics.stdev(samples) if len(samples) > 1 else 0.0, "build_commit": first(options.folder, "libllama.").name, "cpu_info": llama.system,
        })
    print(json.dumps(entries))


if __name__ == "__main__":
    main()
