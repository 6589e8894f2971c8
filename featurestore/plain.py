"""Scalars and arrays of NumPy, pandas and `decimal` as values of Python itself, exactly; imports none of them."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """The value as Python has it: a whole number, a float, a text, a time, a list; None for a missing one.

    What has no such value, as a time finer than microseconds or a decimal between two floats, is given as it is.
    """
    library = type(value).__module__.partition(".")[0]
    if library == "numpy":
        return _of_numpy(value)
    if library == "pandas" and type(value).__name__ in ("NAType", "NaTType"):
        return None
    return _of_decimal(value) if library == "decimal" else value


def _of_numpy(value: Any) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in "biufU" and kind:
        return value.tolist()
    if kind != "M" or value.ndim:
        return value
    if value != value:  # not a time
        return None
    found = value.astype("datetime64[us]")
    if found != value:
        return value
    return (value if value.dtype.str.endswith("[D]") else found).tolist()


def _of_decimal(value: Any) -> Any:
    if not value.is_finite():
        return value
    whole = int(value)
    if whole == value:
        return whole
    nearest = float(value)
    return nearest if nearest == value else value
