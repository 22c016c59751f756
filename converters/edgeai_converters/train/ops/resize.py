"""Resize: nearest, linear and cubic, axis by axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.train.ops.view import NodeView, Run, Tensor


def resize(view: NodeView) -> Run:
    """Resize by scales or to sizes, as two taps (linear), four (cubic) or one (nearest) per axis that changes."""
    mode = view.word("mode", "nearest")
    transformation = view.word("coordinate_transformation_mode", "half_pixel")
    if transformation == "tf_crop_and_resize" or view.integer("antialias", 0) or view.integer("exclude_outside", 0):
        raise view.unsupported("a crop, antialiasing or places left out")
    if view.word("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise view.unsupported("it keeps the aspect ratio")
    view.constant(1)
    scales = view.constant(2)
    sizes = view.integers(3)
    axes = view.integer_list("axes")

    def run(x: Tensor, *_: Tensor) -> Tensor:
        chosen = axes if axes is not None else list(range(x.ndim))
        for i, axis in enumerate(chosen):
            size = int(x.shape[axis]) if axis else x.shape[axis]
            if sizes:
                wanted, scale = sizes[i], sizes[i] / size
            else:
                assert scales is not None
                scale = float(scales[i])
                wanted = int(np.floor(size * scale)) if scale != 1.0 else size
            if scale != 1.0:
                places = _places(size, wanted, scale, transformation)
                x = _read(view, x, axis % x.ndim, places, mode)
        return x

    return run


def _places(size: int, wanted: int, scale: float, transformation: str) -> NDArray[np.float64]:
    """Return where each output place reads, by `coordinate_transformation_mode`."""
    places = np.arange(wanted, dtype=np.float64)
    if transformation == "align_corners":
        return places * (size - 1) / (wanted - 1) if wanted > 1 else np.zeros(1)
    if transformation == "asymmetric":
        return places / scale
    if transformation == "pytorch_half_pixel" and wanted == 1:
        return np.zeros(1)
    middle = (places + 0.5) / scale - 0.5
    if transformation == "half_pixel_symmetric":
        return middle + size / 2 * (1 - wanted / (scale * size))
    return middle


def _read(view: NodeView, x: Tensor, axis: int, places: NDArray[np.float64], mode: str) -> Tensor:
    size = int(x.shape[axis])
    if mode == "nearest":
        taps, weights = _nearest(places, view.word("nearest_mode", "round_prefer_floor"))[:, None], None
    elif mode == "linear":
        places = np.clip(places, 0, size - 1)
        low = np.floor(places).astype(np.int64)
        taps = np.stack([low, low + 1], axis=1)
        weights = np.stack([1 - (places - low), places - low], axis=1)
    else:
        low = np.floor(places).astype(np.int64)
        taps = low[:, None] + np.arange(-1, 3)
        weights = _cubic(places[:, None] - taps, view.number("cubic_coeff_a", -0.75))
    taps = np.clip(taps, 0, size - 1)
    total = None
    for i in range(taps.shape[1]):
        part = x.index_select(axis, view.torch.from_numpy(taps[:, i].copy()).to(x.device))
        if weights is not None:
            shape = [-1 if i == axis else 1 for i in range(x.ndim)]
            part = part * view.torch.from_numpy(weights[:, i].astype(np.float32)).to(x.device).reshape(shape)
        total = part if total is None else total + part
    return total


def _nearest(places: NDArray[np.float64], rule: str) -> NDArray[np.int64]:
    exact = np.round(places, 9)  # 1.4999999999 is 1.5
    if rule == "round_prefer_floor":
        exact = np.ceil(exact - 0.5)
    elif rule == "round_prefer_ceil":
        exact = np.floor(exact + 0.5)
    else:
        exact = np.floor(exact) if rule == "floor" else np.ceil(exact)
    return np.asarray(exact, np.int64)


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
