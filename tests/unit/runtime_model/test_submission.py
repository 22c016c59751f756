"""The queue before a model: what it promises to those who submit, tried with the fake engine."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.engines.fake import FakeSession
from edgeai_runtime.errors import BusyError, DataError, EngineError, UsageError
from edgeai_runtime.loading import load

MakeBundle = Callable[..., Path]

#: Nothing here takes longer, unless something hangs.
LONG_S = 30


def _x(value: float) -> Any:
    return np.full((1, 2), value, np.float32)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Runs of the fake engine wait until this is set."""
    event, run = threading.Event(), FakeSession.run

    def wait_and_run(self: FakeSession, arrays: Any) -> Any:
        assert event.wait(LONG_S)
        return run(self, arrays)

    monkeypatch.setattr(FakeSession, "run", wait_and_run)
    return event


@pytest.mark.parametrize("workers", [1, 3])
def test_every_future_has_the_result_of_its_own_call(make_bundle: MakeBundle, workers: int) -> None:
    with load(make_bundle({"net": {"factor": 3}})) as model:
        model.open_queue(workers=workers)
        futures = [model.submit(_x(value)) for value in range(200)]
        for value, future in enumerate(futures):
            np.testing.assert_array_equal(future.result(LONG_S), _x(3 * value))


def test_an_error_is_in_the_future_and_the_worker_goes_on(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        bad, good = model.submit(np.ones((1, 3), np.float32)), model.submit(_x(1))
        with pytest.raises(DataError, match="'x' wants shape"):
            bad.result(LONG_S)
        np.testing.assert_array_equal(good.result(LONG_S), _x(1))


def test_a_full_queue_is_an_error_for_those_who_do_not_wait(make_bundle: MakeBundle, gate: threading.Event) -> None:
    with load(make_bundle({"net": {}})) as model:
        model.open_queue(workers=1, queue_size=2)
        futures = [model.submit(_x(1)), model.submit(_x(2))]
        with pytest.raises(BusyError, match="the queue was full: 2 calls are waiting or running"):
            model.submit(_x(3), block=False)
        with pytest.raises(BusyError, match=r"full for 0\.01 s"):
            model.submit(_x(3), timeout=0.01)
        gate.set()
        for future in futures:
            future.result(LONG_S)
        model.submit(_x(3), block=False).result(LONG_S)


def test_one_who_waits_gets_in_when_a_place_is_free(make_bundle: MakeBundle, gate: threading.Event) -> None:
    with load(make_bundle({"net": {}})) as model:
        model.open_queue(workers=1, queue_size=1)
        model.submit(_x(1))
        threading.Timer(0.05, gate.set).start()
        np.testing.assert_array_equal(model.submit(_x(2)).result(LONG_S), _x(2))


def test_closing_finishes_what_was_submitted(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        futures = [model.submit(_x(value)) for value in range(20)]
    assert all(future.done() and not future.cancelled() for future in futures)


def test_closing_with_cancel_leaves_out_what_has_not_begun(make_bundle: MakeBundle, gate: threading.Event) -> None:
    model = load(make_bundle({"net": {}}))
    model.open_queue(workers=1)
    futures: list[Future[Any]] = [model.submit(_x(value)) for value in range(5)]
    while not futures[0].running():
        pass
    threading.Timer(0.05, gate.set).start()
    model.close(cancel=True)
    np.testing.assert_array_equal(futures[0].result(LONG_S), _x(0))
    for future in futures[1:]:
        with pytest.raises(CancelledError):
            future.result(LONG_S)


def test_a_future_that_the_caller_cancels_is_not_run(make_bundle: MakeBundle, gate: threading.Event) -> None:
    with load(make_bundle({"net": {}})) as model:
        model.open_queue(workers=1, queue_size=2)
        first, second = model.submit(_x(1)), model.submit(_x(2))
        assert second.cancel()
        gate.set()
        first.result(LONG_S)
        model.submit(_x(3)).result(LONG_S)  # its place is free again


def test_a_closed_model_takes_nothing(make_bundle: MakeBundle) -> None:
    model = load(make_bundle({"net": {}}))
    model.close()
    with pytest.raises(UsageError, match="the model was closed"):
        model.submit(_x(1))


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"queue_size": 0}])
def test_a_queue_without_workers_or_places_is_refused(make_bundle: MakeBundle, arguments: dict[str, int]) -> None:
    with load(make_bundle({"net": {}})) as model, pytest.raises(UsageError, match="at least 1"):
        model.open_queue(**arguments)


def test_a_queue_is_opened_once(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {}})) as model:
        model.submit(_x(1)).result(LONG_S)
        with pytest.raises(UsageError, match="open already"):
            model.open_queue()


def test_workers_end_with_a_model_that_nobody_closed(make_bundle: MakeBundle) -> None:
    model = load(make_bundle({"net": {}}))
    model.submit(_x(1)).result(LONG_S)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("edgeai-worker")]
    del model
    gc.collect()
    for worker in workers:
        worker.join(LONG_S)
        assert not worker.is_alive()


def test_a_session_that_can_not_be_doubled_is_shared_by_the_workers_in_turns(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing, most, closed, run = [0], [0], [], FakeSession.run

    def watched(self: FakeSession, arrays: Any) -> Any:
        computing[0] += 1
        most[0] = max(most[0], computing[0])
        time.sleep(0.002)
        result = run(self, arrays)
        computing[0] -= 1
        return result

    monkeypatch.delattr(FakeSession, "replicas")
    monkeypatch.setattr(FakeSession, "run", watched)
    monkeypatch.setattr(FakeSession, "close", lambda self: closed.append(self))
    with load(make_bundle({"net": {"factor": 3}})) as model:
        model.open_queue(workers=3)
        futures = [model.submit(_x(value)) for value in range(12)]
        np.testing.assert_array_equal(model(_x(5)), _x(15))
        for value, future in enumerate(futures):
            np.testing.assert_array_equal(future.result(LONG_S), _x(3 * value))
        assert (most, closed) == ([1], [])
    assert len(closed) == 1


def test_an_engine_that_fails_says_so_in_the_future(make_bundle: MakeBundle) -> None:
    with load(make_bundle({"net": {"on_run": "raise"}})) as model, pytest.raises(EngineError):
        model.submit(_x(1)).result(LONG_S)
