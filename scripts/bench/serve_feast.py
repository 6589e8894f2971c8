"""``feast serve`` over the same Redis: one worker, the same three features of one entity.

Feast lives in an environment of its own:

    python3 -m venv feast-venv && feast-venv/bin/pip install 'feast[redis]==0.67.0'
    .venv/bin/python scripts/bench/serve.py --feast feast-venv/bin/python
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

PEER = Path(__file__).with_name("peers") / "feast_online.py"
PATH = "/get-online-features"
TIMES = 3


def start(python: Path, folder: Path, redis_port: int, port: int) -> subprocess.Popen[bytes]:
    """Fills a project of Feast in ``folder`` and starts its server."""
    folder.mkdir()
    python = python.absolute()
    subprocess.run([str(python), str(PEER), str(redis_port)], cwd=folder, check=True)
    words = [str(python.with_name("feast")), "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # By default a worker ends after 1,000 requests, and with it the connections that it has.
    return subprocess.Popen([*words, "--no-access-log", "--max-requests", "0"], cwd=folder, stderr=subprocess.DEVNULL)


def bodies(count: int, ids: Sequence[str], names: Sequence[str]) -> list[bytes]:
    """Requests for one entity each."""
    features = [f"visits:{name}" for name in names]
    asked = [{"features": features, "entities": {"patient_id": [ids[at % len(ids)]]}} for at in range(count)]
    return [json.dumps(item).encode() for item in asked]
