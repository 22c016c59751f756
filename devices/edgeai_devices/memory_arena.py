"""The arena of a model in one engine: the planner with that engine's customs.

What lives longer than its readers, and what shares memory, is taken from the engines' sources: LiteRT's
`arena_planner.cc` (inputs stay, reshaped tensors and in-place operators share) and TensorFlow Lite Micro's
`micro_allocation_info.cc` (inputs go when they were read, nothing shares). Kernels' own scratch memory and what an
interpreter keeps of the graph are not in the file and not in the plan; XNNPACK and other delegates have workspaces of
their own. For ONNX Runtime and OpenVINO the plan is an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgeai_devices.memory_plan import LITERT_ALIGNMENT, MICRO_ALIGNMENT, MemoryPlan, PlannedTensor, plan_memory
from edgeai_devices.operator_facts import TensorLife

ArenaEngine = Literal["litert", "micro", "onnxruntime", "openvino"]


def plan_arena(lives: Sequence[TensorLife], engine: ArenaEngine) -> MemoryPlan:
    """Place what a model needs while it runs as `engine` would.

    Args:
        lives: the tensors of one model.
        engine: whose customs hold; `micro` is TensorFlow Lite for Microcontrollers.
    """
    if engine == "micro":
        tensors = _lasting(lives, inputs_stay=False)
        return plan_memory(tensors, alignment=MICRO_ALIGNMENT, gap="first")
    return plan_memory(_lasting(lives, inputs_stay=True, share=True), alignment=LITERT_ALIGNMENT, gap="smallest")


def _lasting(lives: Sequence[TensorLife], *, inputs_stay: bool, share: bool = False) -> list[PlannedTensor]:
    """Return the tensors with the lives that the engine gives them."""
    end = max((life.last_step for life in lives), default=0)
    roles = {life.name: life.role for life in lives}
    shared: dict[str, str] = {}
    for life in lives if share else ():
        owner = life.same_data_as or life.overwrites
        if owner is not None and roles.get(owner) not in (None, "input", "variable") and life.role != "output":
            shared[life.name] = owner
    planned = []
    for life in lives:
        stays = life.role in ("output", "variable") or (life.role == "input" and inputs_stay)
        planned.append(
            PlannedTensor(
                name=life.name,
                size_bytes=life.size_bytes,
                first_step=0 if life.role == "variable" else life.first_step,
                last_step=end if stays else life.last_step,
                alias_of=shared.get(life.name),
            )
        )
    return planned
