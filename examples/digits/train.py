"""Train the small digits network of this example and write `digits.onnx` and `digits.npz` beside this file.

    python examples/digits/train.py [--epochs 60] [--out examples/digits]

Data: scikit-learn's copy of the "Optical Recognition of Handwritten Digits" set, 1797 images of 8 x 8 pixels with
values 0 to 16. It comes inside the scikit-learn package, so nothing is downloaded. 600 images train the network; the
other 1197 are never seen in training and are written to `digits.npz` (`x` uint8 `[n, 1, 8, 8]`, `y` int64 `[n]`), from
which edgeai takes its calibration, search and certification samples. Few training images, many held out: the interval
of the accuracy drop gets narrow with the number of certification samples.

Network: float32 `[n, 1, 8, 8]` in 0 to 1 (the pixels divided by 16) to ten logits; convolutions with batch
normalization, one residual block, one depthwise-separable block, global average pooling, one dense layer.

Needs PyTorch, onnxscript and scikit-learn (`pip install "edgeai[torch]" scikit-learn`); the demo itself does not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 7
TRAINING_IMAGES = 600
PIXEL_MAX = 16.0
BATCH = 64


def load_split() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return training images and labels, then held-out images and labels; images are uint8 `[n, 1, 8, 8]`, 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    train, held_out = order[:TRAINING_IMAGES], np.sort(order[TRAINING_IMAGES:])
    return images[train], labels[train], images[held_out], labels[held_out]


def build_network() -> Any:
    """Return the untrained `torch.nn.Module`: float32 `[n, 1, 8, 8]` to logits `[n, 10]`."""
    from torch import nn

    def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]

    class Residual(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.body = nn.Sequential(*convolution(channels, channels), nn.ReLU(), *convolution(channels, channels))
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(x + self.body(x))

    return nn.Sequential(
        *convolution(1, 32),
        nn.ReLU(),
        *convolution(32, 64),
        nn.ReLU(),
        Residual(64),
        *convolution(64, 64, stride=2, groups=64),
        nn.ReLU(),
        *convolution(64, 128, kernel=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def augment(images: Any, generator: Any) -> Any:
    """Rotate, scale and shift each image a little (torch float `[n, 1, 8, 8]`), and add noise."""
    import torch

    n = len(images)

    def draw(spread: float) -> Any:
        return (torch.rand(n, generator=generator) * 2 - 1) * spread

    angle, zoom, shift_x, shift_y = draw(0.22), 1 + draw(0.1), draw(0.18), draw(0.18)
    rows = [
        torch.stack([torch.cos(angle) * zoom, -torch.sin(angle) * zoom, shift_x], dim=1),
        torch.stack([torch.sin(angle) * zoom, torch.cos(angle) * zoom, shift_y], dim=1),
    ]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    return (moved + 0.03 * torch.randn(moved.shape, generator=generator)).clamp(0, 1)


def train_network(images: NDArray[np.uint8], labels: NDArray[np.int64], *, epochs: int) -> Any:
    """Train on `images` (uint8 `[n, 1, 8, 8]`) and return the network in evaluation mode; the seed is fixed."""
    import torch

    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(SEED)
    network = build_network()
    x = torch.from_numpy(images).float() / PIXEL_MAX
    y = torch.from_numpy(labels)
    steps = epochs * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(BATCH):
            logits = network(augment(x[chosen], generator))
            loss = torch.nn.functional.cross_entropy(logits, y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: Any, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Return the share of `images` (uint8 `[n, 1, 8, 8]`) that the network answers right."""
    import torch

    with torch.no_grad():
        logits = network(torch.from_numpy(images).float() / PIXEL_MAX)
    return float((logits.argmax(dim=1).numpy() == labels).mean())


def export(network: Any, path: Path) -> None:
    """Write the network as one ONNX file with a free batch dimension, input `image`, output `logits`."""
    import onnx
    import torch

    torch.onnx.export(
        network,
        (torch.zeros(2, 1, 8, 8),),  # an example batch of 2: a batch of 1 would be taken as a constant
        path,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["image"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        del part.metadata_props[:]  # the exporter's stack traces, which name folders of this machine
    onnx.save(model, path)


def main() -> None:
    """Train, say the accuracy, and write the two files."""
    parser = argparse.ArgumentParser(description="Train the digits network and write digits.onnx and digits.npz.")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    train_images, train_labels, images, labels = load_split()
    network = train_network(train_images, train_labels, epochs=arguments.epochs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    held_out = accuracy(network, images, labels)
    print(f"{parameters} parameters, accuracy {held_out:.4f} on {len(images)} held-out images")
    arguments.out.mkdir(parents=True, exist_ok=True)
    export(network, arguments.out / "digits.onnx")
    np.savez_compressed(arguments.out / "digits.npz", x=images, y=labels)


if __name__ == "__main__":
    main()
