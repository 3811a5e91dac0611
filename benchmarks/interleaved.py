"""Times of several functions, taken in turns in one process, so that a busy machine slows all of them alike."""

import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Quartiles(NamedTuple):
    """The middle half of some figures: quartile, median, quartile."""

    lower: float
    median: float
    upper: float


def quartiles(figures: list[float]) -> Quartiles:
    """The quartiles of at least two figures."""
    return Quartiles(*statistics.quantiles(figures, n=4, method="inclusive"))


def interleaved(
    functions: dict[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 3,
    calls: int = 1,
    seed: int = 0,
    synchronise: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Milliseconds of one call of each function, by round: figures of the same round can be divided.

    A round calls every function, in an order drawn anew, so that none is always the one that follows a heavy
    neighbour. Garbage is collected before a round and not within.

    Arguments:
        functions: what to time, by name.
        rounds: how many rounds count.
        warm_up: rounds before these, which do not.
        calls: calls in a row that make one figure; more than one where a call is short.
        seed: of the orders.
        synchronise: waits until a device is done; called before each start and each stop.
    """
    order, names = random.Random(seed), list(functions)
    times = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # what is there already is not looked through again
    gc.disable()
    try:
        for number in range(-warm_up, rounds):
            order.shuffle(names)
            gc.collect()
            for name in names:
                took = _milliseconds(functions[name], calls, synchronise)
                if number >= 0:
                    times[name].append(took)
    finally:
        gc.enable()
        gc.unfreeze()
    return times


def _milliseconds(function: Callable[[], object], calls: int, synchronise: Callable[[], object]) -> float:
    synchronise()
    started = time.perf_counter()
    for _ in range(calls):
        function()
    synchronise()
    return 1000 * (time.perf_counter() - started) / calls
