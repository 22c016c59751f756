"""Say Einsum of one or two values in Transpose, Reshape and MatMul, which every engine runs and may quantize.

Before: Einsum("bthd,bshd->bhts", q, k).   After: MatMul(Transpose(q) [b, h, t, d], Transpose(k) [b, h, d, s]).
Letters of both values and the result are batch axes of the product; letters of both values only are summed over.
Not done: an ellipsis, a letter that stands twice in one value, more than two values, several free dimensions in axes
that must be merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeai_converters.graph.edit import add_constant, add_node, attribute, nodes, replace_node
from edgeai_converters.graph.shapes import Dim, shape_of
from edgeai_converters.graph.sizes import product


@dataclass(frozen=True, kw_only=True)
class _Term:
    """A value with a letter and a size per axis."""

    value: ir.Value
    letters: str
    sizes: tuple[Dim, ...]

    def size(self, letter: str) -> Dim:
        """Return the size of a letter's axis."""
        return self.sizes[self.letters.index(letter)]


def write_einsum(model: ir.Model) -> tuple[ir.Model, bool]:
    """Replace Einsum nodes by matrix products, sums and transposes."""
    changed = False
    for node in nodes(model, "Einsum"):
        changed |= _write(model, node)
    return model, changed


def _write(model: ir.Model, node: ir.Node) -> bool:
    equation = str(attribute(node, "equation", "")).replace(" ", "")
    terms, arrow, result = equation.partition("->")
    words = terms.split(",")
    if not arrow:
        every = sorted(set(terms.replace(",", "")))
        result = "".join(letter for letter in every if terms.count(letter) == 1)
    if "." in equation or len(words) != len(node.inputs) or any(len(set(w)) != len(w) for w in [*words, result]):
        return False
    operands = []
    for word, value in zip(words, node.inputs, strict=True):
        sizes = shape_of(value)
        if value is None or sizes is None or len(sizes) != len(word):
            return False
        operands.append(_Term(value=value, letters=word, sizes=sizes))
    if len(operands) == 1:
        made: ir.Value | None = _one(model, node, operands[0], result)
    elif len(operands) == 2:
        made = _two(model, node, operands[0], operands[1], result)
    else:
        return False
    if made is None:
        return False
    replace_node(model, node, made)
    return True


def _one(model: ir.Model, node: ir.Node, term: _Term, result: str) -> ir.Value:
    return _ordered(model, node, _summed(model, node, term, result), result).value


def _two(model: ir.Model, node: ir.Node, left: _Term, right: _Term, result: str) -> ir.Value | None:
    left = _summed(model, node, left, result + right.letters)
    right = _summed(model, node, right, result + left.letters)
    shared = [letter for letter in left.letters if letter in right.letters]
    batch = "".join(letter for letter in result if letter in shared)
    summed = "".join(letter for letter in shared if letter not in result)
    rows = "".join(letter for letter in result if letter in left.letters and letter not in right.letters)
    columns = "".join(letter for letter in result if letter in right.letters and letter not in left.letters)
    groups = [[left.size(letter) for letter in group] for group in (rows, summed)]
    groups += [[right.size(letter) for letter in group] for group in (columns, summed)]
    whole = [left.size(letter) for letter in batch]
    free = sum(not isinstance(size, int) for size in [*whole, *groups[0], *groups[2], *groups[1]])
    plain = not batch and bool(rows)  # the right side is one matrix: rows need not be merged
    if free > 1 and any(len(group) != 1 for group in (groups if not plain else groups[1:])):
        return None
    whole_axes = [1] * len(batch)
    left_groups = [*([1] * len(rows) if plain else [*whole_axes, len(rows)]), len(summed)]
    a = _merged(model, node, _ordered(model, node, left, batch + rows + summed), left_groups)
    right_groups = [*whole_axes, len(summed), len(columns)]
    b = _merged(model, node, _ordered(model, node, right, batch + summed + columns), right_groups)
    stem = node.name or "einsum"
    multiplied = add_node(model, node, "MatMul", [a, b], name=f"{stem}_product")
    sizes = (*whole, *groups[0], *groups[2])
    made = _Term(value=_with_shape(multiplied, node, None), letters=batch + rows + columns, sizes=sizes)
    if (len(rows) != 1 and not plain) or len(columns) != 1:
        made = _Term(value=_reshaped(model, node, multiplied, sizes), letters=made.letters, sizes=sizes)
    return _ordered(model, node, made, result).value


def _summed(model: ir.Model, node: ir.Node, term: _Term, kept: str) -> _Term:
    """Sum over letters that stand nowhere else."""
    gone = [axis for axis, letter in enumerate(term.letters) if letter not in kept]
    if not gone:
        return term
    axes = add_constant(model, f"{node.name or 'einsum'}_axes", np.array(gone, np.int64))
    name = f"{node.name or 'einsum'}_sum"
    value = add_node(model, node, "ReduceSum", [term.value, axes], name=name, attributes={"keepdims": 0})
    left = [axis for axis in range(len(term.letters)) if axis not in gone]
    sizes = tuple(term.sizes[axis] for axis in left)
    return _Term(value=_with_shape(value, node, sizes), letters="".join(term.letters[a] for a in left), sizes=sizes)


def _ordered(model: ir.Model, node: ir.Node, term: _Term, letters: str) -> _Term:
    if term.letters == letters:
        return term
    order = [term.letters.index(letter) for letter in letters]
    name = f"{node.name or 'einsum'}_ordered"
    value = add_node(model, node, "Transpose", [term.value], name=name, attributes={"perm": order})
    sizes = tuple(term.sizes[axis] for axis in order)
    return _Term(value=_with_shape(value, node, sizes), letters=letters, sizes=sizes)


def _merged(model: ir.Model, node: ir.Node, term: _Term, groups: Sequence[int]) -> ir.Value:
    """Return the value with neighbouring axes merged: as many to each new axis as `groups` says."""
    if all(count == 1 for count in groups):
        return term.value
    sizes, place = [], 0
    for count in groups:
        sizes.append(product(term.sizes[place : place + count]))
        place += count
    return _reshaped(model, node, term.value, tuple(sizes))


def _reshaped(model: ir.Model, node: ir.Node, value: ir.Value, sizes: tuple[Dim, ...]) -> ir.Value:
    target = np.array([size if isinstance(size, int) else -1 for size in sizes], np.int64)
    form = add_constant(model, f"{node.name or 'einsum'}_shape", target)
    made = add_node(model, node, "Reshape", [value, form], name=f"{node.name or 'einsum'}_merged")
    return _with_shape(made, node, sizes)


def _with_shape(value: ir.Value, node: ir.Node, sizes: tuple[Dim, ...] | None) -> ir.Value:
    value.type = node.outputs[0].type
    if sizes is not None:
        value.shape = ir.Shape(sizes)
    return value
