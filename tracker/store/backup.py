"""The file of a backup: JSON lines, the same for every store.

The first line says what it is, then a line per document, the last one says how many there are and their digest: a file
that was cut off or changed is noticed before anything is restored from it.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from tracker.store.port import Document, Unusable
from tracker.store.schema import LAYOUT, UPCASTERS, Kind, upcast

FORMAT = 1
KINDS = frozenset(Kind)


class Summary(NamedTuple):
    """Attributes: made_at: as of when. documents: how many."""

    made_at: str
    documents: int


class Writer:
    """Writes a backup beside its place and moves it there when it is whole; nothing is left of one that is not."""

    def __init__(self, path: Path, *, made_at: str):
        """Raises: OSError."""
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._part.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._digest = hashlib.sha256()
        self.documents = 0
        self._line(orjson.dumps({"leadline_backup": FORMAT, "layout": LAYOUT, "made_at": made_at}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def add(self, kind: str, id: str, version: int, body: bytes) -> None:
        """Args: body: as it is stored, JSON in one line."""
        head = f'{{"kind":"{kind}","id":'.encode() + orjson.dumps(id)
        self._line(head + b',"version":%d,"body":' % version + body + b"}")
        self.documents += 1

    def finish(self) -> None:
        """Put the file in its place once it has been read back. Raises: Unusable, OSError."""
        self._file.write(orjson.dumps({"documents": self.documents, "sha256": self._digest.hexdigest()}) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        check(self._part)
        self._part.replace(self._path)

    def _line(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._digest.update(line + b"\n")


def check(path: Path) -> Summary:
    """Read a whole backup. Raises: Unusable: it is none, is damaged, or of a newer Leadline. OSError."""
    digest, documents, end = hashlib.sha256(), 0, None
    with path.open("rb") as file:
        first = file.readline()
        made_at = _header(path, first)
        digest.update(first)
        for line in file:
            if end is not None:
                raise Unusable(f"{path} is damaged: it goes on behind its end")
            value = _value(path, line, documents + 2)
            if "sha256" in value:
                end = value
                continue
            digest.update(line)
            documents += 1
            _document(path, value, documents + 1)
    if end is None:
        raise Unusable(f"{path} is damaged: its end is missing")
    if end != {"documents": documents, "sha256": digest.hexdigest()}:
        raise Unusable(f"{path} is damaged: it is not what was written")
    return Summary(made_at, documents)


def read(path: Path) -> Iterator[Document]:
    """Yield the documents of a backup, in today's shape. Raises: Unusable, OSError."""
    with path.open("rb") as file:
        _header(path, file.readline())
        for number, line in enumerate(file, 2):
            value = _value(path, line, number)
            if "sha256" in value:
                return
            yield _document(path, value, number)
    raise Unusable(f"{path} is damaged: its end is missing")


def _header(path: Path, line: bytes) -> str:
    try:
        header = orjson.loads(line)
        known, layout, made_at = header["leadline_backup"], header["layout"], header["made_at"]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise Unusable(f"{path} is no backup of Leadline") from error
    if known > FORMAT or layout > LAYOUT:
        raise Unusable(f"{path} was made by a newer Leadline (layout {layout}; this one knows {LAYOUT})")
    return str(made_at)


def _value(path: Path, line: bytes, number: int) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Unusable(f"{path} is damaged: line {number} is not JSON") from error
    if not isinstance(value, dict):
        raise Unusable(f"{path} is damaged: line {number} is no document")
    return value


def _document(path: Path, value: dict[str, Any], number: int) -> Document:
    try:
        name, id, version, body = value["kind"], value["id"], value["version"], value["body"]
    except KeyError as error:
        raise Unusable(f"{path} is damaged: line {number} is no document") from error
    if name not in KINDS or body.get("schema", 1) > len(UPCASTERS.get(Kind(name), ())) + 1:
        raise Unusable(
            f"{path} was made by a newer Leadline: it has {name} that this one does not know (line {number})"
        )
    kind = Kind(name)
    return Document(kind, id, version, upcast(kind, body))
