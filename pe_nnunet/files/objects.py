"""Objects in a storage that is reached by an address, `s3://bucket/prefix`, through fsspec.

Who one is there, and where the server is, is taken from where fsspec and the storage's own library look for it:
variables, profiles, the machine's role. No message here says any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath

from pe_nnunet.errors import ConfigurationError, InputError, MissingExtraError, OutputError, PEError

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class StoredObject:
    """An object below an address.

    Attributes:
        name: From the address on, with `/`.
        size: Bytes.
        version: What changes with its content: its ETag, or the time of its last change.
    """

    name: str
    size: int
    version: str


def is_address(text: str) -> bool:
    """Whether a text names a place in a storage, and no path.

    Example:
        >>> is_address("s3://bucket/scans"), is_address("scans"), is_address("C://scans")
        (True, False, False)
    """
    return _ADDRESS.fullmatch(text) is not None


def require_address(text: str) -> str:
    """The address without a slash at its end.

    Raises:
        ConfigurationError: PE-CLU-024 if it names no bucket, or says who one is.
    """
    found = _ADDRESS.fullmatch(text)
    place = "" if found is None else found["rest"].strip("/")
    if found is None or not place or "@" in place.split("/")[0] or ".." in place.split("/"):
        raise ConfigurationError(
            "PE-CLU-024",
            "an address in a storage is SCHEME://BUCKET/PREFIX, without a name or password in it",
            "give these by the variables, profiles or roles of the storage's own library",
        )
    return f"{found['scheme']}://{place}"


class ObjectStore:
    """What lies below an address.

    Args:
        address: As `require_address` gives it.

    Raises:
        MissingExtraError: PE-CLU-020 if fsspec, or what it needs for the scheme, is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        scheme = address.partition("://")[0]
        try:
            self._system = import_module("fsspec").filesystem(scheme)
        except (ImportError, ValueError) as error:
            raise MissingExtraError(
                "PE-CLU-020",
                f"what reads {scheme}:// is not installed: {' '.join(str(error).split())[:200]}",
                "pip install 'pe-nnunet[s3]' for s3://",
            ) from error
        self._root = self._system._strip_protocol(address)

    def objects(self, below: str = "", starting: str = "") -> list[StoredObject]:
        """All below the address, or the one that it names, by name.

        Args:
            below: Only those below this name.
            starting: Of these only those whose further name starts so.

        Raises:
            ConfigurationError: PE-CLU-022 if the storage does not answer, or refuses.
        """
        with self._said(ConfigurationError, "PE-CLU-022", self.address, "listed"):
            self._system.invalidate_cache()
            top = f"{self._root}/{below}".rstrip("/")
            found = self._system.find(top, detail=True, **({"prefix": starting} if starting else {}))
        return sorted(
            (
                StoredObject(path[len(self._root) :].lstrip("/"), int(info.get("size") or 0), _version(info))
                for path, info in found.items()
            ),
            key=lambda one: one.name,
        )

    def get(self, names: Sequence[str], folder: Path) -> None:
        """Fetch objects into a folder, under their names.

        Raises:
            InputError: PE-IN-024 if one is not there, or cannot be read, or has a name that leads out of the folder.
        """
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name or "\0" in name:
                raise InputError("PE-IN-024", f"{self.address} holds {name!r}, which is no file name", "rename it")
        with self._said(InputError, "PE-IN-024", _named(self.address, names), "read"):
            paths = [folder / name for name in names]
            for parent in {path.parent for path in paths}:
                parent.mkdir(parents=True, exist_ok=True)
            self._system.get([f"{self._root}/{name}" for name in names], [str(path) for path in paths])

    def put(self, path: Path, name: str) -> None:
        """Store a file; the object is there whole, or not at all.

        Raises:
            OutputError: PE-OUT-017 if it cannot be stored.
        """
        with self._said(OutputError, "PE-OUT-017", f"{self.address}/{name}", "written"):
            self._system.put_file(str(path), f"{self._root}/{name}")

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, in this order; those that are not there are none.

        Raises:
            OutputError: PE-OUT-017 if one cannot be removed.
        """
        for name in names:
            with self._said(OutputError, "PE-OUT-017", f"{self.address}/{name}", "removed"):
                self._system.rm_file(f"{self._root}/{name}")

    @contextmanager
    def _said(self, kind: type[PEError], code: str, what: str, verb: str) -> Iterator[None]:
        """What a storage raises, of any kind, in one line."""
        try:
            yield
        except PEError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:200] or "no reason given"
            raise kind(
                code,
                f"{what} cannot be {verb}: {type(error).__name__}: {text}",
                "check the address, the rights, and that the storage answers",
            ) from error


def _named(address: str, names: Sequence[str]) -> str:
    """One object by its whole address, several by what is above them."""
    return f"{address}/{names[0]}".rstrip("/") if len(names) == 1 else f"{address} ({len(names)} objects)"


def _version(info: dict[str, object]) -> str:
    found = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if key in info), ""
    )
    return str(found).strip('"')
