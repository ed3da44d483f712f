"""The fixtures of tests that scrape JSON APIs."""

from tests.rig.json_fixtures import amp_rig, no_thread_left, rig

__all__ = ["amp_rig", "no_thread_left", "rig"]
