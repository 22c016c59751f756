"""Activations."""

from __future__ import annotations

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def relu(view: NodeView) -> Run:
    """Relu."""
    return lambda x: view.torch.relu(x)


def clip(view: NodeView) -> Run:
    """Clip between bounds that may be absent."""
    computed = [i for i in (1, 2) if view.has(i) and not view.is_constant(i)]
    if computed:
        return lambda x, low=None, high=None: view.torch.clamp(x, low, high)
    low, high = (None if (bound := view.constant(i)) is None else bound.item() for i in (1, 2))
    if low is None and high is None:
        return lambda x, *_: x
    return lambda x, *_: view.torch.clamp(x, low, high)


def leaky_relu(view: NodeView) -> Run:
    """LeakyRelu."""
    slope = view.number("alpha", 0.01)
    return lambda x: view.torch.nn.functional.leaky_relu(x, slope)


def prelu(view: NodeView) -> Run:
    """PRelu: the slope broadcasts to the input."""
    return lambda x, slope: view.torch.where(x >= 0, x, x * slope)


def elu(view: NodeView) -> Run:
    """Elu."""
    alpha = view.number("alpha", 1.0)
    return lambda x: view.torch.nn.functional.elu(x, alpha)


def selu(view: NodeView) -> Run:
    """Selu."""
    alpha, gamma = view.number("alpha", 1.67326319217681884765625), view.number("gamma", 1.05070102214813232421875)
    return lambda x: gamma * view.torch.nn.functional.elu(x, alpha)


def celu(view: NodeView) -> Run:
    """Celu."""
    alpha = view.number("alpha", 1.0)
    return lambda x: view.torch.nn.functional.celu(x, alpha)


def hard_sigmoid(view: NodeView) -> Run:
    """HardSigmoid: `clip(alpha · x + beta, 0, 1)`."""
    alpha, beta = view.number("alpha", 0.2), view.number("beta", 0.5)
    return lambda x: view.torch.clamp(alpha * x + beta, 0.0, 1.0)


def hard_swish(view: NodeView) -> Run:
    """HardSwish: `x · clip(x / 6 + 1 / 2, 0, 1)`."""
    return lambda x: view.torch.nn.functional.hardswish(x)


def gelu(view: NodeView) -> Run:
    """Gelu, exact or by the hyperbolic tangent."""
    approximate = view.word("approximate", "none")
    return lambda x: view.torch.nn.functional.gelu(x, approximate=approximate)


def swish(view: NodeView) -> Run:
    """Swish: `x · sigmoid(alpha · x)`."""
    alpha = view.number("alpha", 1.0)
    return lambda x: x * view.torch.sigmoid(alpha * x)


def mish(view: NodeView) -> Run:
    """Mish."""
    return lambda x: view.torch.nn.functional.mish(x)


def softplus(view: NodeView) -> Run:
    """Softplus."""
    return lambda x: view.torch.nn.functional.softplus(x)


def softsign(view: NodeView) -> Run:
    """Softsign."""
    return lambda x: view.torch.nn.functional.softsign(x)


def thresholded_relu(view: NodeView) -> Run:
    """ThresholdedRelu: `x` above `alpha`, else 0."""
    alpha = view.number("alpha", 1.0)

    def run(x: Tensor) -> Tensor:
        return view.torch.where(x > alpha, x, view.torch.zeros_like(x))

    return run


def softmax(view: NodeView) -> Run:
    """Softmax along one axis."""
    axis = view.integer("axis", -1)
    return lambda x: view.torch.softmax(x, axis)


def log_softmax(view: NodeView) -> Run:
    """LogSoftmax along one axis."""
    axis = view.integer("axis", -1)
    return lambda x: view.torch.log_softmax(x, axis)
