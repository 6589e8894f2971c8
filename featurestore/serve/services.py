"""What the routes of one worker share: the project, who may ask, metrics, logs, and threads that wait for stores."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from featurestore.serve.lines import LineWriter
from featurestore.serve.live import LiveProject
from featurestore.serve.metrics import Metrics
from featurestore.serve.request_log import RequestLog
from featurestore.serve.settings import Settings
from featurestore.serve.tokens import Token, read_tokens

READERS = 16
LOOKERS = 4
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Services:
    """One for each worker. Raises ConfigError for a token file that can't be used, and what `LiveProject` raises.

    ``readers`` are the threads that ask the online store, ``lookers`` those that read the registry and the offline
    store, ``joiners`` those that join: none of them waits for another kind.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokens: tuple[Token, ...] = read_tokens(settings.token_file) if settings.token_file else ()
        self.live = LiveProject(settings.root)
        self.metrics = Metrics(self.live)
        self.request_log = None
        if settings.request_log is not None:
            self.request_log = RequestLog(settings.request_log, settings.request_share, self.metrics.dropped.inc)
        self._log = LineWriter(_to_stderr, self.metrics.dropped.inc)
        self.readers = ThreadPoolExecutor(READERS, "reader")
        self.lookers = ThreadPoolExecutor(LOOKERS, "looker")
        self.joiners = ThreadPoolExecutor(settings.limits.joins, "joiner")
        self._said: set[str] = set()

    async def run(
        self,
        threads: ThreadPoolExecutor,
        work: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Runs something that waits in one of the pools of threads."""
        call = partial(work, *args, **kwargs) if kwargs else work
        return await asyncio.get_running_loop().run_in_executor(threads, call, *(() if kwargs else args))

    def log(self, **facts: Any) -> None:
        """A line of JSON on stderr, which nobody waits for."""
        self._log(json.dumps(facts, ensure_ascii=False, separators=(",", ":"), default=str) + "\n")

    def log_once(self, message: str) -> None:
        """A warning that is logged the first time only."""
        if message not in self._said:
            self._said.add(message)
            self.log(level="warning", message=message)

    def close(self) -> None:
        """After the last answer: waits for the threads, writes what is left of the logs, closes the store."""
        for threads in (self.readers, self.lookers, self.joiners):
            threads.shutdown(wait=True, cancel_futures=True)
        self.live.close()
        if self.request_log is not None:
            self.request_log.close()
        self._log.close()


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
