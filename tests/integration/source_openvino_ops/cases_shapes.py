"""Operations that move values and change shapes, and sizes that are known at run time only."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.source_openvino_ops.building import MAP, Case, c, draw, ints, make, op, p, size_of_batch

op8 = pytest.importorskip("openvino.opset8")


def strided(begin: list[int], end: list[int], steps: list[int], **masks: list[int]) -> Case:
    names = ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask", "ellipsis_mask")
    chosen = [masks.get(name, [0] * len(begin)) for name in names]
    return lambda: op.strided_slice(p([2, 4, 6, 5]), ints(*begin), ints(*end), ints(*steps), *chosen)


SHAPES: dict[str, Case] = {
    "reshape": lambda: op.reshape(p(MAP), ints(0, -1, 12), True),
    "reshape literal": lambda: op.reshape(p(MAP), ints(8, 36), False),
    "squeeze": lambda: op.squeeze(p([2, 1, 3, 1]), ints(1, 3)),
    "squeeze all": lambda: op.squeeze(p([2, 1, 3, 1])),
    "squeeze if single": lambda: op.squeeze(p([2, 1, 3, 1]), ints(0, 1), True),
    "unsqueeze": lambda: op.unsqueeze(p([2, 3]), ints(0, -1)),
    "transpose": lambda: op.transpose(p(MAP), ints(0, 2, 3, 1)),
    "transpose reversed": lambda: op.transpose(p(MAP), c([], np.int64)),
    "concat": lambda: op.concat([p(MAP), p([2, 1, 6, 6], name="y"), draw(2, 2, 6, 6)], 1),
    "split": lambda: op.split(p(MAP), c(1, np.int64), 2),
    "variadic_split": lambda: op.variadic_split(p(MAP), c(3, np.int64), ints(1, -1, 2)),
    "tile": lambda: op.tile(p([2, 3]), ints(2, 1, 3)),
    "tile short": lambda: op.tile(p([2, 3, 2]), ints(2)),
    "broadcast": lambda: op.broadcast(p([3, 1]), ints(2, 3, 4)),
    "broadcast explicit": lambda: op.broadcast(p([3]), ints(2, 3, 4), ints(1), "explicit"),
    "broadcast both ways": lambda: op.broadcast(p([3, 4]), ints(2, 3, 1), broadcast_spec="bidirectional"),
    "range": lambda: op.add(p([4]), op.range(c(0, np.int64), c(4, np.int64), c(1, np.int64), "f32")),
    "depth_to_space blocks": lambda: op.depth_to_space(p([1, 8, 3, 3]), "blocks_first", 2),
    "depth_to_space depth": lambda: op.depth_to_space(p([1, 8, 3, 3]), "depth_first", 2),
    "space_to_depth blocks": lambda: op.space_to_depth(p([2, 3, 4, 6]), "blocks_first", 2),
    "space_to_batch": lambda: op.space_to_batch(p([2, 3, 5, 6]), ints(1, 1, 2, 3), ints(0, 0, 1, 0), ints(0, 0, 0, 3)),
    "batch_to_space": lambda: op.batch_to_space(p([12, 2, 3, 4]), ints(1, 1, 2, 3), ints(0, 0, 1, 2), ints(0, 0, 0, 1)),
    "space_to_depth depth": lambda: op.space_to_depth(p([2, 3, 4, 6]), "depth_first", 2),
    "shuffle_channels": lambda: op.shuffle_channels(p([2, 6, 3, 3]), 1, 2),
    "slice": lambda: op.slice(p(MAP), ints(1, -1), ints(4, -6), ints(2, -2), ints(1, 3)),
    "slice without axes": lambda: op.slice(p(MAP), ints(0, 1), ints(2, 3), ints(1, 1)),
    "strided_slice": strided([0, 1, 0, 0], [2, 3, 6, 5], [1, 1, 2, 1]),
    "strided_slice masks": strided([1, 1, 1], [1, 3, 2], [1, 2, 1], begin_mask=[1, 0, 0], end_mask=[1, 0, 1]),
    "strided_slice back": strided([0, 0], [0, 0], [1, -1], begin_mask=[1, 1], end_mask=[1, 1]),
    "strided_slice shrink": strided(
        [0, -1, 2], [0, 0, 0], [1, 1, 1], begin_mask=[1, 0, 0], end_mask=[1, 0, 0], shrink_axis_mask=[0, 1, 1]
    ),
    "strided_slice new": strided(
        [0, 0, 1], [0, 0, 3], [1, 1, 1], begin_mask=[1, 1, 0], end_mask=[1, 1, 0], new_axis_mask=[0, 1, 0]
    ),
    "strided_slice ellipsis": strided([1, 0, 1], [2, 0, 4], [1, 1, 1], ellipsis_mask=[0, 1, 0]),
    "pad constant": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "constant", c(1.5)),
    "pad negative": lambda: op.pad(p(MAP), ints(0, 0, -1, 0), ints(0, 0, 0, -2), "constant"),
    "pad edge": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "edge"),
    "pad reflect": lambda: op.pad(p(MAP), ints(0, 0, 1, 2), ints(0, 0, 2, 1), "reflect"),
    "reverse": lambda: make("opset1", "Reverse", p(MAP), ints(1, 3), mode="index"),
    "roll": lambda: op.roll(p(MAP), ints(1, -2), ints(1, 3)),
    "reverse_sequence": lambda: op.reverse_sequence(p([2, 4, 3]), c([3, 2], np.int32), 0, 1),
    "gather": lambda: op.gather(p(MAP), c([[0, 3], [-1, 1]], np.int32), c(1, np.int64)),
    "gather scalar": lambda: op.gather(p(MAP), c(2, np.int64), c(-1, np.int64)),
    "gather batch": lambda: op.gather(p([2, 4, 3]), c([[0, 3], [2, 1]], np.int32), c(1, np.int64), 1),
    "gather_elements": lambda: op.gather_elements(p([2, 3]), c([[0, 1, 1], [1, 0, 0]], np.int32), 0),
    "gather_nd": lambda: op.gather_nd(p([2, 3, 4]), c([[0, 1], [1, 2]], np.int32)),
    "gather_nd batch": lambda: op8.gather_nd(p([2, 3, 4]), c([[1], [2]], np.int32), 1),
    "scatter_update": lambda: op.scatter_update(p([3, 4, 5]), ints(2, 0), draw(3, 2, 5), c(1, np.int64)),
    "scatter_nd_update": lambda: op.scatter_nd_update(p([3, 4]), c([[0, 1], [2, 3]], np.int32), c([5.0, 6.0])),
    "scatter_elements_update": lambda: op.scatter_elements_update(
        p([3, 4]), c([[0, 1]], np.int32), c([[5.0, 6.0]]), c(1, np.int64)
    ),
    "one_hot": lambda: op.one_hot(
        c([0, 2, -1, 5], np.int64), c(3, np.int64), op.reduce_sum(p([3]), ints(0)), c(0.5), -1
    ),
    "one_hot of input": lambda: op.one_hot(p([5], np.int64), c(3, np.int64), c(2.0), c(0.5), 0),
    "non_zero": lambda: op.non_zero(op.relu(p([3, 4]))),
    "identity": lambda: op.relu(op.identity(p(MAP))),
    "input passed on": lambda: p(MAP),
    "same value twice": lambda: op.concat([p(MAP)] * 2, 0),
    "shape_of": lambda: op.shape_of(p([-1, 3]), "i32"),
    "reshape by shape": lambda: op.reshape(p([-1, 6]), op.concat([size_of_batch(), ints(2, 3)], 0), False),
    "strided_slice at run time": lambda: op.strided_slice(
        p([-1, 6]), size_of_batch(-2), ints(9), ints(1), [0], [1], [], [], []
    ),
    "strided_slice of one at run time": lambda: op.strided_slice(
        p([-1, 6]), size_of_batch(-1), ints(0), ints(1), [0], [0], [], [1], []
    ),
    "slice at run time": lambda: op.slice(p([-1, 6]), size_of_batch(-1), ints(9), ints(1), ints(0)),
    "pad at run time": lambda: op.pad(p([-1]), size_of_batch(-2), size_of_batch(), "constant"),
    "broadcast at run time": lambda: op.broadcast(draw(1, 4), op.concat([size_of_batch(), ints(4)], 0)),
    "variadic_split of free axis": lambda: op.variadic_split(p([2, -1]), c(1, np.int64), ints(1, -1, 1)),
    "split of free axis": lambda: op.split(p([2, -1]), c(1, np.int64), 3),
    "same pads of free size": lambda: op.convolution(
        p([1, 3, -1, -1]), draw(4, 3, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_upper"
    ),
    "max_pool ceil of free size": lambda: op.max_pool(
        p([1, 3, -1, -1]), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil"
    ).output(0),
    "interpolate of free size": lambda: op.interpolate(
        p([1, 2, -1, -1]),
        c([2.0, 2.0]),
        "nearest",
        "scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=ints(2, 3),
    ),
    "matmul of free size": lambda: op.matmul(p([-1, 4, 3]), p([-1, 4, 5], name="y"), True, False),
    "range at run time": lambda: op.range(c(0, np.int32), op.squeeze(size_of_batch()), c(1, np.int32), "i32"),
}
