# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles on disk: a stream of BSON frames inside one age file, written and read in constant memory.

Frame 0 is the header, then one frame per record, then the end frame; each has its number. The plain `age` tool opens
the file and `bsondump` lists the frames. No plaintext ever reaches a disk. ADR-0008.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from .._domain.errors import FileMissing, OpsError
from .._domain.file_failures import failures_of
from . import private_files
from .driver import Document
from .opener import open_trusted
from .record_bytes import decode, encode

try:
    import pyrage
except ImportError:  # reported by name in _module/dependencies.py
    pyrage = None

Recipient: TypeAlias = object
"""An age public key, as the binding holds it."""


class Identity(Protocol):
    """An age identity, as the binding holds it."""

    def to_public(self) -> Recipient: ...


OnFrame: TypeAlias = Callable[[Document, int], None]
"""Called with a frame and its size in bytes."""

_LENGTH = 4  # bytes: a BSON document begins with its size, int32 little endian
_PIECE = 1024 * 1024  # bytes
MAX_FRAME = 64 * 1024 * 1024  # bytes: a record is at most 16 MiB in MongoDB, its sealed fields shrink when opened


def recipients_from(texts: Sequence[str]) -> list[Recipient]:
    """Return age recipients. Raises OpsError bundle.recipient_invalid."""
    try:
        return [pyrage.x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError:
        raise OpsError(
            f"one of {len(texts)} recipients is not an age public key (age1 and 58 characters)",
            code="bundle.recipient_invalid",
            hint="use what bundle_identity returns on the destination",
        ) from None


def identity_from(path: Path, *, service_uid: int | None = None) -> Identity:
    """Return the age identity in a 0600 file.

    Raises OpsError bundle.identity_missing, bundle.identity_invalid, file.*.
    """
    try:
        lines = private_files.read_private(path, service_uid=service_uid).decode("ascii").splitlines()
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if len(keys) != 1:
            raise ValueError
        identity: Identity = pyrage.x25519.Identity.from_str(keys[0])
        return identity
    except FileMissing:
        raise OpsError(
            f"no identity file {path}", code="bundle.identity_missing", hint="make it with bundle_identity"
        ) from None
    except (ValueError, pyrage.IdentityError):
        raise OpsError(
            f"{path} does not hold exactly one age identity",
            code="bundle.identity_invalid",
            hint="make it with bundle_identity or age-keygen; plugin and passphrase identities are not read",
        ) from None


def new_identity() -> tuple[str, str]:
    """Return (text of a new identity file, its public recipient)."""
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    return f"# public key: {public}\n{identity}\n", public


def write(path: Path, frames: Iterator[Document], recipients: Sequence[Recipient]) -> str:
    """Encrypt the frames into a new 0600 file, synced to disk; return its SHA-256 in hex. Raises OpsError file.*."""
    with failures_of(path), private_files.new_file(path) as raw:
        sink, source = _Hashing(raw), _Frames(frames)
        try:
            pyrage.encrypt_io(source, sink, list(recipients))
        except (pyrage.EncryptError, OSError) as cause:
            if source.failure is not None:
                raise source.failure from None
            raise sink.failure or OpsError(
                f"cannot write {path} ({type(cause).__name__})", code="bundle.write_failed", hint="is the disk full?"
            ) from None
        raw.flush()
        os.fsync(raw.fileno())
    return sink.digest.hexdigest()


def write_sealed(path: Path, content: bytes, recipients: Sequence[Recipient]) -> str:
    """Encrypt bytes into a new 0600 file, synced to disk; return its SHA-256 in hex. Raises OpsError file.*."""
    sealed = pyrage.encrypt(content, list(recipients))
    with failures_of(path), private_files.new_file(path) as raw:
        raw.write(sealed)
        raw.flush()
        os.fsync(raw.fileno())
    return hashlib.sha256(sealed).hexdigest()


class RecordsFile:
    """The encrypted file of a bundle, opened once. WHY: a path that is opened again may lead to another file (X8)."""

    def __init__(self, path: Path, *, service_uid: int | None = None) -> None:
        """Open it. Raises OpsError bundle.missing, file.*."""
        self.path = path
        try:
            self._raw = open_trusted(path, private=False, service_uid=service_uid)
        except FileMissing:
            raise _missing(path) from None

    def close(self) -> None:
        self._raw.close()

    def read(self, identity: Identity, on_frame: OnFrame) -> str:
        """Decrypt the file from its beginning and call `on_frame` with each frame; return the SHA-256 of what was read.

        Raises OpsError bundle.wrong_recipient, bundle.damaged, and whatever `on_frame` raises.
        """
        self._raw.seek(0)
        source = _HashedSource(self._raw)
        _decrypted(self.path, source, identity, on_frame)
        source.readall()  # WHY: what stands behind the last chunk is part of the file, and of its hash
        return source.digest.hexdigest()


def _decrypted(path: Path, source: _HashedSource, identity: Identity, on_frame: OnFrame) -> None:
    sink = _Parser(on_frame)
    try:
        pyrage.decrypt_io(source, sink, [identity])
    except pyrage.DecryptError as cause:
        if "No matching keys" in str(cause):
            raise OpsError(
                f"{path} is encrypted for another recipient",
                code="bundle.wrong_recipient",
                hint="use the identity whose public key the manifest lists under recipients",
            ) from None
        raise damaged(path, "its age header cannot be read") from None
    except OSError:
        raise damaged(path, "a chunk does not authenticate or the end is missing") from None
    sink.finish(path)


def damaged(path: Path, found: str) -> OpsError:
    """Return the refusal for a truncated or altered bundle."""
    return OpsError(
        f"bundle {path} is damaged: {found}",
        code="bundle.damaged",
        hint="copy it again and compare its SHA-256 with the manifest, or export again; nothing was written",
    )


def _missing(path: Path) -> OpsError:
    return OpsError(f"no bundle at {path}", code="bundle.missing", hint="export it or copy it again")


def file_sha256(path: Path, *, service_uid: int | None = None) -> str:
    """Return the SHA-256 of a file in hex. Raises OpsError bundle.missing, file.*."""
    try:
        with open_trusted(path, private=False, service_uid=service_uid) as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except FileMissing:
        raise _missing(path) from None


class _Frames(io.RawIOBase):
    """A file that reads as the concatenated BSON of an iterator of frames."""

    def __init__(self, frames: Iterator[Document]) -> None:
        super().__init__()
        self._frames = frames
        self._pending = bytearray()
        self.failure: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        try:
            while size < 0 or len(self._pending) < size:
                self._pending += encode(next(self._frames))
        except StopIteration:
            pass
        except BaseException as failure:  # WHY: the binding would replace it by its own and lose code and hint
            self.failure = failure
            raise
        cut = len(self._pending) if size < 0 else size
        chunk = bytes(self._pending[:cut])
        del self._pending[:cut]
        return chunk


class _HashedSource(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._raw.read(size)
        self.digest.update(chunk)
        return chunk

    def readall(self) -> bytes:
        """Read to the end, in pieces; nothing of it is kept."""
        while self.read(_PIECE):
            pass
        return b""


class _Hashing:
    """A file that hashes what passes through it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.failure: BaseException | None = None

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        try:
            self._raw.write(chunk)
        except BaseException as failure:  # WHY: the binding would replace it by its own, without the errno
            self.failure = failure
            raise
        return len(chunk)

    def flush(self) -> None:
        self._raw.flush()


class _Parser:
    """A file that cuts what is written to it into BSON frames."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._on_frame = on_frame
        self._pending = bytearray()

    def write(self, chunk: bytes) -> int:
        self._pending += chunk
        start = 0
        while len(self._pending) - start >= _LENGTH:
            size = int.from_bytes(self._pending[start : start + _LENGTH], "little")
            if not _LENGTH < size <= MAX_FRAME:
                raise OpsError("a frame has an impossible size", code="bundle.damaged", hint="export again")
            if len(self._pending) - start < size:
                break
            self._on_frame(self._decode(bytes(self._pending[start : start + size])), size)
            start += size
        del self._pending[:start]
        return len(chunk)

    def flush(self) -> None:
        pass

    def finish(self, path: Path) -> None:
        if self._pending:
            raise damaged(path, "it ends inside a frame")

    @staticmethod
    def _decode(raw: bytes) -> Document:
        try:
            return decode(raw)
        except ValueError:
            raise OpsError("a frame is not a BSON document", code="bundle.damaged", hint="export again") from None
