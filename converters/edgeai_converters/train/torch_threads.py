"""How many threads PyTorch uses, for a while: the number belongs to the whole process, so it is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgeai_converters.require import require


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use `threads` threads inside an operation until the block ends."""
    torch = require("torch", extra="torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
