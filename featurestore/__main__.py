"""The ``featurestore`` executable. ``--version`` answers before anything else is imported."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] in (["--version"], ["-V"]):
        from featurestore import __version__

        sys.stdout.write(f"featurestore {__version__}\n")
        return
    import gc

    # Syntax trees are many objects and no garbage: looking through them every 700 allocations costs a tenth of `list`.
    gc.set_threshold(50_000, 20, 20)
    from featurestore.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
