"""The servers that the command line is tried on."""

from ..services import own_server

__all__ = ["own_server"]
