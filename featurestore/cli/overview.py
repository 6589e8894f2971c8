"""The text of ``featurestore --help``, and the global options at the end of every command's help."""

from __future__ import annotations

from featurestore.cli.commands import COMMANDS

GLOBAL_HELP = """\b
Global options, anywhere on the line:
  -C, --project DIR       The project folder (default: the nearest featurestore.toml).
  --json                  One JSON document on stdout, also on failure.
  -q, --quiet             Print errors only.
  -v, --verbose           Report each step on stderr, with its time.
  --lock-timeout SECONDS  How long to wait for another run (default: 60).
  --traceback             Show the traceback of an error.
  -V, --version           Print the version.
"""


def overview() -> str:
    """The help of the program: every command in its section, then the global options."""
    lines = [
        "Usage: featurestore COMMAND [ARGS]…",
        "",
        "The feature store that runs on one machine, from the command line.",
        "",
    ]
    width = max(map(len, COMMANDS))
    for section in dict.fromkeys(section for section, _ in COMMANDS.values()):
        lines.append(f"{section}:")
        lines += [f"  {name:{width}}  {line}" for name, (where, line) in COMMANDS.items() if where == section]
        lines.append("")
    options = (
        GLOBAL_HELP.removeprefix("\b\n") + "  -h, --help              Show this message; after a command, its own.\n"
    )
    return "\n".join(lines) + "\n" + options
