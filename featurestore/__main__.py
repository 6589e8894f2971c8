"""The ``featurestore`` executable. ``--version`` answers before anything else is imported."""

from __future__ import annotations

import os
import sys

from featurestore.cli.starting import (
    collect_rarely,
    exit_at_once_on_signals,
    make_room_for_descriptors,
    the_answer_is_out,
)


def main() -> None:
    exit_at_once_on_signals()
    collect_rarely()
    make_room_for_descriptors()
    if sys.getfilesystemencoding() != "utf-8":
        # A locale without UTF-8, in which ids, names of files and results could be neither read nor written.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # ourselves
    if sys.argv[1:] in (["--version"], ["-V"]):
        from featurestore import __version__
        from featurestore.cli import streams

        streams.prepare()
        sys.exit(streams.answer(f"featurestore {__version__}\n"))
    from featurestore.cli import streams

    streams.prepare()
    from featurestore import signals
    from featurestore.cli.app import run

    signals.watch()
    code = run(sys.argv[1:])
    the_answer_is_out()
    streams.flush()
    # Nothing is open any more. Taking the interpreter down object by object would cost a tenth of a join's time.
    os._exit(code)


if __name__ == "__main__":
    main()
