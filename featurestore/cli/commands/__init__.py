"""One module per command, imported only when that command is invoked.

A module has one function, ``command``: its signature declares arguments and options, its docstring is the help, with
examples. It ends with ``typer.Exit(code)`` or returns, which is exit code 0.
"""

from __future__ import annotations

from collections.abc import Mapping

# Command -> (section of the help, one line). The order is the order of the help.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("Project", "Start a project; --demo brings data and features that run at once."),
    "new": ("Project", "Add a feature to edit, from a template."),
    "doctor": ("Project", "Check configuration, stores, git, lock and clock, and say how to fix them."),
    "backup": ("Project", "Write the history, the audit log and the versions to one file."),
    "restore": ("Project", "Put back what backup has written."),
    "list": ("Features and versions", "List the features of the working tree."),
    "show": ("Features and versions", "Show one feature: metadata, versions, statistics, last run."),
    "plan": ("Features and versions", "Show what the working tree would change, and why."),
    "lock": ("Features and versions", "Write the version files for what plan shows."),
    "check": ("Features and versions", "Check that every feature's code has its version file (for hooks and CI)."),
    "diff": ("Features and versions", "Compare two versions: code, distribution, entities."),
    "promote": ("Features and versions", "Make an older or newer version the active one."),
    "rename": ("Features and versions", "Give a feature another name; its history comes along."),
    "retire": ("Features and versions", "End the serving of a feature whose code is gone."),
    "lineage": ("Features and versions", "Draw source, columns, helpers, feature and versions."),
    "delete": ("Features and versions", "Delete an entity from an instant on, or erase it for good."),
    "preview": ("Data in", "Show what would be read of a source or a file, and how."),
    "ingest": ("Data in", "Read sources, validate, compute, version, store, measure."),
    "runs": ("Data in", "Show the audit log of runs, or one run."),
    "join": ("Data out", "Join features to labels as they were known at each label's time."),
    "latest": ("Data out", "Write one row per entity as of a time, to score everybody."),
    "dataset": ("Data out", "List data sets that join kept; make one again, or prove that it is the same."),
    "get": ("Data out", "Read the online values of one or more entities."),
    "history": ("Data out", "Show every value an entity ever had."),
    "export": ("Data out", "Write the whole history of a feature version to a file."),
    "sync": ("Online", "Bring the online store up to date with the history."),
    "verify": ("Online", "Compare every online value with the history."),
    "serve": ("Online", "Serve online and historical features over HTTP."),
    "tui": ("Watching", "Browse features, versions, drift and runs in the terminal."),
    "status": ("Watching", "Show what failed, is too old or has drifted, worst first."),
    "stats": ("Watching", "Show a feature's distribution and its drift from run to run."),
    "drift": ("Watching", "Show how far each feature has moved, worst first."),
    "baseline": ("Watching", "Name the run that later runs are compared with."),
}

# What these have done stays done, and their exit code theirs, where standard output can't be written.
WRITERS = frozenset({
    "init", "new", "backup", "restore", "lock", "promote", "rename", "retire", "delete", "ingest", "sync", "baseline",
})  # fmt: skip
