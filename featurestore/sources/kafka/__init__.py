"""Topics of Kafka. The client is loaded when a topic is opened, not before."""

from __future__ import annotations

from featurestore.errors import UsageError
from featurestore.model import Source
from featurestore.sources.contract import OpenSource, ProjectFolders
from featurestore.sources.kafka.settings import KEYS, read_settings


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    from featurestore.sources.kafka.source import KafkaSource

    if given is not None:
        raise UsageError(
            f"--input can't take the place of topic {source.name}: its rows have partitions and offsets",
            hint="send the records to the topic, or declare the file as a source of its own",
        )
    return KafkaSource(folders, source)


__all__ = ["KEYS", "open_source", "read_settings"]
