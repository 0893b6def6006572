"""A folder, a .zip or a .tar as one read-only tree of files; archives are never unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from datasets.errors import InputError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_BYTES = 64 * 2**20  # no picture is larger; reading more at once would exhaust the memory
_TAR_BLOCK = 512

# What a damaged archive raises, by format and compression.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


@dataclass(frozen=True)
class _Entry:
    """One regular file: what its container knows it by, its size in bytes and its place."""

    handle: object
    size: int
    offset: int


class FileTree:
    """The regular files below a folder or inside an archive.

    Hidden files, `__MACOSX` and names that leave the tree are passed over, in archives links and
    devices too. A folder that holds one archive and none of the wanted files counts as that
    archive. A folder that wraps everything else is skipped over, so paths start below it.

    Attributes:
        location: the folder or the archive that is read.
        paths: relative posix paths of the wanted files, sorted.
        folders: relative posix paths of all folders, empty ones included, sorted.
    """

    def __init__(self, location: str | Path, suffixes: Iterable[str], keep: Collection[str] = ()):
        """List the tree.

        Args:
            location: a folder or an archive (.zip, .tar, .tar.gz, .tgz).
            suffixes: endings of the wanted files, in lower case and with their dot.
            keep: names, in lower case, of folders that are never taken for a wrapper.

        Raises:
            InputError: the location does not exist, or is a damaged or an unknown kind of file.
        """
        self._suffixes = tuple(suffixes)
        location = Path(location).expanduser()
        try:
            self.location = self._locate(location)
            self._store = _open_store(self.location)
            entries, folders = self._store.list()
        except DAMAGE as error:
            raise damaged(location, error) from None
        wanted = {path: entry for path, entry in entries.items() if self._is_wanted(path)}
        root = _wrapper(wanted, folders, keep)
        self._entries = {path.removeprefix(root): entry for path, entry in wanted.items()}
        self.paths = tuple(sorted(self._entries))
        below = (name.removeprefix(root) for name in folders if name.startswith(root))
        self.folders = tuple(sorted(name for name in below if name))

    def __enter__(self) -> FileTree:
        return self

    def __exit__(self, *_) -> None:
        self._store.close()

    def open(self, path: str) -> BinaryIO:
        """A binary stream of one file of any size; the caller closes it."""
        try:
            return self._store.open(self._entries[path].handle)
        except DAMAGE as error:
            raise damaged(self.location / path, error) from None

    def read(self, path: str) -> bytes:
        """The bytes of one file.

        Raises:
            ValueError: the file cannot be read or has more than 64 MB; the reason is short.
        """
        entry = self._entries[path]
        if entry.size > MAX_BYTES:
            raise ValueError(f"has {entry.size / 1e6:.0f} MB, more than the 64 MB allowed")
        try:
            with self._store.open(entry.handle) as stream:
                # A forged size in the archive's index must not decide how much is unpacked.
                data = stream.read(MAX_BYTES + 1)
        except DAMAGE as error:
            raise ValueError(f"cannot be read ({_reason(error)})") from None
        if len(data) > MAX_BYTES:
            raise ValueError("has more than the 64 MB allowed")
        return data

    def in_storage_order(self, paths: Iterable[str]) -> Iterator[str]:
        """The paths in the order of their bytes: going back in a .tar.gz unpacks it again."""
        return iter(sorted(paths, key=lambda path: (self._entries[path].offset, path)))

    def _is_wanted(self, path: str) -> bool:
        return path.lower().endswith(self._suffixes)

    def _locate(self, location: Path) -> Path:
        if not location.exists():
            raise InputError(f"{location} does not exist: check the path given as --data-dir")
        if not location.is_dir():
            return location
        entries, folders = _Folder(location).list()
        archives = [path for path in entries if path.lower().endswith(ARCHIVE_SUFFIXES)]
        others = any(self._is_wanted(path) for path in entries)
        if len(archives) == 1 and not others and not folders:
            return location / archives[0]
        return location


def cache_folder() -> Path:
    """Where readings are kept that take long: `$MENAGERIE_CACHE` or ~/.cache/menagerie."""
    return Path(os.environ.get("MENAGERIE_CACHE") or Path.home() / ".cache" / "menagerie")


class _Folder:
    """Files on disk. Links are followed here: people collect a data set as links to its files."""

    def __init__(self, root: Path):
        self._root = root

    def list(self) -> tuple[dict[str, _Entry], set[str]]:
        entries, folders, seen = {}, set(), set()
        pending = [(str(self._root), "")]
        while pending:
            where, prefix = pending.pop()
            real = os.path.realpath(where)
            if real in seen:  # a link to a folder above would never end
                continue
            seen.add(real)
            for item in os.scandir(where):
                name = prefix + item.name
                if not _is_visible(item.name):
                    continue
                if item.is_dir():
                    folders.add(name + "/")
                    pending.append((item.path, name + "/"))
                elif item.is_file():
                    entries[name] = _Entry(item.path, item.stat().st_size, 0)
                elif item.is_symlink():  # broken: listed, so that reading it is reported
                    entries[name] = _Entry(item.path, 0, 0)
        return entries, folders

    def open(self, handle) -> BinaryIO:
        return open(handle, "rb")

    def close(self) -> None:
        pass


class _Zip:
    def __init__(self, path: Path):
        self._file = zipfile.ZipFile(path)

    def list(self) -> tuple[dict[str, _Entry], set[str]]:
        entries, folders = {}, set()
        for info in self._file.infolist():
            name = _clean(info.filename.replace("\\", "/"))
            if name is None or stat.S_ISLNK(info.external_attr >> 16):
                continue
            if info.flag_bits & 1:
                raise zipfile.BadZipFile("it is encrypted")
            if info.is_dir():
                folders.add(name + "/")
            else:
                entries[name] = _Entry(info, info.file_size, info.header_offset)
        return entries, folders | _parents(entries, folders)

    def open(self, handle) -> BinaryIO:
        return self._file.open(handle)

    def close(self) -> None:
        self._file.close()


class _Tar:
    def __init__(self, path: Path):
        self._file = tarfile.open(path)  # noqa: SIM115 - closed by close()

    def list(self) -> tuple[dict[str, _Entry], set[str]]:
        entries, folders, end = {}, set(), 0
        for info in self._file:
            size = -(-info.size // _TAR_BLOCK) * _TAR_BLOCK if info.isreg() else 0
            end = info.offset_data + size
            name = _clean(info.name)
            if name is None:
                continue
            if info.isdir():
                folders.add(name + "/")
            elif info.isreg():
                entries[name] = _Entry(info, info.size, info.offset_data)
        self._check_end(end)
        return entries, folders | _parents(entries, folders)

    def open(self, handle) -> BinaryIO:
        return self._file.extractfile(handle) or io.BytesIO()

    def close(self) -> None:
        self._file.close()

    def _check_end(self, end: int) -> None:
        # tarfile stops without a word at a torn header, so look for the closing block of zeros.
        self._file.fileobj.seek(end)
        block = self._file.fileobj.read(_TAR_BLOCK)
        if len(block) < _TAR_BLOCK or any(block):
            raise tarfile.ReadError("its end is missing")


def _open_store(location: Path) -> _Folder | _Zip | _Tar:
    if location.is_dir():
        return _Folder(location)
    if not location.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise InputError(
            f"{location} is neither a folder nor an archive: give a folder, a .zip, a .tar or a "
            ".tar.gz"
        )
    try:
        return _Zip(location) if location.name.lower().endswith(".zip") else _Tar(location)
    except DAMAGE as error:
        raise damaged(location, error) from None


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _clean(name: str) -> str | None:
    """The archive member's normal path; None where it is hidden or leaves the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or not parts or not all(map(_is_visible, parts)):
        return None
    return "/".join(parts)


def _parents(entries: dict[str, _Entry], folders: set[str]) -> set[str]:
    """The folders that an archive implies without listing them."""
    found = set()
    pending = {name.rpartition("/")[0] for name in entries} | {name[:-1] for name in folders}
    while pending := pending - {""}:
        found |= {f"{name}/" for name in pending}
        pending = {name.rpartition("/")[0] for name in pending}
    return found


def _wrapper(entries: Collection[str], folders: set[str], keep: Collection[str]) -> str:
    """The folder, '' or ending in '/', below which everything wanted lies in further folders."""
    root = ""
    while True:
        below = [path.removeprefix(root) for path in entries]
        tops = {name.removeprefix(root).split("/")[0] for name in folders if name.startswith(root)}
        tops.discard("")
        if len(tops) != 1 or any("/" not in path for path in below):
            return root
        top = tops.pop()
        # Files right inside it make it a class of its own, and `train` says what its files are.
        if top.lower() in keep or any(path.count("/") == 1 for path in below):
            return root
        root += f"{top}/"


def damaged(location: str | Path, error: Exception) -> InputError:
    """The complaint about a folder, an archive or a file that cannot be read."""
    return InputError(
        f"{location} cannot be read ({_reason(error)}): copy or download it again, or check its "
        "permissions"
    )


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
