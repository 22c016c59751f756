"""Dense layers: Gemm, MatMul."""

from __future__ import annotations

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def gemm(view: NodeView) -> Run:
    """Gemm: `alpha · a · b + beta · c`."""
    alpha, beta = view.number("alpha", 1.0), view.number("beta", 1.0)
    turn_a, turn_b = view.integer("transA", 0), view.integer("transB", 0)

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.t() if turn_a else a) @ (b.t() if turn_b else b)
        product = product if alpha == 1.0 else product * alpha
        if c is None:
            return product
        return product + (c if beta == 1.0 else c * beta)

    return run


def matmul(view: NodeView) -> Run:
    """MatMul, of vectors, matrices and stacks of them."""
    return lambda a, b: view.torch.matmul(a, b)
