"""What docs/online.md says is so: its example reads our bytes, its permissions are the ones the tests run with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from featurestore.model import DataType
from featurestore.online import format as layout
from featurestore.online.tables import Pointer, write_pointer
from tests.online.packed import pack, pack_steps
from tests.services import PERMISSIONS

DOC = (Path(__file__).parents[2] / "docs" / "online.md").read_text(encoding="utf-8")

STEPS = pack_steps("float", 1, "f9d0a9a34083", [(0, 1.0), (5_000, None), (10_000, 2.0), (2**60, 3.0)])


def test_the_permissions_are_those_the_tests_run_with() -> None:
    (line,) = re.findall(r"^ACL SETUSER app on >PASSWORD (.*)$", DOC, re.MULTILINE)
    assert line.split() == list(PERMISSIONS)


def test_the_pointer_is_as_shown() -> None:
    (shown,) = re.findall(r"^\{\"entity_type\".*\}$", DOC, re.MULTILINE)
    pointer = Pointer("age", "patient", "f9d0a9…", 2, DataType("float"), 3, 31_536_000_000_000)
    assert json.loads(shown) == json.loads(write_pointer(pointer))


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (pack("float", 1_704_067_200_123_000, 41, 0, "f9d0a9a34083", 0.25),
         {"status": "ok", "computedAt": "2024-01-01T00:00:00.123Z", "value": 0.25}),
        (pack("float", 0, 1, 0, "f9d0a9a34083", None),
         {"status": "null", "computedAt": "1970-01-01T00:00:00.000Z"}),
        (pack("float", 0, 1, layout.TOMBSTONE, "f9d0a9a34083", None), {"status": "missing"}),
        (pack("float", 0, 1, 0, "aaaaaaaaaaaa", 1.0), {"status": "missing"}),
        (STEPS, {"status": "ok", "computedAt": "1970-01-01T00:00:00.010Z", "value": 2.0}),
        (pack_steps("float", 1, "f9d0a9a34083", [(0, 1.0), (10_000, None)], 20_000),
         {"status": "stale", "computedAt": "1970-01-01T00:00:00.010Z"}),
        (pack_steps("float", 1, "f9d0a9a34083", [(0, 1.0)], 2**62),
         {"status": "ok", "computedAt": "1970-01-01T00:00:00.000Z", "value": 1.0}),
        (pack_steps("float", 1, "f9d0a9a34083", [(0, 1.0)], deleted=True), {"status": "missing"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("node", [path] if (path := shutil.which("node")) else [])
def test_another_language_reads_our_bytes(node: str, packed: bytes, expected: object) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", DOC, re.DOTALL)
    call = (
        f"console.log(JSON.stringify(readFloat(Buffer.from('{packed.hex()}', 'hex'), 'f9d0a9a34083' + '0'.repeat(52))))"
    )
    done = subprocess.run([node, "-e", code + call], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected
