"""Einsum becomes matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgeai_converters.graph.passes.write_einsum import write_einsum

Build = Callable[..., Any]
Apply = Callable[..., tuple[dict[str, int], bool]]

SIZES: dict[str, Any] = {"b": "N", "t": 3, "s": 5, "h": 4, "d": 6, "e": 2, "k": 7}
PRODUCTS = [
    "bthd,bshd->bhts",
    "bhts,bshd->bthd",
    "btd,hde->bthe",
    "bthe,hed->btd",
    "bts,sk->btk",
    "sk,bts->btk",
    "bt,bt->b",
    "bt,sk->btsk",
    "btd,bsd->bst",
    "bts,bhk->bth",
]
ALONE = ["bts->bst", "bthd->bht", "bts->b", "bts"]


def _boundary(equation: str) -> dict[str, Any]:
    """Return inputs and outputs of a model; a value without a batch is a constant."""
    words, _, result = equation.partition("->")
    terms = words.split(",")
    if not result:
        result = "".join(sorted(letter for letter in set(words) - {","} if words.count(letter) == 1))

    def write(letters: str) -> str:
        return ",".join(str(SIZES[letter]) for letter in letters)

    named = list(zip(terms, "xy", strict=False))
    inputs = ", ".join(f"float[{write(term)}] {name}" for term, name in named if "b" in term)
    constants = {name: tuple(SIZES[letter] for letter in term) for term, name in named if "b" not in term}
    return {"inputs": inputs, "outputs": f"float[{write(result)}] z", **constants}


@pytest.mark.parametrize("equation", PRODUCTS)
def test_a_product_is_a_matmul(build: Build, apply: Apply, equation: str) -> None:
    model = build(f'z = Einsum<equation = "{equation}">(x, y)', **_boundary(equation))
    counts, changed = apply(write_einsum, model)
    assert changed
    assert counts["MatMul"] == 1
    assert "Einsum" not in counts


@pytest.mark.parametrize("equation", ALONE)
def test_one_value_is_summed_and_transposed(build: Build, apply: Apply, equation: str) -> None:
    model = build(f'w = Relu(x) v = Einsum<equation = "{equation}">(w) z = Relu(v)', **_boundary(equation))
    counts, changed = apply(write_einsum, model)
    assert changed
    assert "Einsum" not in counts


@pytest.mark.parametrize("equation", ["...d,...d->...", "tt->t", "bt,bt,bt->b"])
def test_what_is_not_said_so_stays(build: Build, apply: Apply, equation: str) -> None:
    names = ["x", "y", "w"][: equation.count(",") + 1]
    shape = "2,2" if equation == "tt->t" else "2,3"
    model = build(
        f'z = Einsum<equation = "{equation}">({", ".join(names)})',
        inputs=", ".join(f"float[{shape}] {name}" for name in names),
        outputs="float[k] z",
    )
    assert apply(write_einsum, model)[1] is False
