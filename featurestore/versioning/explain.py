"""Says why two versions differ, by comparing their parts."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.versioning.recipe.parts import split_part

CODE = ("helper", "class", "constant", "module")
COUNTED = (*CODE, "default", "column", "running")
RUNNING = "running "


def explain(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """One sentence for each difference, the function's own first. A helper that only moved is not a difference."""
    running = _running(old, new)
    old, new = _without_running(old), _without_running(new)
    removed = [key for key in old if key not in new]
    added = [key for key in new if key not in old]
    sentences = [_changed(key, old[key], new[key]) for key in old if key in new and old[key] != new[key]]
    for key in list(removed):
        moved = _moved(key, added)
        if moved is not None:
            removed.remove(key)
            added.remove(moved)
            if old[key] != new[moved]:
                sentences.append(_changed(moved, old[key], new[moved]))
            continue
        renamed = _renamed(key, old, added, new)
        if renamed is not None:
            removed.remove(key)
            added.remove(renamed)
            sentences.append(f"{_called(key)} renamed to `{renamed.rpartition('.')[2]}`")
    sentences += [_added(key, new[key]) for key in added]
    sentences += [_removed(key, old[key]) for key in removed]
    sentences += running
    if not sentences and dict(old) != dict(new):
        sentences.append("code moved between modules")
    return sentences or ["the order of statements changed, or which of two definitions with the same name is used"]


def explain_recipe(old: Mapping[str, str], new: Mapping[str, str], recipe: int, number: int) -> list[str]:
    """The same for a version that an older recipe wrote: what the newest one counts, and the version does not hold.

    ``old`` are the parts that the newest recipe finds in the version's own file. Where something that both have is
    different, the code has changed, and that is the reason.
    """
    code = _without_running(old)
    more = {key: value for key, value in new.items() if key not in code and key.partition(" ")[0] in COUNTED}
    held = {digest for _, digest, _ in _statements(old)}
    more = {
        key: value for key, value in more.items() if not key.startswith(RUNNING) or split_part(value)[0] not in held
    }
    if any(code[key] != new.get(key) for key in code):
        return explain(old, new)
    ending = f"which version {number} does not hold"
    if not more:
        return [f"recipe {recipe} counts more of what runs at import, {ending}"]
    return [f"recipe {recipe} counts {_counted(key, value)}, {ending}" for key, value in more.items()]


def _counted(key: str, value: str) -> str:
    kind, _, path = key.partition(" ")
    if f"{kind} " == RUNNING:
        return f"`{split_part(value)[1] or 'a statement'}` in {path.partition(' ')[0]}"
    return f"the type of {_called(key)}" if kind == "column" else _called(key)


def _without_running(parts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in parts.items() if not key.startswith(RUNNING)}


def _running(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What differs among the statements that count because they run at import."""
    before, after = _statements(old), _statements(new)
    digests = {digest for _, digest, _ in before}, {digest for _, digest, _ in after}
    gone = [item for item in before if item[1] not in digests[1]]
    come = [item for item in after if item[1] not in digests[0]]
    sentences = []
    for module, _, text in gone:
        match = next((item for item in come if item[0] == module), None)
        if match is None:
            sentences.append(f"`{text}` no longer runs at import of {module}")
        else:
            come.remove(match)
            changed = f"`{text}` → `{match[2]}`" if text != match[2] else f"`{text}` changed"
            sentences.append(f"{changed}, which runs at import of {module}")
    sentences += [f"`{text}` added, which runs at import of {module}" for module, _, text in come]
    if not sentences and [item[1] for item in before] != [item[1] for item in after]:
        modules = ", ".join(dict.fromkeys(module for module, _, _ in after))
        sentences.append(f"the order of what runs at import of {modules} changed")
    return sentences


def _statements(parts: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Module, digest and text of each statement that runs."""
    found = []
    for key, value in parts.items():
        if key.startswith(RUNNING):
            digest, text = split_part(value)
            found.append((key.split(" ")[1], digest, text or "a statement"))
    return found


def _moved(key: str, added: list[str]) -> str | None:
    kind, _, path = key.partition(" ")
    if kind not in CODE and not (kind == "default" and "." in path):
        return None
    depth = -2 if kind == "default" else -1
    tail = path.split(".")[depth:]
    matches = [
        other
        for other in added
        if other.partition(" ")[0] == kind and other.partition(" ")[2].split(".")[depth:] == tail
    ]
    return matches[0] if len(matches) == 1 else None


def _renamed(key: str, old: Mapping[str, str], added: list[str], new: Mapping[str, str]) -> str | None:
    kind = key.partition(" ")[0]
    if kind not in CODE:
        return None
    matches = [other for other in added if other.partition(" ")[0] == kind and new[other] == old[key]]
    return matches[0] if len(matches) == 1 else None


def _called(key: str) -> str:
    """``helper `risk.scale` ``, ``constant `LIMIT` ``, ``default of `days` ``, ``source event_time``."""
    kind, _, path = key.partition(" ")
    names = path.split(".")
    if kind == "function":
        return "the function's code"
    if kind == "constant":
        return f"constant `{names[-1]}`"
    if kind in CODE:
        return f"{kind} `{'.'.join(names[-2:])}`"
    if kind == "default":
        inside = f" in helper `{'.'.join(names[-3:-1])}`" if len(names) > 1 else ""
        return f"default of `{names[-1]}`{inside}"
    if kind == "file":
        return path
    if kind == "request":
        return f"request field `{path}`"
    if kind in ("param", "column", "input"):
        return f"{kind} `{path}`"
    return key.replace("_type", " type") if not path else key


def _changed(key: str, old: str, new: str) -> str:
    kind = key.partition(" ")[0]
    if kind in ("function", *CODE, "default"):
        before, after = split_part(old)[1], split_part(new)[1]
        if before is None or after is None or before == after:
            return f"{_called(key)} changed"
        return f"{_called(key)} {before} → {after}"
    if kind == "file":
        return f"{_called(key)} changed"
    return f"{_called(key)} {old} → {new}"


def _added(key: str, value: str) -> str:
    kind = key.partition(" ")[0]
    if kind == "file":
        return f"{_called(key)} added to depends_on"
    text = split_part(value)[1] if kind in ("default", *CODE) else value
    return f"{_called(key)} added" + (f": {text}" if text else "")


def _removed(key: str, value: str) -> str:
    kind = key.partition(" ")[0]
    if kind == "file":
        return f"{_called(key)} removed from depends_on"
    text = split_part(value)[1] if kind in ("default", *CODE) else value
    ending = "no longer used" if kind in CODE else "removed"
    return f"{_called(key)} {ending}" + (f" (was {text})" if text else "")
