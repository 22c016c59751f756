"""The customs of engines in a plan: what stays alive, what lies in one place."""

from __future__ import annotations

from edgeai_devices.memory_arena import plan_arena
from edgeai_devices.operator_facts import Role, TensorLife


def life(name: str, size: int, first: int, last: int, role: Role = "inner", **shared: str) -> TensorLife:
    return TensorLife(name=name, size_bytes=size, first_step=first, last_step=last, role=role, **shared)


CHAIN = (
    life("x", 640, 0, 0, "input"),
    life("a", 640, 0, 1),
    life("flat", 640, 1, 2, same_data_as="a"),
    life("sum", 640, 2, 3, overwrites="flat"),
    life("y", 64, 3, 3, "output"),
)


def test_on_a_microcontroller_the_memory_of_a_read_input_is_used_again_and_nothing_is_shared() -> None:
    plan = plan_arena(CHAIN, "micro")

    assert plan.peak_bytes == 1280
    assert len({plan.offsets["a"], plan.offsets["flat"]}) == 2
    assert plan.offsets["flat"] == plan.offsets["x"]


def test_litert_keeps_the_input_and_computes_in_place() -> None:
    plan = plan_arena(CHAIN, "litert")

    assert plan.offsets["a"] == plan.offsets["flat"] == plan.offsets["sum"]
    assert plan.peak_bytes == 640 + 640 + 64


def test_an_input_is_never_written_over() -> None:
    plan = plan_arena((life("x", 128, 0, 0, "input"), life("h", 128, 0, 0, overwrites="x")), "litert")

    assert plan.offsets["x"] != plan.offsets["h"]


def test_an_output_has_memory_of_its_own_to_the_end() -> None:
    lives = (life("a", 128, 0, 1), life("y", 128, 1, 1, "output", overwrites="a"), life("b", 128, 1, 2))

    plan = plan_arena(lives, "litert")

    assert len(set(plan.offsets.values())) == 3


def test_a_variable_is_alive_from_the_first_step_to_the_last() -> None:
    plan = plan_arena((life("state", 32, 1, 1, "variable"), life("a", 32, 0, 0), life("b", 32, 2, 2)), "micro")

    assert plan.live_bytes == (64, 32, 64)
