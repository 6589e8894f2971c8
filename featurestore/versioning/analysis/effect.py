"""One effect, by names."""

from __future__ import annotations

from featurestore.versioning.analysis.names import Key

ARGUMENTS: Key = ("", "arguments")
"""In a function's effect: whatever it was given."""
SELF: Key = ("", "self")
"""In a method's effect: its object."""
OUTSIDE: Key = ("", "outside")
"""Something of another package."""
CALLED = "()"
"""After a function's name: what it returns, not the function itself."""


class Effect:
    """What running some code may do, by names.

    ``touched`` are the names whose objects it may change, ``opened`` those of them whose code it may run, ``rebound``
    those that it binds to something else from outside their module or from within a function, ``changed`` those that
    it certainly changes, with the line. ``used`` are all the names that it reads, ``calls`` the functions that it
    calls, each with the names of the method's object and of the arguments. ``runs`` says whether it calls anything at
    all, ``outside`` whether it may change something outside the project. ``returned`` are the kinds of what a
    function returns.
    """

    __slots__ = ("calls", "changed", "opened", "outside", "rebound", "returned", "runs", "touched", "used")

    def __init__(self) -> None:
        self.touched: set[Key] = set()
        self.opened: set[Key] = set()
        self.rebound: set[Key] = set()
        self.used: set[Key] = set()
        self.calls: list[tuple[Key, frozenset[Key], frozenset[Key]]] = []
        self.changed: dict[Key, int] = {}
        self.returned: set[str] = set()
        self.outside = False
        self.runs = False

    @property
    def is_inert(self) -> bool:
        """Whether it changes nothing, as far as its own code shows: the functions that it calls may."""
        return not (self.touched or self.opened or self.calls or self.outside)
