"""Where tensors lie in one arena, so that those alive at the same time do not overlap, and how large it gets.

Greedy by size (Pisarchyk and Lee 2020, Efficient Memory Management for Deep Neural Net Inference, arXiv:2001.03288,
section 5.2): the largest tensor first, each at the lowest fitting gap between those already placed whose life crosses
its own. LiteRT (`SimpleMemoryArena`) takes the smallest gap that fits, TensorFlow Lite Micro (`GreedyMemoryPlanner`)
the first one; both are offered, since a plan is to predict what the engine will need.

    offset
      ▲   ┌───────┐
      │   │   b   │┌─────┐        a and b are alive together: stacked
      │ ┌─┴───────┘│  d  │        c and d begin when a and b are gone: the memory is used again
      │ │    a    ││─────┘
      │ └─────────┘│  c  │
      └────────────────────► step

Not planned here: memory that kernels ask for themselves, and an engine's own book-keeping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeai_runtime.errors import UsageError

LITERT_ALIGNMENT = 64
"""Bytes that every offset is a multiple of in LiteRT's arena."""

MICRO_ALIGNMENT = 16
"""The same in TensorFlow Lite Micro's."""

Gap = Literal["smallest", "first"]


@dataclass(frozen=True, kw_only=True)
class PlannedTensor:
    """A tensor that needs memory from the step that writes it to the last step that reads it, both included.

    Attributes:
        name: unique within a plan.
        size_bytes: what it takes.
        first_step, last_step: steps of the model, in the order they run, from 0.
        alias_of: the tensor whose memory it shares: an operator that works in place, or only changes the shape.
    """

    name: str
    size_bytes: int
    first_step: int
    last_step: int
    alias_of: str | None = None

    def __post_init__(self) -> None:
        if self.size_bytes < 0 or self.first_step < 0:
            raise UsageError(f"Tensor {self.name}: size and steps are not negative. Received: {self}")
        if self.last_step < self.first_step:
            raise UsageError(
                f"Tensor {self.name} ends before it begins. Received: steps {self.first_step} to {self.last_step}"
            )


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Where every tensor lies.

    Attributes:
        offsets: bytes from the start of the arena by tensor name; tensors that share memory have the same.
        peak_bytes: size of the arena.
        live_bytes: by step, the sum of what is alive; no planner can get below the largest, `lower_bound_bytes`.
    """

    offsets: Mapping[str, int]
    peak_bytes: int
    live_bytes: tuple[int, ...]

    @property
    def lower_bound_bytes(self) -> int:
        """What is alive at the fullest step: an arena cannot be smaller."""
        return max(self.live_bytes, default=0)

    @property
    def fullest_step(self) -> int | None:
        """The first step with the most bytes alive; `None` without tensors."""
        return self.live_bytes.index(self.lower_bound_bytes) if self.live_bytes else None


@dataclass(kw_only=True)
class _Block:
    """Memory of one tensor and of those that share it; `order` is that of the first of them."""

    order: int
    names: list[str]
    size: int
    first: int
    last: int
    offset: int = 0

    def crosses(self, other: _Block) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan_memory(
    tensors: Iterable[PlannedTensor], *, alignment: int = MICRO_ALIGNMENT, gap: Gap = "smallest"
) -> MemoryPlan:
    """Place `tensors` in one arena, greedy by size.

    Args:
        tensors: all that need memory at run time; constants do not. Of equal sizes, the one that begins first is
            placed first (`smallest`), or the one named first (`first`), as the engines do.
        alignment: every offset is a multiple of it: LITERT_ALIGNMENT or MICRO_ALIGNMENT.
        gap: which gap is taken: `smallest` as LiteRT does, `first` as TensorFlow Lite Micro does.

    Raises:
        UsageError: two tensors of one name, or an alias of a tensor that is not there.

    Example:
        >>> wide = PlannedTensor(name="wide", size_bytes=64, first_step=0, last_step=1)
        >>> thin = PlannedTensor(name="thin", size_bytes=16, first_step=1, last_step=2)
        >>> plan = plan_memory([thin, wide])
        >>> plan.peak_bytes, dict(plan.offsets), plan.live_bytes
        (80, {'thin': 64, 'wide': 0}, (64, 80, 16))
    """
    if alignment < 1:
        raise UsageError(f"alignment must be 1 or more bytes. Received: {alignment}")
    given = tuple(tensors)
    blocks = _blocks(given)
    placed: list[_Block] = []
    for block in sorted(blocks, key=lambda each: (-each.size, each.first if gap == "smallest" else 0, each.order)):
        if block.size:
            block.offset = _find_offset(block, placed, alignment, gap)
            placed.append(block)
    where = {name: block.offset for block in blocks for name in block.names}
    return MemoryPlan(
        offsets={tensor.name: where[tensor.name] for tensor in given},
        peak_bytes=max((block.offset + block.size for block in placed), default=0),
        live_bytes=_live_bytes(blocks),
    )


def _find_offset(block: _Block, placed: Sequence[_Block], alignment: int, gap: Gap) -> int:
    """Return where `block` fits between the placed blocks that are alive with it, or above them all."""
    end, best, best_size = 0, -1, 0
    for other in sorted((each for each in placed if each.crosses(block)), key=lambda each: each.offset):
        start = _align(end, alignment)
        if start + block.size <= other.offset and (best < 0 or other.offset - start < best_size):
            best, best_size = start, other.offset - start
            if gap == "first":
                break
        end = max(end, other.offset + other.size)
    return best if best >= 0 else _align(end, alignment)


def _blocks(tensors: Sequence[PlannedTensor]) -> list[_Block]:
    """Join the tensors that share memory: as large as the largest, alive from the first step to the last."""
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(by_name) < len(tensors):
        names = [tensor.name for tensor in tensors]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"Two tensors of a memory plan have one name. Received: {twice!r}")
    blocks: dict[str, _Block] = {}
    for order, tensor in enumerate(tensors):
        root = _root(tensor, by_name)
        block = blocks.get(root)
        if block is None:
            blocks[root] = _Block(
                order=order,
                names=[tensor.name],
                size=tensor.size_bytes,
                first=tensor.first_step,
                last=tensor.last_step,
            )
            continue
        block.names.append(tensor.name)
        block.size = max(block.size, tensor.size_bytes)
        block.first, block.last = min(block.first, tensor.first_step), max(block.last, tensor.last_step)
    return list(blocks.values())


def _root(tensor: PlannedTensor, by_name: Mapping[str, PlannedTensor]) -> str:
    """Follow `alias_of` to the tensor that owns the memory."""
    seen = [tensor.name]
    while tensor.alias_of is not None:
        if tensor.alias_of not in by_name:
            raise UsageError(f"Tensor {tensor.name} shares the memory of one that is not there: {tensor.alias_of!r}.")
        tensor = by_name[tensor.alias_of]
        if tensor.name in seen:
            raise UsageError(f"Tensors share memory in a circle: {', '.join(seen)}.")
        seen.append(tensor.name)
    return tensor.name


def _live_bytes(blocks: Sequence[_Block]) -> tuple[int, ...]:
    steps = max((block.last for block in blocks), default=-1) + 1
    changes = [0] * (steps + 1)
    for block in blocks:
        changes[block.first] += block.size
        changes[block.last + 1] -= block.size
    live: list[int] = []
    for change in changes[:-1]:
        live.append((live[-1] if live else 0) + change)
    return tuple(live)


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
