"""Ways to damage a bundle, each from a generator of random numbers alone, so that a case can be made again."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeai.signing import make_signature
from edgeai_runtime.bundle_arrays import stored_member
from edgeai_runtime.signature import signed_bytes
from fuzzing.good_bundles import MODEL, Members, pack, relisted

_PRIVATE = hashlib.sha256(b"fuzz").digest()

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, float("nan"), float("-inf")),
    *("", ".", "..", "/", "/etc/passwd", "../../x", "C:\\x", "a\0b", "\ud800", "x" * 5000, "\u202e", "float32", "int8"),
    *([], [[]], {}, {"": None}, [None] * 3, [1] * 200, [[[[1]]]], {"a": {"a": {"a": {}}}}, MODEL, "edgeai.bundle/2"),
]
NAMES = [
    *("../out.txt", "/tmp/edgeai-fuzz-out.txt", "..\\out.txt", "C:/out.txt", "a/../../out.txt", "a//b", "./a", "a/."),
    *("con", "aux.txt", "a:b", "a ", "a.", "", ".", "..", "\u202etxt", "x" * 300, "manifest.json/x", "MANIFEST.JSON"),
    *("signature.json/x", "variants", "variants/a", "variants/a/MODEL.tflite", "a/", "\x00", "a\nb", "~/x", "%2e%2e/x"),
]

#: A bundle as a folder: name → content of a file, target of a link, or `None` for a pipe.
Folder = dict[str, bytes | Path | None]


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """Flip bits, cut, double, overwrite or insert some bytes."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 8, 64])):
        start, length = chance.randrange(len(data) + 1), chance.choice([1, 2, 4, 30])
        kind = chance.randrange(6)
        if kind == 0:
            del data[start : start + length]
        elif kind == 1:
            data[start:start] = data[start : start + length]
        elif kind == 2:
            data[start : start + length] = bytes([chance.choice([0, 255, 127, 128])]) * length
        elif kind == 3:
            data[start:start] = chance.randbytes(length)
        elif kind == 4 and chance.random() < 0.3:
            del data[start:]
        elif start < len(data):
            data[start] ^= 1 << chance.randrange(8)
    return bytes(data)


def mutated_document(document: Any, chance: random.Random) -> Any:
    """Replace, remove, rename, double or nest one to three values."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(document))
        if not places:
            break
        place = chance.choice(places)
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        kind = chance.randrange(6)
        if kind == 0:
            del inner[place[-1]]
        elif kind == 1 and isinstance(inner, dict):
            inner[chance.choice(["x", "", "nmae", "\ud800", "__class__"])] = inner.pop(place[-1])
        elif kind == 2 and isinstance(inner, list):
            inner.extend([copy.deepcopy(inner[place[-1]])] * chance.choice([1, 100]))
        elif kind == 3:
            for _ in range(chance.choice([1, 40, 400])):
                inner[place[-1]] = [inner[place[-1]]]
        else:
            inner[place[-1]] = copy.deepcopy(chance.choice(STRANGE))
    return document


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        if len(path) < 20:
            yield from _places(item, (*path, key))


def _document(members: Members, chance: random.Random) -> bytes:
    document = mutated_document(json.loads(members["manifest.json"]), chance)
    changed = {**members, "manifest.json": json.dumps(document).encode()}
    return pack(relisted(changed) if chance.random() < 0.5 else changed)


def _manifest_text(members: Members, chance: random.Random) -> bytes:
    """What `json` itself can be made to stumble over: depth, constants, huge numbers, keys that stand twice."""
    text = members["manifest.json"].decode()
    numbers = ["NaN", "-Infinity", "1e999", "9" * chance.choice([25, 5000, 200_000]), "1" + "0" * 400, "-0", "1.0"]
    values = [*numbers, "[" * 100_000, '{"a":' * 50_000, "[" * 900 + "]" * 900, '"\\ud800"', "\x00", "\ufeff", "//"]
    value = chance.choice(values)
    place = chance.choice(['"1.2"', '"1"', "0.5", "3", "null", "8", '"fuzz"', "{", "["])
    if chance.random() < 0.2:
        return pack({**members, "manifest.json": (value + text).encode("utf-8", "surrogatepass")})
    if chance.random() < 0.1:
        text = (
            text.encode().decode("latin-1") if chance.random() < 0.5 else text.replace('"name"', '"name": "x", "name"')
        )
    changed = text.replace(place, value, chance.choice([1, -1]))
    code = chance.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32"])
    return pack({**members, "manifest.json": changed[: 2**20].encode(code, "surrogatepass")})


def _member_content(members: Members, chance: random.Random) -> bytes:
    """Damage a member and list the damage, so that the reader of that member gets to see it."""
    name = chance.choice([name for name in members if name != "manifest.json"])
    return pack(relisted({**members, name: mutated_bytes(members[name], chance)}))


def _arrays(members: Members, chance: random.Random) -> bytes:
    """Recorded samples whose headers lie."""
    name = chance.choice([name for name in members if name.endswith(".npz")])
    shape = chance.choice(
        ["(8, 3)", "(10**12,)", "(-8, -3)", "(2**62, 4)", "8", "((8,),)", "(8, 3) * 9", "(" * 300, "()"]
    )
    dtype = chance.choice(
        ["<f4", ">f4", "|O", "<U9999999", "<M8[ns]", "|V12", "<f2", "[('a', '<f4')]", "x", "<c8", "|b1"]
    )
    header = f"{{'descr': {dtype!r}, 'fortran_order': {chance.choice(['False', 'True', '1'])}, 'shape': {shape}}}"
    head = header.encode() + b" " * chance.choice([0, 10, 100_000]) + b"\n"
    version = chance.choice([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    size = struct.pack("<H", min(len(head), 65535)) if version == b"\x01\x00" else struct.pack("<I", len(head))
    array = b"\x93NUMPY" + version + size + head + bytes(chance.choice([0, 96, 97]))
    buffer = io.BytesIO()
    method = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for key in chance.choice([["x"], ["x", "x"], ["source/p", "a/p"], ["../x"], []]):
            archive.writestr(f"{key}.npy", array)
    return pack(relisted({**members, name: buffer.getvalue()}))


def _zip_members(members: Members, chance: random.Random) -> bytes:
    """A zip of the right members and one trick: a name, a link, a bomb, a double, a swap, a claim."""
    content = dict(members)
    names = [name for name in content if name != "manifest.json"]
    kind = chance.randrange(9)
    one, other = chance.sample(names, 2)
    if kind == 0:
        content[one], content[other] = content[other], content[one]
    elif kind == 1:
        del content[chance.choice(list(content))]
    elif kind == 2:  # what the manifest lists has a name that escapes
        bad = chance.choice(NAMES)
        content[bad] = content.pop(one)
        content["manifest.json"] = content["manifest.json"].replace(json.dumps(one).encode(), json.dumps(bad).encode())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            info = stored_member(name)
            if kind == 3 and name == one:  # a link in place of a file
                info.external_attr = 0o120777 << 16
                data = chance.choice([b"/etc/passwd", b"../../manifest.json", b"."])
            if kind == 4 and name == one:  # a bomb: a small stream that grows
                info.compress_type = chance.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
                data = bytes(chance.choice([10_000, 8_000_000]))
            archive.writestr(info, data)
        if kind == 5:
            again = chance.choice([*content, *NAMES])
            archive.writestr(stored_member(again), chance.choice([b"", b"x" * 100, content.get(again, b"")]))
        if kind == 6:
            archive.comment = chance.randbytes(chance.choice([1, 100, 60_000]))
    data = bytearray(buffer.getvalue())
    if kind >= 7:  # a field of the list of members: flags, method, checksum, sizes, offset
        marks = [at for at in range(len(data) - 46) if data[at : at + 4] in (b"PK\x01\x02", b"PK\x03\x04")]
        at = chance.choice(marks) + chance.choice([6, 8, 10, 14, 16, 18, 20, 22, 24, 26, 28, 30, 42])
        width = chance.choice([1, 2, 4])
        value = chance.choice([b"\xff" * 4, b"\x00" * 4, b"\x01\x00\x00\x00", b"\x00\x00\x00\x80", chance.randbytes(4)])
        data[at : at + width] = value[:width]
    if kind == 8 and chance.random() < 0.5:
        data[0:0] = chance.choice([b"MZ", b"#!/bin/sh\n", bytes(data)])
    return bytes(data)


def _signature(members: Members, chance: random.Random) -> bytes:
    """A signature that is none, or a real one under something that nobody would sign."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(_PRIVATE)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    document = json.loads(make_signature(digests, private, name="fuzz"))
    envelope = document["dsseEnvelope"]
    if chance.random() < 0.6:
        statement = mutated_document(json.loads(base64.b64decode(envelope["payload"])), chance)
        payload = json.dumps(statement).encode()
        payload = mutated_bytes(payload, chance) if chance.random() < 0.2 else payload
        envelope["payload"] = base64.b64encode(payload).decode()
        envelope["signatures"][0]["sig"] = base64.b64encode(private.sign(signed_bytes(payload))).decode()
        text = json.dumps(document).encode()
    elif chance.random() < 0.5:
        text = json.dumps(mutated_document(document, chance)).encode()
    else:
        text = mutated_bytes(json.dumps(document).encode(), chance)
    return pack({**members, "signature.json": text})


def trusted_key() -> bytes:
    """Return the public key, in PEM, of the key that signs."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PrivateKey.from_private_bytes(_PRIVATE).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _folder(members: Members, chance: random.Random) -> Folder:
    """A bundle as a folder, with links, pipes, folders in place of files, or damaged members."""
    content: Folder = dict(members)
    name = chance.choice(list(content))
    content[name] = chance.choice(
        [
            *(None, Path("/etc/passwd"), Path("."), Path("/dev/zero"), Path("missing"), Path("../in")),
            mutated_bytes(members[name], chance),
        ]
    )
    if chance.random() < 0.3:
        content.update({chance.choice(["extra", "a/b/c", "sub"]): chance.choice([b"x", None, Path("/")])})
    if chance.random() < 0.2:
        del content[chance.choice(list(content))]
    if chance.random() < 0.2 and name in content:
        content[f"{name}/inner"] = b"a folder in place of a file"
        del content[name]
    return content


#: kind → how a good bundle becomes a bad one.
MUTATIONS: dict[str, Callable[[Members, random.Random], bytes | Folder]] = {
    "zip bytes": lambda members, chance: mutated_bytes(pack(members), chance),
    "truncated": lambda members, chance: (whole := pack(members))[: chance.randrange(len(whole))],
    "zip members": _zip_members,
    "manifest bytes": lambda m, chance: pack({**m, "manifest.json": mutated_bytes(m["manifest.json"], chance)}),
    "manifest document": _document,
    "manifest text": _manifest_text,
    "member content": _member_content,
    "arrays": _arrays,
    "signature": _signature,
    "folder": _folder,
}
