"""The servers that the command line is tried on."""

from tests.services import own_server

__all__ = ["own_server"]
