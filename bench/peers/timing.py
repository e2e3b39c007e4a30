"""How long calls take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def timed(calls: list[Callable[[], Any]]) -> dict[str, list[float]]:
    """Wall and processor time of each call in milliseconds."""
    times: dict[str, list[float]] = {"wallMs": [], "processorMs": []}
    for call in calls:
        start, start_processor = time.perf_counter(), time.process_time()
        call()
        times["wallMs"].append(1000 * (time.perf_counter() - start))
        times["processorMs"].append(1000 * (time.process_time() - start_processor))
    return times
