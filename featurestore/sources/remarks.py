"""What is worth saying of rows that were accepted: nothing here changes or refuses one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import polars as pl

from featurestore.model import KeyType, Source

_MOSTLY = 0.9


def on_zones(source: Source, naive: Collection[str]) -> Iterator[str]:
    """Times without a zone in a source that names none."""
    if naive and source.timezone is None:
        yield (
            f"source {source.name}: the times in {', '.join(sorted(naive))} have no zone and are taken as UTC; "
            f'if they are, say so with timezone = "UTC" in [sources.{source.name}], else name their zone'
        )


def on_ids(frame: pl.DataFrame, keys: Mapping[str, KeyType]) -> Iterator[str]:
    """Ids that a person would take for one. They stay apart, but somebody should know."""
    for name, kind in keys.items():
        if kind == "string" and name in frame.columns:
            ids = frame[name].alias("").unique()
            folded = ids.str.normalize("NFC").str.strip_chars().str.to_lowercase()
            alike = folded.is_duplicated()
            if alike.any():
                shown = ", ".join(repr(each) for each in ids.filter(alike).sort()[:3])
                yield (
                    f"{int(alike.sum())} values of {name} differ only by whitespace, case or Unicode form, "
                    f"as {shown}: each is an entity of its own"
                )


def on_text(frame: pl.DataFrame, found: Mapping[str, str], place: Callable[[int], str]) -> Iterator[str]:
    """Columns that were taken for text because of a few values among many numbers."""
    for name, kind in found.items():
        column = frame.get_column(name, default=None)
        if kind != "string" or column is None or column.dtype != pl.String:
            continue
        column = column.alias("")
        words = (column.cast(pl.Float64, strict=False).is_null() & column.is_not_null()).arg_true()
        if 0 < len(words) <= (1 - _MOSTLY) * (len(column) - column.null_count()):
            yield (
                f"column {name} is text because of {len(words)} value(s) that are no numbers, the first "
                f"{column[int(words[0])]!r} in {place(int(words[0]))}; declare its type to set such rows aside"
            )
