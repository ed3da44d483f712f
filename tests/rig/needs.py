"""The fixtures of tests/conftest.py as types."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

Require = Callable[[object, str], None]
Peer = Callable[[str], str]
Building = Callable[[], AbstractContextManager[None]]
