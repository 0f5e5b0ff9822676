"""`get_file`: a file from the network, kept on disk, and its archive unpacked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import urllib.parse
import zlib
from typing import Any

from .. import checks
from ..errors import ArgumentError, FileError, KfuncError
from ..training.progress_bar import is_interactive

__all__ = ["get_file"]

_BLOCK = 1 << 20
_RATIO, _FREE = 200, 1 << 30
"""An archive may unpack to so many times its size, or to as many bytes, whatever is more."""

_TIMEOUT = 60.0  # seconds without a byte


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file that lies at an address; it is downloaded if it is not on disk yet.

    The folders and names are Keras's, so files that Keras has downloaded are found. A file appears under its name when
    it is complete, and its digest is right. With a `file_hash`, a download that was interrupted goes on where it
    stopped.

    Args:
        fname: The file's name on disk; by default the last part of `origin`. For an archive that is unpacked: the name
            of the folder.
        origin: Its address: http, https or file.
        untar: As `extract`, for tar archives.
        md5_hash: The file's MD5 digest; `file_hash` is better.
        file_hash: Its SHA-256 or MD5 digest in hexadecimal digits. A file with another one is refused.
        cache_subdir: The folder in `cache_dir` that holds it.
        hash_algorithm: "sha256", "md5", or "auto": by the length of `file_hash`.
        extract: Whether to unpack an archive, tar (also gz, bz2, xz) or zip.
        archive_format: "tar", "zip", a list of both, "auto" for both, or None: nothing is unpacked.
        cache_dir: By default the environment variable KERAS_HOME, or `~/.keras`.
        force_download: Whether to download it in any case.

    Returns:
        The path of the file, or of the folder of what was unpacked.

    Raises:
        ArgumentError: An argument has a value that is not allowed.
        FileError: The file cannot be downloaded, its digest is another one, or the archive is damaged, or has a member
            that lies outside its folder, or unpacks to more than 200 times its size. Nothing is left of it.
    """
    if not isinstance(origin, str) or urllib.parse.urlsplit(origin).scheme not in ("http", "https", "file"):
        raise ArgumentError.must_be("origin", "an address that begins with http:, https: or file:", origin)
    checks.one_of("hash_algorithm", hash_algorithm, ("auto", "sha256", "md5"))
    if file_hash is None and md5_hash is not None:
        file_hash, hash_algorithm = md5_hash, "md5"
    formats = _formats(archive_format)
    name = os.fspath(fname) if fname else os.path.basename(urllib.parse.urlsplit(origin).path)
    if not name or os.path.basename(name) != name or name in (".", ".."):
        raise ArgumentError.must_be("fname", "the name of a file, without folders", name, fix="set cache_dir")
    home = os.fspath(cache_dir) if cache_dir else os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    folder = os.path.join(os.path.expanduser(home), cache_subdir)
    os.makedirs(folder, exist_ok=True)

    target = unpacked = os.path.join(folder, name)
    if extract or untar:
        if fname and "." in name:
            unpacked = os.path.join(folder, f"{name[: name.find('.')]}_extracted")
        else:
            target = f"{target}_archive"
    digest = _digest(hash_algorithm, file_hash)
    there = os.path.exists(target) and not force_download
    if there and digest is not None and _hashed(target, digest[0]) != digest[1]:
        print(f"The file {target} has another digest than `file_hash`, so it is downloaded again.")
        there = False
    if not there:
        _download(origin, target, digest)
    if not (extract or untar):
        return target
    if not there or not os.path.isdir(unpacked):
        _unpack(target, unpacked, ("tar",) if untar and not extract else formats)
    return unpacked


def _formats(archive_format: Any) -> tuple[str, ...]:
    names = ("tar", "zip") if archive_format == "auto" else archive_format
    names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        checks.one_of("archive_format", name, ("tar", "zip", "auto"))
    return names


def _digest(algorithm: str, wanted: str | None) -> tuple[str, str] | None:
    """The name of the algorithm, and the digest that a file must have."""
    if wanted is None:
        return None
    lengths = {64: "sha256", 32: "md5"}
    found = lengths.get(len(wanted)) if isinstance(wanted, str) else None
    if found is None or algorithm not in ("auto", found) or set(wanted.lower()) - set("0123456789abcdef"):
        raise ArgumentError.must_be("file_hash", "64 hexadecimal digits (SHA-256), or 32 (MD5)", wanted)
    return found, wanted.lower()


def _hashed(path: str, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _download(origin: str, target: str, digest: tuple[str, str] | None) -> None:
    import urllib.error  # not above: `import kfunc` would take a tenth longer

    part = f"{target}.part"
    # Without a digest nobody would see that the two halves are of different files.
    begun = os.path.getsize(part) if digest is not None and os.path.exists(part) else 0
    try:
        _fetch(origin, part, begun)
    except (urllib.error.URLError, OSError, EOFError) as error:
        if digest is None:
            with contextlib.suppress(OSError):
                os.remove(part)
        reason = getattr(error, "reason", None) or error
        raise FileError(
            f"The file {origin} cannot be downloaded: {reason}.",
            argument="origin",
            got=origin,
            fix="look at the address and the network, or put the file there by hand: " + target,
        ) from error
    if digest is not None and (found := _hashed(part, digest[0])) != digest[1]:
        os.remove(part)
        raise FileError(
            f"The file at {origin} has another digest than `file_hash`.",
            argument="file_hash",
            expected=digest[1],
            got=found,
            fix="call again, if the network is bad; else the file at that address is another one",
        )
    os.replace(part, target)


def _fetch(origin: str, part: str, begun: int) -> None:
    import urllib.error
    import urllib.request

    from tqdm.std import tqdm

    headers = {"User-Agent": "kfunc"} | ({"Range": f"bytes={begun}-"} if begun else {})
    request = urllib.request.Request(origin, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if not (begun and error.code == 416):  # there is no more of it than what is on disk
            raise
        return
    with answer:
        begun = begun if getattr(answer, "status", None) == 206 else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else begun + int(length)
        print(f"Downloading data from {origin}", flush=True)
        options: Any = {"file": sys.stdout, "disable": not is_interactive(sys.stdout)}
        bar = tqdm(total=total, initial=begun, unit="B", unit_scale=True, **options)
        with bar, open(part, "ab" if begun else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
            found = file.tell()
        if total is not None and found < total:
            raise EOFError(f"it ended after {found} of {total} bytes")


# -- archives ----------------------------------------------------------------------------------------------------------


def _unpack(path: str, folder: str, formats: tuple[str, ...]) -> None:
    """Unpack an archive into `folder`, which appears when all of it is there."""
    import tarfile
    import tempfile
    import zipfile

    most = max(_RATIO * os.path.getsize(path), _FREE)
    room = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=".unpacking-")
    try:
        if "tar" in formats and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in _counted(archive, lambda m: m.size, most):
                    archive.extract(member, room, filter="data")
        elif "zip" in formats and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in _counted(archive.infolist(), lambda m: m.file_size, most):
                    if os.path.isabs(member.filename) or ".." in member.filename.replace("\\", "/").split("/"):
                        raise FileError(f"The member {member.filename!r} lies outside the archive's folder.")
                    archive.extract(member, room)
        else:
            raise FileError(f"It is no archive of these formats: {', '.join(formats) or 'none'}.")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(room, folder)
    except (KfuncError, tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, zlib.error) as error:
        why = getattr(error, "problem", None) or f"{type(error).__name__}: {error}."
        raise FileError(
            f"The archive {path} cannot be unpacked: {why}",
            argument="extract",
            got=path,
            fix="pass force_download=True if the file is damaged; do not use it if a member lies outside",
        ) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _counted(members: Any, size: Any, most: int) -> Any:
    total = 0
    for member in members:
        total += size(member)
        if total > most:
            raise FileError(f"Its members take more than {most} bytes.")
        yield member
