"""Ids that a person would take for one: ``7.0`` beside ``7``, ``Ann`` beside `` ann``. To the stores they are two."""

from __future__ import annotations

import polars as pl

_INVISIBLE = "[\u00ad\u200b-\u200f\u2060\ufeff]"  # spaces of no width, and marks of files


def folded(ids: pl.Series, *, zeros: bool = False) -> pl.Series:
    """Ids without what is easily lost: case, outer spaces, what nobody sees, Unicode form, ``.0``.

    With ``zeros`` leading zeros too.
    ``7.0`` is what pandas and spreadsheets make of 7 in a column where an id is missing.
    """
    plain = (
        ids.str.normalize("NFC")
        .str.replace_all(_INVISIBLE, "")
        .str.strip_chars()
        .str.to_lowercase()
        .str.replace(r"^(-?[0-9]+)\.0+$", "$1")
    )
    return plain.str.replace(r"^(-?)0+([0-9])", "$1$2") if zeros else plain


def are_plain(ids: pl.Series) -> bool:
    """Whether ids are so plain that no two of them can be alike without being equal, and none is empty.

    `folded` leaves each as it is, or folds no two to one. Seen without looking for the different ones first, which
    takes four times as long where they repeat.
    """
    return any(not ids.str.contains(odd).any() for odd in (r"[^0-9a-z_-]|^$", r"[^0-9A-Z_-]|^$"))


def find_pair(ids: pl.Series, others: pl.Series) -> tuple[str, str] | None:
    """The first of some ids that differs only by what `folded` drops from one of the others, and that one."""
    both = pl.DataFrame({"id": ids.unique(maintain_order=True)}).with_columns(
        folded=folded(ids.unique(maintain_order=True), zeros=True)
    )
    held = pl.DataFrame({"held": others.unique(maintain_order=True)}).with_columns(
        folded=folded(others.unique(maintain_order=True), zeros=True)
    )
    pairs = both.join(held, on="folded", maintain_order="left").filter(pl.col("id") != pl.col("held"))
    return (pairs["id"][0], pairs["held"][0]) if pairs.height else None
