"""Reading ahead: the next examples are read in a thread while PyTorch works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def read_ahead(
    jobs: Iterable[_Job], read: Callable[[_Job], _Result], *, ahead: int = 2
) -> Generator[_Result, None, None]:
    """Yield `read(job)` in the order of the jobs; one thread is up to `ahead` jobs in front of the reader.

    An error of `read` comes out where its result would have. Close the iterator (or exhaust it) to end the thread:
    nothing is read after that.

    >>> list(read_ahead(range(4), lambda job: job**2))
    [0, 1, 4, 9]
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    waiting: deque[Future[_Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(read, job))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
