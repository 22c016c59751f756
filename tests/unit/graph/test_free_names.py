"""Names that are not taken yet."""

from __future__ import annotations

from edgeai_converters.graph.free_names import take_name


def test_a_free_name_stays_as_it_is_and_is_taken() -> None:
    taken = {"y"}
    assert take_name("x", taken) == "x"
    assert taken == {"x", "y"}


def test_a_taken_name_gets_the_first_free_number() -> None:
    taken = {"x", "x_1", "x_3"}
    assert [take_name("x", taken) for _ in range(2)] == ["x_2", "x_4"]
