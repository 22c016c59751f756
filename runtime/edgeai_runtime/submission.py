"""`Model.submit`: calls that run in threads of their own, through a queue with an end.

Every worker has a session of its own, as its engine makes them (`replicas`): requests of one compiled model for
OpenVINO, one session for all in ONNX Runtime, an interpreter each in LiteRT. All of them let go of Python's lock while
they compute. The workers together have as many threads as the model. A session that cannot be doubled (LiteRT's on a
GPU or NPU, where calls wait for each other anyway) is shared: one worker's call computes while others prepare theirs.
"""

from __future__ import annotations

import copy
import queue
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from edgeai_runtime.errors import BusyError, UsageError

if TYPE_CHECKING:
    from edgeai_runtime.model import Model

_Job = tuple["Future[Any]", Any]


def open_submission(model: Model, *, workers: int | None, size: int) -> Submission:
    """Start the workers of a model; see `Model.open_queue`. They end with the model, or with the process."""
    if model._session is None:
        raise UsageError("the model was closed", hint="load it again")
    if model._submission is not None:
        raise UsageError("the queue of this model is open already", hint="open it before the first submit")
    count = model.threads if workers is None else workers
    if count < 1 or size < 1:
        raise UsageError(f"workers and queue_size are at least 1. Received: {count} and {size}")
    submission = Submission(double(model, count), size=size)
    weakref.finalize(model, submission.close, cancel=True)
    return submission


def double(model: Model, count: int) -> list[Model]:
    """Return `count` models that do what `model` does, each for another thread, with its threads between them."""
    replicas = getattr(model._session, "replicas", None)
    if replicas is not None:
        sessions = replicas(count, max(1, model.threads // count))
    else:
        shared = _Shared(model._session)
        model._session, model._run, model._binder = shared, model._connect(shared), None
        sessions = [shared.guest()] * count
    models = []
    for session in sessions:
        other = copy.copy(model)
        other._session, other._run = session, other._connect(session)
        other._good_shapes, other._binder, other._submission, other._streams = [], None, None, ()
        models.append(other)
    return models


class _Shared:
    """A session that several threads use, one at a time; only its owner closes it."""

    def __init__(self, session: Any, lock: Any = None) -> None:
        self._session, self._owned, self._lock = session, lock is None, lock or threading.Lock()
        self.inputs, self.outputs, self.placement = session.inputs, session.outputs, session.placement

    def guest(self) -> _Shared:
        return _Shared(self._session, self._lock)

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        with self._lock:
            results: list[Any] = self._session.run(arrays)
        return results

    def close(self) -> None:
        if self._owned:
            self._session.close()


class Submission:
    """Worker threads and the queue before them.

    Attributes:
        workers: how many threads take calls from the queue.
        size: at most so many calls are waiting or running.
    """

    def __init__(self, models: Sequence[Model], *, size: int) -> None:
        self.workers, self.size, self._models = len(models), size, models
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._closed = self._cancel = False
        self._threads = [
            threading.Thread(target=self._work, args=(model,), name=f"edgeai-worker-{index}", daemon=True)
            for index, model in enumerate(models)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, x: Any, *, block: bool, timeout: float | None) -> Future[Any]:
        """Put a call into the queue; see `Model.submit`."""
        if not self._free.acquire(block, timeout if block else None):
            waited = f" for {timeout:g} s" if block and timeout is not None else ""
            raise BusyError(
                f"the queue was full{waited}: {self.size} calls are waiting or running",
                hint="take results before you submit more, leave samples out, or load with a longer queue",
            )
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                self._free.release()
                raise UsageError("the model was closed", hint="load it again")
            self._jobs.put((future, x))
        return future

    def close(self, *, cancel: bool) -> None:
        """Let the workers finish what is in the queue, or cancel what has not begun, and wait for them."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        self._cancel = self._cancel or cancel
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        for model in self._models:
            model.close()
        self._models = ()

    def _work(self, call: Model) -> None:
        get, release = self._jobs.get, self._free.release
        while True:
            job = get()
            if job is None:
                return
            future, x = job
            if self._cancel:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                release()
                continue
            try:
                result = call(x)
            except BaseException as error:
                release()
                future.set_exception(error)
                del error
            else:
                release()
                future.set_result(result)
                del result
            del job, future, x  # an idle worker holds nothing of the last call
