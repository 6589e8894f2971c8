"""What a Redis or Valkey server reports that can lose or refuse values: eviction, memory, role, disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from featurestore.model import Check

NEARLY_FULL = 0.9


def count_of(info: Mapping[str, str], name: str) -> int:
    """A count in an INFO answer; 0 where it is not there."""
    text = info.get(name, "")
    return int(text) if text.isdecimal() else 0


def checks_of(info: Mapping[str, str], where: str) -> Iterator[Check]:
    """The checks of an INFO answer. What a server does not report is not checked."""
    kind = info.get("server_name", "redis").capitalize()
    yield Check("online", "ok", f"{where}: {kind} {info.get('valkey_version') or info.get('redis_version', '?')}")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        yield Check(
            "online", "fail", f"{where}: maxmemory-policy {policy} drops entities when memory is short",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration file",
        )  # fmt: skip
    evicted = count_of(info, "evicted_keys")
    if evicted:
        yield Check(
            "online", "warn", f"{where}: {evicted:,} keys were evicted since it started",
            "the next featurestore sync writes the lost values again; give it more memory",
        )  # fmt: skip
    used, most = count_of(info, "used_memory"), count_of(info, "maxmemory")
    if most and used > NEARLY_FULL * most:
        yield Check("online", "warn", f"{where}: {used / most:.0%} of maxmemory is used", "raise its maxmemory")
    if info.get("role", "master") != "master":
        yield Check("online", "fail", f"{where}: is a read-only replica", "name the primary in [online] url")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Check("online", "fail", f"{where}: could not save to its disk", "free space where it keeps its dump")
