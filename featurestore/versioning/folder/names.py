"""The names of version files. Apart from `versionfile`, which reads them: a listing needs no more than names."""

from __future__ import annotations

import re
from pathlib import Path

from featurestore.frozen import frozen

_NAME = re.compile(r"([0-9]{4,})-([0-9a-f]{12})\.py")


@frozen
class VersionName:
    """The name of a version file, ``0002-9f86d081884c.py``: its number and the first 12 digits of its hash."""

    number: int
    short: str
    path: Path

    def __lt__(self, other: VersionName) -> bool:
        """Versions stand in the order of their numbers."""
        return (self.number, self.short, self.path) < (other.number, other.short, other.path)

    @classmethod
    def parse(cls, path: Path) -> VersionName | None:
        """Reads the name of a version file; None for any other name."""
        match = _NAME.fullmatch(path.name)
        return cls(int(match[1]), match[2], path) if match else None

    @staticmethod
    def file_name(number: int, hash_: str) -> str:
        """The name of the file for a number and a hash (the first 12 digits count)."""
        return f"{number:04d}-{hash_[:12]}.py"
