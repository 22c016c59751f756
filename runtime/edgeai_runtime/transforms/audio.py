"""Operations on sound: mono, resample, fit_length, spectrogram, mel, log, dct, and log_mel and mfcc made of them.

A waveform is [n, samples]; samples run along the last axis. Arithmetic is in float32 (the Fourier transform in what
numpy gives: float64 before numpy 2). Filters and windows are made once in float64 and kept.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from edgeai_runtime.errors import DataError
from edgeai_runtime.transforms.numeric import as_float, checked_axis


def mono(array: Any, *, axis: int) -> Any:
    """Return the mean over the channels on `axis`: [n, samples, channels] → [n, samples], float32."""
    return as_float(array).mean(axis=checked_axis("mono", array, axis))


def resample(array: Any, *, source: int, target: int) -> Any:
    """Change the sample rate from `source` to `target` Hz with a polyphase low-pass filter. [n, samples] → [n, new].

    The filter is a sinc of 20·max(up, down)+1 taps with a Kaiser window (β = 5), zeros outside the signal:
    `scipy.signal.resample_poly` with its defaults. `new = ceil(samples · target / source)`.

    Raises:
        DataError: not two axes, or no samples.
    """
    values = _waveform("resample", array)
    shared = math.gcd(source, target)
    up, down = target // shared, source // shared
    if up == down:
        return values
    phases = _polyphase(up, down)
    taps = phases.shape[1]
    half = 10 * max(up, down)
    size = -(-values.shape[1] * up // down)
    places = np.arange(size) * down + half  # where output m lies among the inputs spread by `up`, filter centred
    last = int(places[-1]) // up
    padded = np.pad(values, ((0, 0), (taps - 1, max(0, last + 1 - values.shape[1]))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)  # window i ends at input i
    result = np.empty((len(values), size), values.dtype)
    for phase in range(min(up, size)):  # outputs m, m + up, … use the same taps, `down` inputs apart
        first, which = divmod(int(places[phase]), up)
        count = len(range(phase, size, up))
        result[:, phase::up] = windows[:, first : first + (count - 1) * down + 1 : down] @ phases[which].astype(
            values.dtype
        )
    return result


def fit_length(array: Any, *, length: int, axis: int, value: float) -> Any:
    """Cut the end off, or append `value`, so that `axis` has `length` entries. Same dtype."""
    position = checked_axis("fit_length", array, axis)
    old = array.shape[position]
    if old >= length:
        return np.ascontiguousarray(array[(slice(None),) * position + (slice(length),)])
    added = [(0, 0)] * array.ndim
    added[position] = (0, length - old)
    return np.pad(array, added, constant_values=value)


def spectrogram(array: Any, *, frame_length: int, hop: int, fft: int, window: str, power: float, centre: str) -> Any:
    """Return `|rfft(frame · window)|^power` of overlapping frames. [n, samples] → [n, frames, fft // 2 + 1], float32.

    Frame t begins at `t · hop`; what does not fill a frame is dropped: `tf.signal.stft`. With `centre=reflect` it is
    centred there instead, the signal mirrored at its ends: `torch.stft`, librosa. The window is periodic
    (Harris 1978): hann `0.5 − 0.5·cos(2πi/N)`, hamming `0.54 − 0.46·cos(2πi/N)`. `fft=0` takes the next power of two.

    Raises:
        DataError: not two axes, or fewer samples than one frame.
    """
    values = _waveform("spectrogram", array)
    if centre == "reflect":
        half = frame_length // 2
        if values.shape[1] <= half:
            raise DataError(f"spectrogram: {values.shape[1]} samples cannot be mirrored by {half}")
        values = np.pad(values, ((0, 0), (half, half)), mode="reflect")
    if values.shape[1] < frame_length:
        raise DataError(
            f"spectrogram: {values.shape[1]} samples are less than one frame of {frame_length}",
            hint="Put fit_length before it, or give longer sounds.",
        )
    frames = np.lib.stride_tricks.sliding_window_view(values, frame_length, axis=1)[:, ::hop]
    size = fft or 1 << (frame_length - 1).bit_length()
    spectrum = np.fft.rfft(frames * _window(window, frame_length).astype(values.dtype), n=size)
    squares = np.square(spectrum.real) + np.square(spectrum.imag)
    return (squares if power == 2 else squares ** (power / 2)).astype(values.dtype)


def mel(
    array: Any, *, sample_rate: float, n_mels: int, fmin: float, fmax: float, scale: str, triangles: str, norm: str
) -> Any:
    """Sum the bins of a spectrogram under `n_mels` triangles. [n, frames, bins] → [n, frames, n_mels], float32.

    The corners are evenly spaced in mel from `fmin` to `fmax` Hz (0: half the sample rate). Scales: `htk`
    2595·log10(1 + f/700) (HTK book, 5.4); `slaney` linear below 1000 Hz, logarithmic above (Auditory Toolbox, 1998).
    The sides are straight in mel (`triangles=mel`, TensorFlow) or in Hz (`hz`, librosa, torchaudio). `norm=slaney`
    divides each by half its width in Hz. TensorFlow: the defaults; librosa: slaney, hz, slaney; torchaudio: htk, hz.
    """
    if array.ndim < 3:
        raise DataError(f"mel: a spectrogram is [n, frames, bins], the array has shape {array.shape}")
    values = as_float(array)
    return values @ mel_filters(values.shape[-1], sample_rate, n_mels, fmin, fmax, scale, triangles, norm).astype(
        values.dtype
    )


def log(array: Any, *, offset: float, base: str) -> Any:
    """Return the logarithm of `array + offset`: natural (`e`), to base `ten`, or decibels (`db`: 10·log10).

    [n, …] any numbers → the same shape, float32.

    Raises:
        DataError: a value that has no logarithm: zero or below after the offset.
    """
    values = as_float(array)
    values = values + values.dtype.type(offset)
    if values.size and not values.min() > 0:
        raise DataError("log: values at or below zero have no logarithm", hint="Raise `offset`.")
    if base == "e":
        return np.log(values)
    result = np.log10(values)
    return result * result.dtype.type(10) if base == "db" else result


def dct(array: Any, *, keep: int, norm: str) -> Any:
    """Return the first `keep` coefficients of the DCT-II along the last axis. [n, …, N] → [n, …, keep], float32.

    `√(2/N) · Σ x[i] · cos(π·k·(2i+1)/(2N))`; `norm=ortho` divides coefficient 0 by √2 besides (scipy, librosa,
    torchaudio), `norm=htk` does not (HTK book, 5.6.1; `tf.signal.mfccs_from_log_mel_spectrograms`).

    Raises:
        DataError: fewer than `keep` values.
    """
    checked_axis("dct", array, -1)
    values = as_float(array)
    if keep > values.shape[-1]:
        raise DataError(f"dct: {keep} coefficients cannot be had of {values.shape[-1]} values")
    return values @ _cosines(values.shape[-1], keep, norm).astype(values.dtype)


def log_mel(array: Any, *, offset: float, base: str, **given: Any) -> Any:
    """Return the logarithm of a mel spectrogram: `spectrogram`, `mel` and `log` in one.

    [n, samples] → [n, frames, n_mels], float32.

    Raises:
        DataError: as those.
    """
    names = ("frame_length", "hop", "fft", "window", "power", "centre")
    frames = spectrogram(array, **{name: given.pop(name) for name in names})
    return log(mel(frames, **given), offset=offset, base=base)


def mfcc(array: Any, *, n_mfcc: int, dct_norm: str, **given: Any) -> Any:
    """Return mel-frequency cepstral coefficients: `log_mel` and `dct` (Davis & Mermelstein 1980).

    [n, samples] → [n, frames, n_mfcc], float32.

    Raises:
        DataError: as those.
    """
    return dct(log_mel(array, **given), keep=n_mfcc, norm=dct_norm)


@functools.lru_cache(maxsize=8)
def mel_filters(
    bins: int, sample_rate: float, n_mels: int, fmin: float, fmax: float, scale: str, triangles: str, norm: str
) -> Any:
    """Return the triangles as a matrix [bins, n_mels] of float64; the parameters are those of `mel`."""
    to_mel, to_hertz = (_to_htk, _from_htk) if scale == "htk" else (_to_slaney, _from_slaney)
    low, high = to_mel(np.array([fmin, fmax or sample_rate / 2], np.float64))
    corners = np.linspace(low, high, n_mels + 2)
    hertz = to_hertz(corners)
    places = np.linspace(0.0, sample_rate / 2, bins)
    x, edges = (to_mel(places), corners) if triangles == "mel" else (places, hertz)
    rising = (x[:, np.newaxis] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - x[:, np.newaxis]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return filters * (2.0 / (hertz[2:] - hertz[:-2])) if norm == "slaney" else filters


def _waveform(operation: str, array: Any) -> Any:
    if array.ndim != 2 or not array.shape[1]:
        raise DataError(
            f"{operation}: sounds are [n, samples], the array has shape {array.shape}",
            hint="Several channels: put `mono` before it.",
        )
    return as_float(array)


@functools.lru_cache(maxsize=8)
def _window(name: str, size: int) -> Any:
    turn = np.cos(2 * np.pi * np.arange(size) / size)
    return {"hann": 0.5 - 0.5 * turn, "hamming": 0.54 - 0.46 * turn, "ones": np.ones(size)}[name]


@functools.lru_cache(maxsize=8)
def _cosines(size: int, keep: int, norm: str) -> Any:
    matrix = np.cos(np.pi / (2 * size) * np.outer(2 * np.arange(size) + 1, np.arange(keep))) * math.sqrt(2 / size)
    if norm == "ortho":
        matrix[:, 0] /= math.sqrt(2)
    return matrix


@functools.lru_cache(maxsize=8)
def _polyphase(up: int, down: int) -> Any:
    """Return the low-pass filter's taps as [up, taps], each row reversed, so that it is a product with a window."""
    half = 10 * max(up, down)
    cut = 1 / max(up, down)
    taps = np.sinc(cut * np.arange(-half, half + 1)) * cut * np.kaiser(2 * half + 1, 5.0)
    taps *= up / taps.sum()
    rows = -(-len(taps) // up)
    return np.ascontiguousarray(np.pad(taps, (0, rows * up - len(taps))).reshape(rows, up).T[:, ::-1])


def _to_htk(hertz: Any) -> Any:
    return 1127.0 * np.log1p(hertz / 700.0)


def _from_htk(mels: Any) -> Any:
    return 700.0 * np.expm1(mels / 1127.0)


def _to_slaney(hertz: Any) -> Any:
    above = 15.0 + 27.0 / math.log(6.4) * np.log(np.maximum(hertz, 1000.0) / 1000.0)
    return np.where(hertz < 1000.0, hertz * 3.0 / 200.0, above)


def _from_slaney(mels: Any) -> Any:
    return np.where(
        mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp(math.log(6.4) / 27.0 * (np.maximum(mels, 15.0) - 15.0))
    )
