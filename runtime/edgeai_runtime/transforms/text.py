"""Words to numbers: `tokenize` looks pieces of text up in a vocabulary, a file with one piece per line.

The vocabulary is a member of the bundle; the number of a piece is its line, from 0.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.errors import BundleError, DataError

MAX_WORD_CHARACTERS = 100  # longer words are unknown at once, as in BERT's tokenizer
_FORM = "One piece per line, in UTF-8."
_STRIPPED = str.maketrans("", "", string.punctuation)


def tokenize(
    array: Any,
    *,
    vocabulary: Mapping[str, int],
    length: int,
    method: str,
    case: str,
    accents: str,
    punctuation: str,
    unknown: str,
    padding: str,
    begin: str,
    end: str,
    give: str,
    dtype: str,
) -> Any:
    """Return the numbers of the pieces of each text, cut or padded to `length`. [n] text → [n, length] integers.

    Words are what stands between white space; `punctuation=split` makes each mark (and each CJK character) a word of
    its own as BERT does, `strip` drops ASCII marks as Keras `TextVectorization` does. `method=word` looks whole words
    up; `wordpiece` takes the longest piece that the vocabulary has, again and again, later pieces beginning with `##`
    (Schuster & Nakajima 2012; BERT); a word that cannot be made of pieces is `unknown` as a whole. `begin` and `end`
    (`[CLS]`, `[SEP]`) are kept when text is cut. `give=mask` returns 1 for pieces and 0 for padding, `types` zeros.

    Raises:
        DataError: a special piece that the vocabulary lacks.
    """
    special = {name: _number(vocabulary, name) for name in (unknown, padding, begin, end) if name or name == padding}
    first = [special[begin]] if begin else []
    last = [special[end]] if end else []
    room = length - len(first) - len(last)
    result = np.full((len(array), length), special[padding] if give == "ids" else 0, dtype)
    if give == "types":
        return result
    for row, text in enumerate(array.tolist()):
        numbers = []
        for word in _words(text, case, accents, punctuation):
            numbers += _pieces(word, vocabulary, special[unknown], method)
            if len(numbers) >= room:
                break
        numbers = first + numbers[:room] + last
        result[row, : len(numbers)] = numbers if give == "ids" else 1
    return result


def read_vocabulary(path: Path) -> dict[str, int]:
    """Read a vocabulary: UTF-8, one piece per line; of a piece that stands twice the first line counts.

    Raises:
        BundleError: not such a file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"the vocabulary {path} cannot be read: {error}", hint="One piece per line, UTF-8."
        ) from error
    lines = text.split("\n")
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines):
        numbers.setdefault(line.rstrip("\r"), number)
    if not numbers:
        raise BundleError(f"the vocabulary {path} is empty", hint=_FORM)
    return numbers


def _number(vocabulary: Mapping[str, int], piece: str) -> int:
    if piece not in vocabulary:
        raise DataError(
            f"tokenize: the vocabulary has no {piece!r}",
            hint="Name its own pieces with unknown=…, padding=…, begin=…, end=….",
        )
    return vocabulary[piece]


def _words(text: str, case: str, accents: str, punctuation: str) -> Iterator[str]:
    if case == "lower":
        text = text.lower()
    if accents == "strip":
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    if punctuation == "strip":
        text = text.translate(_STRIPPED)
    if punctuation != "split":
        yield from text.split()
        return
    if text.isascii():
        marked = "".join(
            f" {c} " if c in string.punctuation else c if c.isprintable() or c.isspace() else "" for c in text
        )
    else:
        marked = "".join(map(_spaced, text))
    yield from marked.split()


def _spaced(character: str) -> str:
    """Return the character between spaces when it is a word of its own, nothing for control characters (BERT)."""
    if character in string.punctuation or _is_cjk(ord(character)):
        return f" {character} "
    category = unicodedata.category(character)
    if category[0] == "P":
        return f" {character} "
    if character.isspace():
        return " "
    return "" if category[0] == "C" or character == "\ufffd" else character


def _is_cjk(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
    )


def _pieces(word: str, vocabulary: Mapping[str, int], unknown: int, method: str) -> list[int]:
    if method == "word":
        return [vocabulary.get(word, unknown)]
    if len(word) > MAX_WORD_CHARACTERS:
        return [unknown]
    numbers, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            number = vocabulary.get(mark + word[start:end])
            if number is not None:
                break
        else:
            return [unknown]
        numbers.append(number)
        start = end
    return numbers
