"""Sound, text, boxes and images against other people's implementations: TensorFlow, torch, Keras, tokenizers, PIL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.manifest import Step
from edgeai_runtime.transforms.boxes import suppress
from edgeai_runtime.transforms.pipeline import apply_steps

FLOAT32 = 2e-4
"""Relative to the largest value: both sides compute in float32, the Fourier transform by different algorithms."""

SPEECH = {"sample_rate": 16000, "frame_length": 400, "hop": 160, "fft": 512}
TEXTS = [
    "The quick brown Fox, it's unaffable!",
    "naïve café — 中文字 test.",
    "",
    "x" * 120 + " end",
    "tab\tnew\nline\x00",
]


def run(operation: str, array: Any, **params: Any) -> Any:
    return apply_steps([Step(op=operation, params=params)], array)


def sound(samples: int = 4000) -> Any:
    return np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)


def agree(result: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=FLOAT32 * np.abs(expected).max())


@pytest.mark.keras
@pytest.mark.parametrize("last", ["spectrogram", "log_mel", "mfcc"])
def test_the_defaults_are_those_of_tensorflow(last: str) -> None:
    tf = pytest.importorskip("tensorflow")
    frames = tf.abs(tf.signal.stft(sound(), 400, 160, 512))
    mel = frames**2 @ tf.signal.linear_to_mel_weight_matrix(40, 257, 16000, 20.0, 4000.0)
    log = tf.math.log(mel + 1e-6)
    mel_params = {**SPEECH, "n_mels": 40, "fmin": 20, "fmax": 4000}
    if last == "spectrogram":
        agree(run("spectrogram", sound(), frame_length=400, hop=160, power=1), frames)
    elif last == "log_mel":
        agree(run("log_mel", sound(), **mel_params), log)
    else:
        expected = tf.signal.mfccs_from_log_mel_spectrograms(log)[..., :13]
        agree(run("mfcc", sound(), **mel_params, dct_norm="htk"), expected)


@pytest.mark.torch
@pytest.mark.parametrize("window", [400, 512])
def test_a_centred_spectrogram_is_that_of_torch(window: int) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.stft(
        torch.from_numpy(sound()), 512, 160, window, torch.hann_window(window), center=True, return_complex=True
    )
    result = run("spectrogram", sound(), frame_length=window, hop=160, fft=512, centre="reflect")
    agree(result, expected.abs().square().transpose(1, 2).numpy())


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize(("triangles", "norm"), [("hz", "none"), ("hz", "slaney"), ("mel", "none")])
def test_mel_filters_are_those_of_transformers(scale: str, norm: str, triangles: str) -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    expected = audio.mel_filter_bank(
        201,
        20,
        40.0,
        7000.0,
        16000,
        norm=None if norm == "none" else norm,
        mel_scale=scale,
        triangularize_in_mel_space=triangles == "mel",
    )
    spectrum = np.random.default_rng(0).random((1, 3, 201))
    params = {"sample_rate": 16000, "n_mels": 20, "fmin": 40, "fmax": 7000}
    result = run("mel", spectrum, **params, scale=scale, triangles=triangles, norm=norm)
    agree(result, spectrum @ expected)


PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "quick", "bro", "##wn", "fox", ",", "it", "'", "s", "un", "##aff"),
    *("##able", "!", "naive", "caf", "##e", "naïve", "##é", "中", "文", "test", ".", "end", "—", "tab", "new", "line"),
]


@pytest.mark.parametrize("accents", ["strip", "keep"])
@pytest.mark.parametrize("length", [6, 24])
def test_word_pieces_are_those_of_bert(tmp_path: Path, accents: str, length: int) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES), encoding="utf-8")
    bert = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True, strip_accents=accents == "strip")
    bert.enable_truncation(length)
    bert.enable_padding(length=length)
    params = {"vocabulary": str(path), "length": length, "method": "wordpiece", "accents": accents}
    marks = {"begin": "[CLS]", "end": "[SEP]"}
    encoded = bert.encode_batch(TEXTS)
    assert run("tokenize", TEXTS, **params, **marks).tolist() == [one.ids for one in encoded]
    assert run("tokenize", TEXTS, **params, **marks, give="mask").tolist() == [one.attention_mask for one in encoded]


@pytest.mark.keras
def test_words_are_those_of_keras(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    layer = keras.layers.TextVectorization(output_sequence_length=6)
    layer.adapt(["The quick brown fox", "it's the end", "quick!"])
    path = tmp_path / "words.txt"
    path.write_text("\n".join(layer.get_vocabulary()) + "\n", encoding="utf-8")
    texts = ["the Quick, quick end.", "It's what: the-fox", "", "a b c d e f g quick"]
    result = run("tokenize", texts, vocabulary=str(path), length=6, punctuation="strip", padding="")
    assert result.tolist() == np.asarray(layer(texts)).tolist()


@pytest.mark.keras
@pytest.mark.parametrize("iou", [0.2, 0.5])
def test_suppression_is_that_of_tensorflow(iou: float) -> None:
    tf = pytest.importorskip("tensorflow")
    random = np.random.default_rng(1)
    low = random.uniform(0, 1, size=(200, 2))
    boxes = np.concatenate([low, low + random.uniform(0.05, 0.5, size=(200, 2))], axis=1).astype(np.float32)
    scores = random.random(200).astype(np.float32)
    expected = tf.image.non_max_suppression(boxes, scores, 30, iou_threshold=iou).numpy().tolist()
    assert suppress(boxes, scores, np.zeros(200), iou=iou, top=30) == expected


@pytest.mark.keras
@pytest.mark.parametrize("size", [(20, 9), (7, 50), (100, 80)])
def test_antialiased_images_are_those_of_tensorflow(size: tuple[int, int]) -> None:
    tf = pytest.importorskip("tensorflow")
    image = np.random.default_rng(0).random((2, 45, 61, 3), np.float32)
    expected = tf.image.resize(image, size, method="bilinear", antialias=True).numpy()
    result = run("resize", image, height=size[0], width=size[1], method="antialias")
    agree(result, expected)


@pytest.mark.parametrize("size", [(20, 9), (7, 50), (100, 80)])
def test_antialiased_images_are_those_of_pil_but_for_rounding(size: tuple[int, int]) -> None:
    pil = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    expected = np.asarray(pil.fromarray(image).resize(size[::-1], pil.Resampling.BILINEAR))
    result = run("resize", image[np.newaxis], height=size[0], width=size[1], method="antialias")[0]
    assert np.abs(result.astype(int) - expected).max() <= 1
