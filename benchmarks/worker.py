"""One system in its own process: runs what it is told on standard input, prints the times.

    python worker.py spikequant|llama MODEL THREADS
    prefill 128      ->  {"wall": seconds, "cpu": seconds}
    decode 64        ->  ..

Two OpenMP runtimes in one process would disturb each other, so systems never share one.
"""

from __future__ import annotations

import json
import sys
import time

CONTEXT = 1024
_VOCABULARY = 40000  # arbitrary but fixed tokens below this


def tokens(count: int) -> list[int]:
    """The same pseudo-random tokens for every system."""
    state, result = 1, []
    for _ in range(count):
        state = (1103515245 * state + 12345) % 2**31
        result.append(1000 + (state >> 8) % (_VOCABULARY - 1000))
    return result


class SpikeQuant:
    def __init__(self, model: str, threads: int):
        from spikequant.session import Session

        self.session = Session(model, threads)

    def start(self) -> None:
        self.session.reset()  # the smallest cache; it grows as in use

    def feed(self, ids: list[int]) -> None:
        self.session.feed(ids)


class Llama:
    """llama.cpp through the plain C interface, without the costs of its Python classes."""

    def __init__(self, model: str, threads: int):
        import llama_cpp

        self.api = llama_cpp
        self.llama = llama_cpp.Llama(
            model, n_ctx=CONTEXT, n_batch=512, n_ubatch=512, verbose=False,
            n_threads=threads, n_threads_batch=threads,
        )  # fmt: skip
        self.context = self.llama._ctx.ctx

    def start(self) -> None:
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def feed(self, ids: list[int]) -> None:
        array = (self.api.llama_token * len(ids))(*ids)
        batch = self.api.llama_batch_get_one(array, len(ids))
        if self.api.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        self.api.llama_get_logits_ith(self.context, -1)  # waits for the result


SYSTEMS = {"spikequant": SpikeQuant, "llama": Llama}


def run(system: SpikeQuant | Llama, what: str, count: int) -> dict[str, float]:
    ids = tokens(count + 1)
    system.start()
    steps = [ids[:count]]
    if what == "decode":
        system.feed(ids[:1])
        steps = [[token] for token in ids[1:]]
    wall, cpu = time.perf_counter(), time.process_time()
    for step in steps:
        system.feed(step)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main() -> None:
    kind, model, threads = sys.argv[1:4]
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries may print
    system = SYSTEMS[kind](model, int(threads))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        what, count = line.split()
        print(json.dumps(run(system, what, int(count))), file=answers, flush=True)


if __name__ == "__main__":
    main()
