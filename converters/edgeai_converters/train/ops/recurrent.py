"""Recurrent layers: LSTM, GRU, RNN, step by step over `[steps, batch, features]`.

The product of all inputs with their weights is one matrix product; only what depends on the state is in the loop.
Not supported: sequences of different lengths in one batch, other activations than those in `_ACTIVATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeai_converters.train.ops.view import NodeView, Run, Tensor

_Function = Callable[[Tensor], Tensor]
_Step = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor], tuple[Tensor, ...]]
"""(input part of one step `[batch, gates · hidden]`, states, recurrent weights, recurrent bias) → states."""


def lstm(view: NodeView) -> Run:
    """LSTM: gates in the order input, output, forget, cell; peepholes when given."""
    return _recurrent(view, gates=4, states=2, defaults=("Sigmoid", "Tanh", "Tanh"), make_step=_lstm_step)


def gru(view: NodeView) -> Run:
    """GRU: gates in the order update, reset, hidden; the reset before or after the recurrent product."""
    return _recurrent(view, gates=3, states=1, defaults=("Sigmoid", "Tanh"), make_step=_gru_step)


def rnn(view: NodeView) -> Run:
    """RNN with one activation."""
    return _recurrent(view, gates=1, states=1, defaults=("Tanh",), make_step=_rnn_step)


def _recurrent(
    view: NodeView, *, gates: int, states: int, defaults: tuple[str, ...], make_step: Callable[..., _Step]
) -> Run:
    torch = view.torch
    direction = view.word("direction", "forward")
    backwards = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    functions = _activations(view, defaults * len(backwards))
    hidden = view.integer("hidden_size", 0)
    batch_first = view.integer("layout", 0) == 1
    if view.has(4):
        raise view.unsupported("sequences of different lengths")
    clip = view.number("clip", 0.0)

    def run(x: Tensor, w: Tensor, r: Tensor, b: Any = None, _: Any = None, *more: Any) -> tuple[Tensor, ...]:
        first = [*more[:states], *(None,) * (states - len(more[:states]))]
        peepholes = more[states] if len(more) > states else None
        if batch_first:
            x = x.transpose(0, 1)
            first = [None if state is None else state.transpose(0, 1) for state in first]
        sequences, lasts = [], []
        for d, reverse in enumerate(backwards):
            chosen = functions[d * len(defaults) : (d + 1) * len(defaults)]
            step = make_step(view, chosen, clip, None if peepholes is None else peepholes[d])
            steps = x.flip(0) if reverse else x
            inputs = torch.matmul(steps, w[d].t())
            recurrent_bias = torch.zeros(gates * hidden, dtype=x.dtype, device=x.device)
            if b is not None:
                inputs = inputs + b[d, : gates * hidden]
                recurrent_bias = b[d, gates * hidden :]
            zero = torch.zeros(x.shape[1], hidden, dtype=x.dtype, device=x.device)
            state = tuple(zero if value is None else value[d] for value in first)
            seen = []
            for part in inputs.unbind(0):
                state = step(part, state, r[d], recurrent_bias)
                seen.append(state[0])
            sequences.append(torch.stack(seen[::-1] if reverse else seen))
            lasts.append(state)
        y = torch.stack(sequences, 1)  # [steps, directions, batch, hidden]
        last = [torch.stack([state[i] for state in lasts]) for i in range(states)]
        if batch_first:
            return (y.permute(2, 0, 1, 3), *(value.transpose(0, 1) for value in last))
        return (y, *last)

    return run


def _lstm_step(view: NodeView, functions: list[_Function], clip: float, peepholes: Tensor | None) -> _Step:
    f, g, h = functions
    coupled = view.integer("input_forget", 0) == 1

    def step(part: Tensor, state: tuple[Tensor, ...], r: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        hidden, cell = state
        i, o, forget, c = (part + view.torch.matmul(hidden, r.t()) + bias).chunk(4, -1)
        if peepholes is not None:
            p_i, p_o, p_f = peepholes.chunk(3, -1)
            i, forget = i + p_i * cell, forget + p_f * cell
        entry = f(_clipped(view, i, clip))
        keep = 1 - entry if coupled else f(_clipped(view, forget, clip))
        cell = keep * cell + entry * g(_clipped(view, c, clip))
        if peepholes is not None:
            o = o + p_o * cell
        return f(_clipped(view, o, clip)) * h(cell), cell

    return step


def _gru_step(view: NodeView, functions: list[_Function], clip: float, peepholes: Tensor | None) -> _Step:
    f, g = functions
    reset_after = view.integer("linear_before_reset", 0) != 0

    def step(part: Tensor, state: tuple[Tensor, ...], r: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        (hidden,) = state
        size = hidden.shape[-1]
        gates = part[..., : 2 * size] + view.torch.matmul(hidden, r[: 2 * size].t()) + bias[: 2 * size]
        update, reset = (f(_clipped(view, gate, clip)) for gate in gates.chunk(2, -1))
        weight, shift = r[2 * size :].t(), bias[2 * size :]
        if reset_after:
            inner = reset * (view.torch.matmul(hidden, weight) + shift)
        else:
            inner = view.torch.matmul(reset * hidden, weight) + shift
        candidate = g(_clipped(view, part[..., 2 * size :] + inner, clip))
        return ((1 - update) * candidate + update * hidden,)

    return step


def _rnn_step(view: NodeView, functions: list[_Function], clip: float, peepholes: Tensor | None) -> _Step:
    (f,) = functions

    def step(part: Tensor, state: tuple[Tensor, ...], r: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        return (f(_clipped(view, part + view.torch.matmul(state[0], r.t()) + bias, clip)),)

    return step


def _clipped(view: NodeView, x: Tensor, clip: float) -> Tensor:
    return view.torch.clamp(x, -clip, clip) if clip > 0 else x


def _activations(view: NodeView, defaults: tuple[str, ...]) -> list[_Function]:
    torch = view.torch
    known: dict[str, _Function] = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "affine": lambda x: x,
        "softsign": torch.nn.functional.softsign,
        "softplus": torch.nn.functional.softplus,
    }
    attribute = view.node.attributes.get("activations")
    names = [name.lower() for name in (attribute.as_strings() if attribute is not None else defaults)]
    alphas, betas = (_numbers(view, name) for name in ("activation_alpha", "activation_beta"))
    if "hardsigmoid" in names and len(alphas) in (0, names.count("hardsigmoid")):
        alpha, beta = (alphas or [0.2])[0], (betas or [0.5])[0]
        known["hardsigmoid"] = lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)
    elif alphas or betas or "affine" in names:
        raise view.unsupported("its activations have parameters")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise view.unsupported(f"its activation {unknown[0]!r} is not known")
    return [known[name] for name in names]


def _numbers(view: NodeView, name: str) -> list[float]:
    attribute = view.node.attributes.get(name)
    return [] if attribute is None else [float(item) for item in attribute.as_floats()]
