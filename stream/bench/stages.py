"""Where a worker's time goes: the stages of a batch as the worker tells them, its threads as Linux does."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stream.bench.children import Child, cpu_seconds_of
from stream.bench.quantiles import samples_of

STAGES = {
    "decode": "decode: JSON, checks, packing for the state",
    "vectors": "vectors: from the state's answer",
    "score": "score: the model, in ONNX",
    "encode": "encode: policy, reasons, decision and alert as JSON",
    "log": "log: the feature log",
    "send": "send: all of it to librdkafka",
}
"""Those that hold the event loop, by the clock; `state` and `deliver` are waited for."""
LOOP, CONSUMER, LIBRDKAFKA = "event loop", "consumer", "librdkafka"
THREADS = {
    LOOP: "the event loop: these, Faust, chunks, the state's calls, acknowledgements",
    CONSUMER: "other threads: mostly aiokafka's",
    LIBRDKAFKA: "librdkafka's threads: batches, compression, acknowledgements",
}


def stage_seconds(workers: Sequence[Child]) -> Mapping[str, float]:
    """Of each stage, since they started; empty of what tells none."""
    found: defaultdict[str, float] = defaultdict(float)
    for worker in workers:
        for sample in samples_of(worker.get("/metrics") or "", "vigia_stage_seconds_sum"):
            if sample.labels["stage"] in STAGES:
                found[sample.labels["stage"]] += sample.value
    return found


def thread_seconds(workers: Sequence[Child]) -> Mapping[str, float]:
    """On a processor, of each group of threads, since they started."""
    found: defaultdict[str, float] = defaultdict(float)
    for worker in workers:
        for task in Path(f"/proc/{worker.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                found[_group(task, worker.pid)] += cpu_seconds_of(task)
    return found


def _group(task: Path, pid: int) -> str:
    if int(task.name) == pid:
        return LOOP
    return LIBRDKAFKA if (task / "comm").read_text().startswith("rdk:") else CONSUMER
