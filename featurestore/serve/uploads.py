"""Bodies that don't fit into memory: a request's labels, in a file of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import Request

from featurestore.errors import TooLargeError, UsageError
from featurestore.serve.errors import MediaTypeError

QUESTION_BYTES = 1_000_000
WRITTEN = 1_000_000  # bytes that are written at a time, in a thread


async def store_labels(request: Request, path: Path) -> bytes | None:
    """Writes the labels of a request to a file; returns the JSON part ``question`` of a multipart body.

    Raises UsageError for a body that can't be taken apart, TooLargeError, MediaTypeError for a packed one.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MediaTypeError("packed bodies are not read", hint="leave Content-Encoding out; Parquet is packed itself")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    with path.open("wb") as file:
        if kind != "multipart/form-data":
            await _write(file, request.stream())
            return None
        return await _store_parts(request, options.get("boundary", ""), file)


async def _write(file: BinaryIO, chunks: AsyncIterator[bytes]) -> None:
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= WRITTEN:
            await asyncio.to_thread(file.write, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(file.write, bytes(waiting))


async def _store_parts(request: Request, boundary: str, file: BinaryIO) -> bytes | None:
    question = bytearray()
    seen: list[str] = []

    async def labels() -> AsyncIterator[bytes]:
        try:
            with PushMultipartParser(boundary) as parser:
                async for chunk in request.stream():
                    for event in parser.parse(chunk) if chunk else ():
                        if isinstance(event, MultipartSegment):
                            _check_part(event.name, seen)
                        elif event and seen[-1] == "labels":
                            yield bytes(event)
                        elif event:
                            question.extend(event)
                            if len(question) > QUESTION_BYTES:
                                raise TooLargeError(
                                    "the question is too large", hint=f"at most {QUESTION_BYTES:,} bytes"
                                )
        except (MultipartError, ValueError) as exc:
            raise UsageError(f"the body is not multipart/form-data: {exc}") from None

    await _write(file, labels())
    if "labels" not in seen:
        raise UsageError("the body has no part labels", hint="curl -F labels=@labels.csv -F question='{…}'")
    return bytes(question) if "question" in seen else None


def _check_part(name: str, seen: list[str]) -> None:
    if name not in ("labels", "question") or name in seen:
        raise UsageError(f"the part {name!r} is not expected", hint="one part labels, and one part question")
    seen.append(name)
