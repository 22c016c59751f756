"""The construction: what was encrypted comes back, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeai.encrypting import encrypt_chunks
from edgeai_runtime import encryption
from edgeai_runtime.encryption import decrypt_file, header, key_id, read_key
from edgeai_runtime.errors import IntegrityError, UsageError

pytest.importorskip("cryptography")

KEY = bytes(range(32))
SALT = "salt"
HERE = header("net", "int8", "variants/int8/model.tflite")
CHUNK = 64
PIECE = CHUNK + 16


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 bytes, so that a test has many."""
    monkeypatch.setattr(encryption, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr("edgeai.encrypting.CHUNK_BYTES", CHUNK)


def sealed(content: bytes, *, salt: str = SALT, context: bytes = HERE) -> bytes:
    return b"".join(encrypt_chunks([content], KEY, salt, context))


def opened(ciphertext: bytes, folder: Path, *, key: bytes = KEY, salt: str = SALT, context: bytes = HERE) -> bytes:
    path = folder / "sealed"
    path.write_bytes(ciphertext)
    return decrypt_file(path, key, salt, context)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(content=st.binary(max_size=4 * CHUNK), cut=st.integers(0, 4 * CHUNK))
def test_what_was_encrypted_in_pieces_of_any_size_comes_back(tmp_path: Path, content: bytes, cut: int) -> None:
    ciphertext = b"".join(encrypt_chunks([content[:cut], content[cut:]], KEY, SALT, HERE))
    assert ciphertext == sealed(content)
    assert opened(ciphertext, tmp_path) == content
    assert len(ciphertext) == len(content) + 16 * max(-(-len(content) // CHUNK), 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(data=st.data(), length=st.integers(0, 4 * CHUNK))
def test_no_other_bytes_are_ever_taken_for_it(tmp_path: Path, data: st.DataObject, length: int) -> None:
    good = sealed(bytes(length))
    change = data.draw(st.sampled_from(["flip", "cut", "add", "swap", "repeat", "drop"]))
    at = data.draw(st.integers(0, len(good) - 1))
    pieces = [good[start : start + PIECE] for start in range(0, len(good), PIECE)]
    one, two = (data.draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
    if change == "flip":
        bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    elif change == "cut":
        bad = good[:at]
    elif change == "add":
        bad = good + data.draw(st.binary(min_size=1, max_size=2 * PIECE))
    elif change == "swap":
        pieces[one], pieces[two] = pieces[two], pieces[one]
        bad = b"".join(pieces)
    elif change == "repeat":
        bad = b"".join([*pieces[: one + 1], *pieces[one:]])
    else:
        bad = b"".join([*pieces[:one], *pieces[one + 1 :]])
    if bad == good:
        return
    with pytest.raises(IntegrityError, match="cannot be decrypted"):
        opened(bad, tmp_path)


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_a_file_cut_after_a_whole_chunk_is_refused(tmp_path: Path, chunks: int) -> None:
    with pytest.raises(IntegrityError, match="cut off"):
        opened(sealed(bytes(3 * CHUNK))[: chunks * PIECE], tmp_path)


def test_another_key_salt_variant_bundle_or_path_is_refused(tmp_path: Path) -> None:
    good = sealed(b"weights")
    assert opened(good, tmp_path) == b"weights"
    others = [
        {"key": bytes(32)},
        {"salt": "another"},
        {"context": header("net", "float", "variants/int8/model.tflite")},
        {"context": header("other", "int8", "variants/int8/model.tflite")},
        {"context": header("net", "int8", "variants/int8/other.tflite")},
    ]
    refused = 0
    for other in others:
        with pytest.raises(IntegrityError, match="another file"):
            opened(good, tmp_path, **other)  # type: ignore[arg-type]
        refused += 1
    assert refused == len(others)


def test_names_can_not_run_into_each_other() -> None:
    assert header("a", "b", "c") != header('a", "b', "c", "")


def test_equal_content_is_not_seen_in_two_files() -> None:
    assert sealed(bytes(CHUNK)) != sealed(bytes(CHUNK), salt="another")
    one = sealed(bytes(3 * CHUNK))
    assert len({one[:PIECE], one[PIECE : 2 * PIECE], one[2 * PIECE :]}) == 3


def test_it_is_what_the_library_would_make_of_the_same_words(tmp_path: Path) -> None:
    """The construction, written out once more: HKDF, seven bytes of prefix, four of counter, one of end."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(algorithm=hashes.SHA256(), length=39, salt=b"salt", info=HERE).derive(KEY)
    cipher, prefix = AESGCM(made[:32]), made[32:]
    content = bytes(range(CHUNK)) + b"end"
    by_hand = cipher.encrypt(prefix + b"\0\0\0\0\0", content[:CHUNK], HERE)
    by_hand += cipher.encrypt(prefix + b"\0\0\0\1\1", content[CHUNK:], HERE)
    assert sealed(content) == by_hand


@pytest.mark.parametrize("form", ["bytes", "digits", "file of bytes", "file of digits", "function", "variable"])
def test_a_key_has_these_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    raw, digits = tmp_path / "raw", tmp_path / "digits"
    raw.write_bytes(KEY)
    digits.write_text(f"{KEY.hex()}\n")
    monkeypatch.setenv("EDGEAI_DECRYPTION_KEY", KEY.hex() if form == "variable" else "")
    asked: list[str] = []

    def function(wanted: str) -> Path:
        asked.append(wanted)
        return digits

    forms = {"bytes": KEY, "digits": KEY.hex(), "file of bytes": raw, "file of digits": str(digits)}
    given = {**forms, "function": function, "variable": None}[form]
    assert read_key(given, "its id") == KEY  # type: ignore[arg-type]
    assert asked == (["its id"] if form == "function" else [])


@pytest.mark.parametrize(
    "given", [None, b"", b"short", "5ec2e7" * 11, "nowhere/5ec2e7.key", b"5ec2e7" * 11, b"\xff5ec2e7" * 10]
)
def test_what_is_no_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, given: bytes | str | None) -> None:
    monkeypatch.delenv("EDGEAI_DECRYPTION_KEY", raising=False)
    with pytest.raises(UsageError, match="key abc is needed") as caught:
        read_key(given, "abc")
    assert "5ec2e7" not in str(caught.value)
    assert "EDGEAI_DECRYPTION_KEY" in caught.value.hint


def test_the_id_of_a_key_tells_keys_apart_and_not_the_key() -> None:
    assert key_id(KEY) != key_id(bytes(32))
    assert KEY.hex() not in key_id(KEY)
