"""What a channel is worth: the change of the loss when its weights become zero, to first order.

Molchanov et al. 2019 (arXiv:1906.10771), equation 8: the square of the sum over a channel's weights of gradient times
weight, averaged over batches. Gradients come from the trainable twin, so this needs PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgeai_converters.prune.groups import ChannelGroup, prunable
from edgeai_converters.prune.importance import Importance, add_places, divide_by_mean
from edgeai_converters.require import require
from edgeai_converters.train.losses import OutputKind, label_loss, output_kinds, takes_labels
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.twin import make_twin
from edgeai_runtime.errors import DataError

Loss = Callable[[Mapping[str, Tensor]], Tensor]
"""Outputs by name → the loss of the batch, a number."""


def taylor_importance(
    model: ir.Model,
    groups: Iterable[ChannelGroup],
    batches: Iterable[tuple[Mapping[str, NDArray[Any]], Loss]],
    *,
    relative: bool = True,
) -> Importance:
    """Return the first-order importance of each channel, from the gradients of the weights that make it.

    Args:
        model: the graph; every operator must be one of the twin's.
        groups: its groups.
        batches: inputs by name with the loss of their outputs: of their labels (`with_labels`), or `own_loss`; read
            once. Small batches tell more: what samples disagree about does not cancel out.
        relative: divide by the mean over the group.
    """
    torch = require("torch", extra="torch")
    wanted = prunable(groups)
    members = {group.id: group.of_kind("produced", "state", "added") for group in wanted}
    names = {member.value for listed in members.values() for member in listed}
    twin = make_twin(model, trained=sorted(names))
    found: Importance = {group.id: np.zeros(group.size) for group in wanted}
    count = 0
    for inputs, loss in batches:
        count += 1
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in inputs.items()}
        weights = list(twin.weights.items())
        gradients = torch.autograd.grad(loss(twin.run(tensors)), [weight for _, weight in weights], allow_unused=True)
        products = {
            name: (weight * gradient).detach().cpu().numpy().astype(np.float64)
            for (name, weight), gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        }
        for group in wanted:
            change = np.zeros(group.size)
            for member in members[group.id]:
                if member.value in products:
                    array = products[member.value]
                    rest = tuple(i for i in range(array.ndim) if i != member.axis)
                    change += add_places(member, array.sum(axis=rest))
            found[group.id] += change**2
    found = {name: worths / max(1, count) for name, worths in found.items()}
    return divide_by_mean(found) if relative else found


def with_labels(
    model: ir.Model, batches: Iterable[Mapping[str, NDArray[Any]]], labels: NDArray[Any]
) -> Iterator[tuple[Mapping[str, NDArray[Any]], Loss]]:
    """Yield batches with the loss of their labels, as the paper has it: the first output against labels.

    Args:
        model: the graph; tells what its first output means.
        batches: inputs by name.
        labels: class indices `[n]`, or targets of the size of the first output, in the order of all samples.

    Raises:
        DataError: fewer labels than samples, or labels that do not fit the first output.
    """
    torch = require("torch", extra="torch")
    first = str(model.graph.outputs[0].name)
    kind = output_kinds(model, labels).get(first, "values")
    done = 0
    for batch in batches:
        size = len(next(iter(batch.values())))
        chosen = torch.from_numpy(np.array(labels[done : done + size]))
        done += size
        if done > len(labels):
            raise DataError(f"There are fewer labels ({len(labels)}) than samples.")
        yield batch, functools.partial(_loss_of_labels, first, kind, chosen)


def _loss_of_labels(first: str, kind: OutputKind, labels: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
    found = outputs[first]
    if not takes_labels(found, labels, kind):
        raise DataError(
            f"Labels of shape {list(labels.shape)} do not fit the output {first!r} of shape {list(found.shape)}.",
            hint="Class indices, or one number per output.",
        )
    return label_loss(found, labels, kind)


def own_loss(model: ir.Model, *, seed: int = 0, scores: bool = False) -> Loss:
    """Return a loss that needs no labels: labels are drawn from what the model itself says.

    The gradients are those of the Fisher information (Theis et al. 2018, arXiv:1801.05787, section 2.1). Outputs that
    are plain values have a target that is off by noise as wide as their spread.

    Args:
        model: the graph; tells what its outputs mean.
        seed: of the draws.
        scores: the first output is class scores (not behind a Softmax), one row per sample.
    """
    torch = require("torch", extra="torch")
    labels = np.zeros(1, np.int64) if scores else None
    kinds = output_kinds(model, labels)
    generator = torch.Generator().manual_seed(seed)

    def loss(outputs: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros(())
        for name, kind in kinds.items():
            found = outputs[name]
            if kind in ("logits", "probabilities", "log_probabilities"):
                logs = found.clamp_min(1e-8).log() if kind == "probabilities" else torch.log_softmax(found, -1)
                flat = logs.reshape(-1, logs.shape[-1])
                drawn = torch.multinomial(flat.detach().exp(), 1, generator=generator)
                total = total - flat.gather(1, drawn).mean()
            else:
                noise = torch.randn(found.shape, generator=generator) / found.detach().std().clamp_min(1e-8)
                total = total + (found * noise).mean()
        return total

    return loss
