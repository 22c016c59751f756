"""One run of MLPerf's load generator: its queries are handed to workers, and its log is read."""

from __future__ import annotations

import json
import logging
import math
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeai_runtime.bench.server import work_together

Issue = Callable[[int], object]

_CHUNK = 64
"""Samples of offline that a worker takes at once, if its calls have no batch that is no divisor of it."""

_log = logging.getLogger(__name__)


def run_session(
    loadgen: Any,
    settings: Any,
    workers: Sequence[Issue],
    batch: int,
    on_step: Callable[[int, int, str], None] | None,
) -> dict[str, Any]:
    """Make one run and return what its log says, by key.

    It runs in a thread, so that an interruption is heard. The generator cannot be stopped, and leaving the process
    while it runs aborts the process: after an error its queries are answered at once, without the model, until it has
    no more; those of a server are left lying until there are too many for it to go on.
    """
    errors: list[BaseException] = []
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()
    answered = [0]
    chunk_size = batch * math.ceil(_CHUNK / batch)

    def answer(issue: Issue, samples: Sequence[Any]) -> None:
        try:
            if not errors:
                issue(len(samples))
                answered[0] += 1
        except BaseException as error:  # must not come into the generator's code
            errors.append(error)
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])

    def serve(issue: Issue) -> None:
        while (samples := waiting.get()) is not None:
            count = -1
            while errors and not given_up.is_set() and count != (count := waiting.qsize()):
                time.sleep(0.5 + 10.0 / settings.server_target_qps)
            if errors:
                given_up.set()
            answer(issue, samples)

    def take(samples: Sequence[Any]) -> None:
        if settings.scenario == loadgen.TestScenario.Server:
            waiting.put(list(samples))
        elif settings.scenario == loadgen.TestScenario.Offline:
            chunks = iter([samples[start : start + chunk_size] for start in range(0, len(samples), chunk_size)])
            lock = threading.Lock()

            def share(issue: Issue) -> None:
                while True:
                    with lock:
                        chunk = next(chunks, None)
                    if chunk is None:
                        return
                    answer(issue, chunk)

            work_together([lambda _, issue=issue: share(issue) for issue in workers])  # type: ignore[misc]
        else:
            answer(workers[0], samples)

    servers = [threading.Thread(target=serve, args=(issue,), daemon=True) for issue in workers]
    with tempfile.TemporaryDirectory() as folder:
        ended = threading.Event()  # and no join: after an interruption that returns although the thread runs
        arguments = (loadgen, settings, take, folder, ended)
        thread = threading.Thread(target=_start, args=arguments, daemon=True)
        for each in (*servers, thread):
            each.start()
        try:
            begin = time.perf_counter()
            while not ended.wait(1.0):
                if on_step:
                    lasted, least_s = int(time.perf_counter() - begin), math.ceil(settings.min_duration_ms * 1e-3)
                    what = "chunks" if settings.scenario == loadgen.TestScenario.Offline else "queries"
                    on_step(lasted, max(lasted, least_s), f"{answered[0]} {what}, by loadgen")
        except BaseException as error:
            errors.append(error)
            _log.warning("the load generator cannot be stopped: the queries that are left are let through")
            ended.wait()
            raise
        finally:
            for _ in servers:
                waiting.put(None)
        if errors:
            raise errors[0]
        return _read_log(Path(folder) / "mlperf_log_detail.txt")


def _start(loadgen: Any, settings: Any, take: Callable[[Sequence[Any]], None], folder: str, ended: Any) -> None:
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    system = loadgen.ConstructSUT(take, lambda: None)
    samples = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    try:
        # The audit file is read from the current folder unless another is named.
        loadgen.StartTestWithLogSettings(system, samples, settings, logs, str(Path(folder) / "audit.config"))
    finally:
        loadgen.DestroyQSL(samples)
        loadgen.DestroySUT(system)
        ended.set()


def _read_log(path: Path) -> dict[str, Any]:
    mark = ":::MLLOG"
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line[len(mark) :]) for line in lines if line.startswith(mark)]
    return {entry["key"]: entry["value"] for entry in entries}
