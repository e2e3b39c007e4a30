"""The same spiking network without its sparsity, in plain PyTorch: spikes are float32 zeros and ones and every product is dense.

    python3 bench/peers/dense_torch.py --model FOLDER --context 128 --threads 1

FOLDER is a student folder (config.json, model.safetensors; soft reset, learned neurons, distance currents, current residual). Says what
computes, then answers each line of standard input, one JSON request, with one line:
  {"decode": 8}                                       8 tokens behind a cached prompt of `context` tokens, one at a time with logits
  {"prefill": 128, "repeats": 3, "logits": "last"}    whole passes over 128 tokens; "all": logits of every token
  {"spikes": [3, 1, 4]}                               how many neurons fire on these tokens (attention aside): for checks
Times are {"wallMs": [...], "processorMs": [...]}. A decoding step writes its key and value into the place kept for it: no cache grows.
Each product is written in whichever of three ways is fastest here for its matrix and number of rows (tried once; one row of the head: half the
time of `linear`).
"""

from __future__ import annotations

import argparse
import json
import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from timing import timed


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All float32 tensors of a safetensors file."""
    with file.open("rb") as handle:
        content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
    size = int.from_bytes(content[:8], "little")
    entries = {name: entry for name, entry in json.loads(content[8 : 8 + size]).items() if name != "__metadata__"}
    tensors = {}
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(content, dtype=torch.float32, count=(end - begin) // 4, offset=8 + size + begin)
        tensors[name] = flat.view(entry["shape"]).clone()
    return tensors


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": F.linear,
    "turned": lambda x, weight: (weight @ x.t()).t(),
    "rows": lambda x, weight: torch.stack([weight @ row for row in x]),
}
"""Ways to write x W^T."""
MOST_SINGLE_ROWS = 8


def fastest(x: Tensor, weights: list[Tensor]) -> str:
    """The product that takes least processor time for rows x, over matrices that are too many for the cache."""
    times = {}
    for name, product in PRODUCTS.items():
        if name == "rows" and len(x) > MOST_SINGLE_ROWS:
            continue
        start = time.process_time()
        for weight in weights * 2:
            product(x, weight)
        times[name] = time.process_time() - start
    return min(times, key=lambda name: times[name])


class Network:
    """A student; vectors are (T, N, width)."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        if config["reset"] != "soft" or config["residual_write"] != "current" or not (config["learned_neurons"] and config["relative_bias"]):
            raise SystemExit("only soft reset, learned neurons, distance currents and the current residual are simulated")
        self.weights = read_tensors(folder / "model.safetensors")
        self.layers, self.heads, self.width = config["num_hidden_layers"], config["num_attention_heads"], config["hidden_size"]
        self.steps, self.decay, self.threshold = config["time_steps"], config["decay"], config["threshold"]
        self.on_off, self.embedding_gain, self.eps = config["on_off"], config["embedding_gain"], config["layer_norm_eps"]
        self.matrices = {name: [self.get(i, f"{name}.weight") for i in range(self.layers)] for name in ("qkv", "out", "fc1", "fc2")}
        self.chosen: dict[tuple[str, int], str] = {}
        self.spikes = 0.0
        self.counts_spikes = False

    def get(self, layer: int, name: str) -> Tensor:
        """A parameter of a block."""
        return self.weights[f"layers.{layer}.{name}"]

    def fire(self, current: Tensor) -> Tensor:
        """u[t] = I[t] + decay u[t-1] - threshold s[t-1]; s[t] = [u[t] >= threshold]; overwrites the currents with the spikes."""
        membrane = fired = None
        for step in current:
            membrane = step.clone() if fired is None else membrane.mul_(self.decay).sub_(fired, alpha=self.threshold).add_(step)
            fired = torch.ge(membrane, self.threshold, out=step)
        return current

    def counted(self, spikes: Tensor) -> Tensor:
        """Adds to the number of spikes where a check asks for it."""
        if self.counts_spikes:
            self.spikes += spikes.sum().item()
        return spikes

    def entrance(self, stream: Tensor, layer: int, site: str) -> Tensor:
        """Entrance neurons, both signs with on/off pairs."""
        both = torch.cat((stream, -stream), -1) if self.on_off else stream
        return self.counted(self.fire(torch.addcmul(self.get(layer, f"{site}.bias"), both, self.get(layer, f"{site}.gain"))))

    def product(self, x: Tensor, name: str, weights: list[Tensor], layer: int = 0) -> Tensor:
        """x W^T for rows of x."""
        if (name, len(x)) not in self.chosen:
            self.chosen[name, len(x)] = fastest(x, weights)
        return PRODUCTS[self.chosen[name, len(x)]](x, weights[layer])

    def linear(self, spikes: Tensor, layer: int, name: str) -> Tensor:
        """W s + b."""
        rows = self.product(spikes.flatten(0, 1), name, self.matrices[name], layer)
        return (rows + self.get(layer, f"{name}.bias")).view(*spikes.shape[:2], -1)

    def split(self, qkv: Tensor) -> list[Tensor]:
        """Query, key and value as (T, H, N, K)."""
        return [part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in qkv.chunk(3, -1)]

    def attend(self, query: Tensor, cache: tuple[Tensor, Tensor], layer: int) -> Tensor:
        """Values (T, N, D) summed over the keys whose attention neuron fires; the last query stands at the last key."""
        keys, values = cache
        current = query @ keys.transpose(2, 3)
        rows, columns = current.shape[2:]
        distance = torch.arange(columns - rows, columns).unsqueeze(1) - torch.arange(columns)
        current.mul_(self.get(layer, "attention.gain").view(-1, 1, 1)).add_(self.get(layer, "attention.distance_bias")[:, distance.clamp(min=0)])
        if rows > 1:
            current.masked_fill_(distance < 0, float("-inf"))
        sums = self.fire(current) @ values
        return sums.transpose(1, 2).flatten(2)

    def block(self, stream: Tensor, layer: int, store: Any) -> Tensor:
        """One block; `store` keeps the new keys and values and returns all of them."""
        qkv = self.counted(self.fire(self.linear(self.entrance(stream, layer, "attention_entry"), layer, "qkv")))
        query, key, value = self.split(qkv)
        sums = self.attend(query, store(layer, key, value), layer)
        out = self.counted(self.fire(torch.addcmul(self.get(layer, "attention_out.bias"), sums, self.get(layer, "attention_out.gain"))))
        stream = stream + self.linear(out, layer, "out")
        hidden = self.counted(self.fire(self.linear(self.entrance(stream, layer, "feed_forward_entry"), layer, "fc1")))
        return stream.add_(self.linear(hidden, layer, "fc2"))

    def forward(self, ids: Tensor, offset: int, store: Any, last_only: bool) -> Tensor:
        """Logits (rows, V) of tokens that start at `offset`."""
        positions = self.weights["embed_positions.weight"][offset : offset + len(ids)]
        start = self.embedding_gain * (self.weights["embed_tokens.weight"][ids] + positions)
        stream = start.repeat(self.steps, 1, 1)
        for layer in range(self.layers):
            stream = self.block(stream, layer, store)
        rows = stream[:, -1:] if last_only else stream
        final = F.layer_norm(rows.mean(0), (self.width,), self.weights["final_norm.weight"], self.weights["final_norm.bias"], self.eps)
        return self.product(final, "head", [self.weights["embed_tokens.weight"]])


class Server:
    """Answers requests about one network."""

    def __init__(self, network: Network, context: int) -> None:
        self.network, self.context = network, context
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.vocabulary = network.weights["embed_tokens.weight"].shape[0]
        network.forward(torch.randint(self.vocabulary, (context,)), 0, self.fill, True)
        network.forward(torch.randint(self.vocabulary, (1,)), context, self.append, True)

    def fill(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps a prompt's keys and values with one place more."""
        self.cache[layer] = (F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1)))
        return key, value

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Writes one token's key and value into the last place."""
        keys, values = self.cache[layer]
        keys[:, :, -1:], values[:, :, -1:] = key, value
        return keys, values

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does what one request asks for."""
        network = self.network
        if "spikes" in request:
            network.spikes, network.counts_spikes = 0.0, True
            network.forward(torch.tensor(request["spikes"]), 0, lambda _layer, key, value: (key, value), True)
            network.counts_spikes = False
            return {"spikes": network.spikes}
        if "decode" in request:
            ids = torch.randint(self.vocabulary, (request["decode"], 1))
            return timed([lambda one=one: network.forward(one, self.context, self.append, True) for one in ids])
        ids = torch.randint(self.vocabulary, (request["prefill"],))
        passed = lambda: network.forward(ids, 0, lambda _layer, key, value: (key, value), request["logits"] == "last")  # noqa: E731
        return timed([passed] * request["repeats"])


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        server = Server(Network(options.model), options.context)
        print(json.dumps({"implementation": f"PyTorch {torch.__version__}, dense float32"}), flush=True)
        for line in sys.stdin:
            print(json.dumps(server.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
