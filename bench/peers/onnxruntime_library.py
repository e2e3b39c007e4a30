"""Runs a network of `onnx-file.ts` through onnxruntime's shared library and answers requests about it, one line of JSON each:

    python3 bench/peers/onnxruntime_library.py FOLDER --model network.onnx --shape '{"layers": 12, ...}' --threads 1 --context 112

FOLDER holds libonnxruntime.so somewhere below it: an npm folder with onnxruntime-node, or an unpacked release. The library is used through its C
interface, a table of functions whose order never changes, because onnxruntime-node copies every output: here attention writes its cache in place.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import timed

FLOAT32, INT32, INT64 = 1, 6, 7
ELEMENTS = {FLOAT32: ctypes.c_float, INT32: ctypes.c_int32, INT64: ctypes.c_int64}
API_VERSION = 17
# Places in the table `OrtApi`, and the types of the arguments.
POINTER, INT, TEXT, SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
FUNCTIONS: dict[str, tuple[int, list[Any]]] = {
    "GetErrorMessage": (2, [POINTER]),
    "CreateEnv": (3, [INT, TEXT, POINTER]),
    "CreateSession": (7, [POINTER, TEXT, POINTER, POINTER]),
    "Run": (9, [POINTER, POINTER, POINTER, POINTER, SIZE, POINTER, SIZE, POINTER]),
    "CreateSessionOptions": (10, [POINTER]),
    "SetSessionExecutionMode": (13, [POINTER, INT]),
    "SetSessionGraphOptimizationLevel": (23, [POINTER, INT]),
    "SetIntraOpNumThreads": (24, [POINTER, INT]),
    "SetInterOpNumThreads": (25, [POINTER, INT]),
    "CreateTensorWithDataAsOrtValue": (49, [POINTER, POINTER, SIZE, POINTER, SIZE, INT, POINTER]),
    "CreateCpuMemoryInfo": (69, [INT, INT, POINTER]),
    "ReleaseValue": (96, [POINTER]),
}
WARNINGS, SEQUENTIAL, ALL_OPTIMIZATIONS, ARENA, DEFAULT_MEMORY = 2, 0, 99, 1, 0


class ApiBase(ctypes.Structure):
    """OrtApiBase."""

    _fields_ = [("get_api", ctypes.CFUNCTYPE(POINTER, ctypes.c_uint32)), ("get_version", ctypes.CFUNCTYPE(TEXT))]


def first(folder: Path) -> ctypes.CDLL:
    """The library below a folder; npm's package has one for each kind of processor, of which one loads."""
    for file in sorted(folder.rglob("libonnxruntime.so*")):
        try:
            return ctypes.CDLL(str(file))
        except OSError:
            continue
    raise SystemExit(f"{folder} has no libonnxruntime.so for this machine")


class Onnxruntime:
    """The functions we use."""

    def __init__(self, folder: Path) -> None:
        library = first(folder)
        library.OrtGetApiBase.restype = ctypes.POINTER(ApiBase)
        base = library.OrtGetApiBase().contents
        self.version = base.get_version().decode()
        address = base.get_api(API_VERSION)
        if not address:
            raise SystemExit(f"onnxruntime {self.version} is too old: version 1.{API_VERSION} or later is needed")
        self.table = ctypes.cast(address, ctypes.POINTER(POINTER))

    def function(self, name: str, result: Any) -> Callable[..., Any]:
        """A function of the table with its types."""
        place, arguments = FUNCTIONS[name]
        return ctypes.CFUNCTYPE(result, *arguments)(self.table[place])

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function that returns a status."""
        status = self.function(name, POINTER)(*arguments)
        if status:
            raise SystemExit(f"onnxruntime, {name}: {self.function('GetErrorMessage', TEXT)(status).decode()}")

    def make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Calls a function whose last argument is where its result goes."""
        made = POINTER()
        self.call(name, *arguments, ctypes.byref(made))
        return made


class Tensor:
    """A value of onnxruntime over memory of ours."""

    def __init__(self, runtime: Onnxruntime, memory: ctypes.c_void_p, kind: tuple[int, list[int]]) -> None:
        element, extents = kind
        length = 1
        for extent in extents:
            length *= extent
        self.content = (ELEMENTS[element] * length)()
        self.extents = (ctypes.c_int64 * max(1, len(extents)))(*extents)
        self.value = runtime.make("CreateTensorWithDataAsOrtValue", memory, self.content, ctypes.sizeof(self.content), self.extents, len(extents), element)
        self.release = runtime.function("ReleaseValue", None)

    def __del__(self) -> None:
        self.release(self.value)

    def fill(self, numbers: list[int]) -> Tensor:
        """Writes numbers."""
        self.content[:] = numbers
        return self


class Network:
    """A session with one cache, whose past and present are the same memory."""

    def __init__(self, runtime: Onnxruntime, model: str, shape: dict[str, int], threads: int) -> None:
        self.runtime, self.shape = runtime, shape
        self.memory = runtime.make("CreateCpuMemoryInfo", ARENA, DEFAULT_MEMORY)
        options = runtime.make("CreateSessionOptions")
        for name, value in (("SetIntraOpNumThreads", threads), ("SetInterOpNumThreads", 1), ("SetSessionExecutionMode", SEQUENTIAL), ("SetSessionGraphOptimizationLevel", ALL_OPTIMIZATIONS)):
            runtime.call(name, options, value)
        self.environment = runtime.make("CreateEnv", WARNINGS, b"bispik")
        self.session = runtime.make("CreateSession", self.environment, model.encode(), options)
        self.run_session = runtime.function("Run", POINTER)
        extents = [1, shape["heads"], shape["contextLength"], shape["hiddenSize"] // shape["heads"]]
        self.caches = {f"{i}.{which}": self.tensor(FLOAT32, extents) for i in range(shape["layers"]) for which in ("key", "value")}
        self.logits: dict[int, Tensor] = {}

    def tensor(self, element: int, extents: list[int]) -> Tensor:
        """Memory for a value."""
        return Tensor(self.runtime, self.memory, (element, extents))

    def prepare(self, ids: list[int], cached: int, wanted: list[int]) -> tuple[Callable[[], None], Tensor]:
        """A call that runs `ids` behind the cached tokens, and where it puts the logits of the wanted ones."""
        total = cached + len(ids)
        feeds = {
            "ids": self.tensor(INT64, [1, len(ids)]).fill(ids), "positions": self.tensor(INT64, [1, len(ids)]).fill(list(range(cached, total))),
            "wanted": self.tensor(INT64, [len(wanted)]).fill(wanted), "last": self.tensor(INT32, [1]).fill([total - 1]), "total": self.tensor(INT32, []).fill([total]),
            **{f"past.{name}": cache for name, cache in self.caches.items()},
        }
        if len(wanted) not in self.logits:
            self.logits[len(wanted)] = self.tensor(FLOAT32, [1, len(wanted), self.shape["vocabSize"]])
        logits = self.logits[len(wanted)]
        fetches = {"logits": logits, **{f"present.{name}": cache for name, cache in self.caches.items()}}
        names, values, outputs, results = texts(feeds), pointers(feeds), texts(fetches), pointers(fetches)

        def run() -> None:
            status = self.run_session(self.session, None, names, values, len(feeds), outputs, len(fetches), results)
            if status:
                raise SystemExit(f"onnxruntime: {self.runtime.function('GetErrorMessage', TEXT)(status).decode()}")

        return run, logits


def texts(tensors: dict[str, Tensor]) -> Any:
    """The names as C has them."""
    return (TEXT * len(tensors))(*(name.encode() for name in tensors))


def pointers(tensors: dict[str, Tensor]) -> Any:
    """The values as C has them."""
    return (POINTER * len(tensors))(*(tensor.value for tensor in tensors.values()))


class Server:
    """Answers requests about one network."""

    def __init__(self, network: Network, context: int) -> None:
        self.network, self.context = network, context
        if context > 0:
            network.prepare(self.tokens(context), 0, [context - 1])[0]()

    def tokens(self, count: int) -> list[int]:
        """Random ones."""
        return [random.randrange(self.network.shape["vocabSize"]) for _ in range(count)]

    def answer(self, request: dict[str, Any]) -> Any:
        """Does what one request asks for. A pass overwrites the cache from its start: other random tokens, no other work."""
        if "ids" in request:
            run, logits = self.network.prepare(request["ids"], request["cached"], list(range(len(request["ids"]))))
            run()
            return list(logits.content)
        if "decode" in request:
            return timed([self.network.prepare([token], self.context + i, [0])[0] for i, token in enumerate(self.tokens(request["decode"]))])
        count = request["prefill"]
        wanted = [count - 1] if request["logits"] == "last" else list(range(count))
        return timed([self.network.prepare(self.tokens(count), 0, wanted)[0] for _ in range(request["repeats"])])


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", type=json.loads, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=0)
    options = parser.parse_args()
    runtime = Onnxruntime(options.folder)
    server = Server(Network(runtime, options.model, options.shape, options.threads), options.context)
    print(json.dumps({"implementation": f"onnxruntime {runtime.version}"}), flush=True)
    for line in sys.stdin:
        print(json.dumps(server.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
