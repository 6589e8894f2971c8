"""featurestore: a feature store for one machine, run from the command line.

The public names are resolved on first use, so that importing any submodule costs nothing else.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["FeatureStore", "FeatureStoreClient", "__version__", "feature"]

TYPE_CHECKING = False  # type checkers know the name; importing it from typing would double the time of --version
if TYPE_CHECKING:
    from typing import Any

    from featurestore.authoring import feature
    from featurestore.client import FeatureStore, FeatureStoreClient


def __getattr__(name: str) -> Any:
    if name == "feature":
        from featurestore.authoring import feature

        return feature
    if name in ("FeatureStore", "FeatureStoreClient"):
        from featurestore import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
