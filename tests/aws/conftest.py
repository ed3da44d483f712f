"""The rig of the tests here that collect."""

from tests.rig.json_fixtures import rig

__all__ = ["rig"]
