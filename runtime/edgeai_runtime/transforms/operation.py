"""What an operation is: a function on a batch, and the parameters it takes with the check of each.

A check is a function from a value to what was expected instead, or an empty string when the value will do. Checks run
once, when the steps are read; the functions themselves check only what depends on the array.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeai_runtime.record import dataclass

MAX_IMAGE_SIDE = 16384  # far above any model's input; a typing error must not allocate all memory
MAX_RANK = 8
MAX_SAMPLES = 2**26  # 23 minutes at 48 kHz
MAX_RATE = 768_000
MAX_TEXT = 4096  # a path or a name
_LARGEST, _SMALLEST = 3e38, 1.2e-38  # what float32 holds, in which the operations compute

Check = Callable[[Any], str]


class _Required:
    """The type of `REQUIRED`."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()
"""The default of a parameter that has none."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of an operation.

    Attributes:
        name: as it stands in a step.
        check: says what is expected when a value will not do.
        default: the value when the step has none; `REQUIRED` when it must.
        argument: the function's name for it when that differs (`from` is a word of Python).
        read: for the name of a file (an asset of the bundle): makes of it what the function takes.
        is_output: the value names another output of the model, and the function takes that output's result.
    """

    name: str
    check: Check
    default: Any = REQUIRED
    argument: str = ""
    read: Callable[[Path], Any] | None = None
    is_output: bool = False


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation: `run(array, **parameters)` on a batch [n, …].

    Attributes:
        run: the function; never writes into its argument.
        parameters: what a step may say; values without a name are taken in this order.
        together: a check of all parameters at once (name → value), for those that depend on each other.
        takes_labels: `run` also gets `names`, the class names of the bundle.
        ends: the result is no array, so no step can follow.
        takes_text: works on text instead of numbers, so it can only come first.
        adds_axes: by how much the result's rank differs from the argument's.
    """

    run: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    together: Check | None = None
    takes_labels: bool = False
    ends: bool = False
    takes_text: bool = False
    adds_axes: int = 0


def number(value: Any) -> str:
    """Accept a finite number."""
    return "" if _is_number(value) else "a finite number"


def positive_number(value: Any) -> str:
    """Accept a finite number above zero."""
    return "" if _is_positive(value) else "a number above zero"


def numbers(value: Any) -> str:
    """Accept a finite number or a list of them, one per channel."""
    return "" if _all(value, _is_number) else "a finite number or a list of them"


def positive_numbers(value: Any) -> str:
    """Accept a number above zero or a list of them, one per channel."""
    return "" if _all(value, _is_positive) else "a number above zero or a list of them"


def integer(value: Any) -> str:
    """Accept an integer that 32 bits hold."""
    return "" if _is_integer(value) and -(2**31) <= value < 2**31 else "an integer"


def side(value: Any) -> str:
    """Accept the height or width of an image in pixels."""
    good = _is_integer(value) and 1 <= value <= MAX_IMAGE_SIDE
    return "" if good else f"an integer from 1 to {MAX_IMAGE_SIDE}"


def count(value: Any) -> str:
    """Accept an integer above zero."""
    return "" if _is_integer(value) and 1 <= value < 2**31 else "an integer above zero"


def sample_count(value: Any) -> str:
    """Accept a number of samples, or the length of another axis."""
    return "" if _is_integer(value) and 1 <= value <= MAX_SAMPLES else f"an integer from 1 to {MAX_SAMPLES}"


def sample_rate(value: Any) -> str:
    """Accept a sample rate in Hz."""
    return "" if _is_integer(value) and 1 <= value <= MAX_RATE else f"a whole number of Hz from 1 to {MAX_RATE}"


def counts(value: Any) -> str:
    """Accept a list of integers above zero."""
    good = isinstance(value, (list, tuple)) and value and not any(map(count, value))
    return "" if good else "a list of integers above zero, such as [8,16,32]"


def count_or_zero(value: Any) -> str:
    """Accept an integer from zero."""
    return "" if _is_integer(value) and 0 <= value < 2**31 else "an integer from 0"


def least_number(value: Any) -> str:
    """Accept a finite number from zero."""
    return "" if _is_number(value) and value >= 0 else "a number from 0"


def share(value: Any) -> str:
    """Accept a number from 0 to 1."""
    return "" if _is_number(value) and 0 <= value <= 1 else "a number from 0 to 1"


def four_numbers(value: Any) -> str:
    """Accept a list of four numbers above zero."""
    good = isinstance(value, (list, tuple)) and len(value) == 4 and _all(value, _is_positive)
    return "" if good else "a list of four numbers above zero"


def word(value: Any) -> str:
    """Accept text, which may be empty."""
    return "" if isinstance(value, str) and len(value) <= MAX_TEXT else "text"


def filled_word(value: Any) -> str:
    """Accept text that is not empty."""
    return "" if value and not word(value) else "a name"


def inner_axis(value: Any) -> str:
    """Accept an axis other than the samples' (0); negative ones count from the end."""
    good = _is_integer(value) and -MAX_RANK < value < MAX_RANK and value != 0
    return "" if good else "an axis other than 0, which counts the samples; -1 is the last"


def indices(value: Any) -> str:
    """Accept a list of indices from zero."""
    good = (
        isinstance(value, (list, tuple)) and value and _all(value, lambda item: _is_integer(item) and 0 <= item < 2**31)
    )
    return "" if good else "a list of indices from 0, such as [2,1,0]"


def one_of(*choices: str) -> Check:
    """Return a check that accepts one of some words."""
    return lambda value: "" if isinstance(value, str) and value in choices else f"one of {', '.join(choices)}"


def layout_name(value: Any) -> str:
    """Accept a layout: one different letter per axis."""
    good = isinstance(value, str) and value.isalpha() and value.isupper() and value.isascii()
    good = good and len(set(value)) == len(value) <= MAX_RANK
    return "" if good else "one different capital letter per axis, such as NHWC"


def mels_fit(values: Any) -> str:
    """Check `fmin`, `fmax` and the sample rate against each other."""
    top = values["fmax"] or values["sample_rate"] / 2
    return "" if 0 <= values["fmin"] < top <= values["sample_rate"] / 2 else "0 ≤ fmin < fmax ≤ sample_rate / 2"


def frames_fit(values: Any) -> str:
    """Check that a frame fits into the Fourier transform."""
    good = values["fft"] == 0 or values["fft"] >= values["frame_length"]
    return "" if good else "fft to be at least frame_length (0: the next power of two)"


def features_fit(values: Any) -> str:
    """Check the parameters of `log_mel` and `mfcc`."""
    if values.get("n_mfcc", 0) > values["n_mels"]:
        return "n_mfcc to be at most n_mels"
    return frames_fit(values) or mels_fit(values)


def tokens_fit(values: Any) -> str:
    """Check that the marks of begin and end leave room for text."""
    marks = bool(values["begin"]) + bool(values["end"])
    return "" if values["length"] > marks else f"a length above {marks}, for there are marks of begin and end"


def _is_number(value: Any) -> bool:
    return (isinstance(value, float) or _is_integer(value)) and -_LARGEST <= value <= _LARGEST


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value >= _SMALLEST


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(value: Any, good: Callable[[Any], bool]) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(good(item) for item in value)
    return good(value)
