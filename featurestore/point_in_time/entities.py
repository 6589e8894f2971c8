"""Entity ids as a person types them and as JSON carries them. Standard library only.

The id of a single key is its text, whatever the text is. A composite id is ``k1=v1,k2=v2`` in any order.
Either may also be a JSON object, in which values may contain commas. Strings are byte-exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType, Key
from featurestore.plain import plain

Entity = Mapping[str, str | int]
EntityId = str | int | Entity  # as a program has it


def parse_entity(entity_type: EntityType, text: str) -> dict[str, str | int]:
    """Reads an id as typed: its key values by name, in the order of the keys. Raises UsageError."""
    given = _json_object(entity_type, text)
    if given is None:
        given = _pairs(entity_type, text) if entity_type.composite else {entity_type.key_names[0]: text}
    missing = [name for name in entity_type.key_names if name not in given]
    if missing:
        raise _wrong(entity_type, text, f"lacks {', '.join(missing)}")
    return {key.name: _value(entity_type, key, given[key.name], text) for key in entity_type.keys}


def entity_keys(entity_type: EntityType, entity: EntityId) -> Entity:
    """The key columns of an entity as a program names it: by text, an int, or its keys. Raises UsageError."""
    found = _keys_of(entity_type, entity)
    if found is None:
        own = {name: plain(value) for name, value in entity.items()} if isinstance(entity, Mapping) else plain(entity)
        found = _keys_of(entity_type, own)
    if found is None:
        wanted = ", ".join(f"{key.name} ({key.type})" for key in entity_type.keys)
        raise UsageError(f"{entity!r} is not the id of a {entity_type.name}", hint=f"its keys are {wanted}")
    return found


def _keys_of(entity_type: EntityType, entity: object) -> Entity | None:
    first = entity_type.keys[0]
    if isinstance(entity, str):
        if first.type == "string" and not entity_type.composite:
            return {first.name: entity}
        return parse_entity(entity_type, entity)
    if isinstance(entity, Mapping):
        given = {name: entity.get(name) for name in entity_type.key_names}
        if len(entity) == len(given) and all(
            type(given[key.name]) is (int if key.type == "int" else str) for key in entity_type.keys
        ):
            return entity
    elif type(entity) is int and first.type == "int" and not entity_type.composite:
        return {first.name: entity}
    return None


def format_entity(entity_type: EntityType, entity: Entity) -> str:
    """The shortest text that `parse_entity` reads back."""
    values = [str(entity[name]) for name in entity_type.key_names]
    if entity_type.composite:
        text = ",".join(f"{name}={value}" for name, value in zip(entity_type.key_names, values, strict=True))
    else:
        text = values[0]
    try:
        if parse_entity(entity_type, text) == entity:
            return text
    except UsageError:
        pass
    return json.dumps(dict(zip(entity_type.key_names, values, strict=True)), ensure_ascii=False)


def entity_json(entity_type: EntityType, entity: Entity) -> str | dict[str, str]:
    """``entity_id`` in JSON: text, or an object of texts for a composite. Ints are base-10 text."""
    values = {name: str(entity[name]) for name in entity_type.key_names}
    return values if entity_type.composite else values[entity_type.key_names[0]]


def _json_object(entity_type: EntityType, text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        values = json.loads(text)
    except ValueError as exc:
        if not entity_type.composite:
            return None  # an id may begin with a brace
        raise _wrong(entity_type, text, f"is not JSON: {exc}") from exc
    if not entity_type.composite and set(values) != set(entity_type.key_names):
        return None
    _check_names(entity_type, values, text)
    return dict(values)


def _pairs(entity_type: EntityType, text: str) -> dict[str, object]:
    """Splits at every ``,name=`` where the name is a key of the entity type, so that a value may contain commas."""
    names = "|".join(re.escape(name) for name in entity_type.key_names)
    matches = list(re.finditer(rf"(?:^|,)({names})=", text))
    if not matches or matches[0].start() != 0:
        _check_names(entity_type, [text.split("=", 1)[0]] if "=" in text else [], text)
        raise _wrong(entity_type, text, "is not an id")
    ends = [match.start() for match in matches[1:]] + [len(text)]
    pairs: dict[str, object] = {}
    for match, end in zip(matches, ends, strict=True):
        if match[1] in pairs:
            raise _wrong(entity_type, text, f"names {match[1]} twice")
        pairs[match[1]] = text[match.end() : end]
    return pairs


def _check_names(entity_type: EntityType, names: Mapping[str, object] | list[str], text: str) -> None:
    for name in names:
        if name not in entity_type.key_names:
            hint = did_you_mean(name, entity_type.key_names)
            raise UsageError(f"{entity_type.name} has no key {name!r}", where=repr(text), hint=hint)


def _value(entity_type: EntityType, key: Key, value: object, text: str) -> str | int:
    if key.type == "string":
        if isinstance(value, str):
            # Python replaces command-line bytes that are not UTF-8 with surrogates.
            if not value.isascii() and re.search("[\ud800-\udfff]", value):
                raise _wrong(entity_type, text, "is not valid Unicode")
            return value
        raise _wrong(entity_type, text, f"must have text for {key.name}, not {json.dumps(value)}")
    digits = value if isinstance(value, str) else json.dumps(value)
    if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", digits) and -(2**63) <= int(digits) < 2**63:
        return int(digits)
    raise _wrong(entity_type, text, f"must have an int for {key.name}, without zeros in front, not {digits!r}")


def _wrong(entity_type: EntityType, text: str, what: str) -> UsageError:
    names = entity_type.key_names
    example = ",".join(f"{name}=…" for name in names) if entity_type.composite else f"its {names[0]}"
    return UsageError(f"{text!r} {what}", hint=f"an id of {entity_type.name} is written {example}, or as a JSON object")
