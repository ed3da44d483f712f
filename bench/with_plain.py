"""Candidate: the plain script."""

from __future__ import annotations

import os

from bench.place import Place, Push
from bench.plain import handler


def prepare(place: Place) -> Push:
    os.environ |= {"API_URL": place.api_url, "REMOTE_WRITE_URL": place.write_url}

    def push() -> None:
        handler({}, None)

    return push
