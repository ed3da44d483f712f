"""The process of a fleet: an API that lists devices, and the devices, each at an address of its own or all at paths of
one. It knows how many requests one address has had at the same time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.side import Web, obey
from sandbox.server import Request


@dataclass(frozen=True, slots=True)
class Device:
    """Answers with its number, after so many seconds."""

    number: int
    delay_seconds: float


class Fleet:
    """One fleet after the other."""

    def __init__(self) -> None:
        self._web = Web(self._respond)
        self._devices: dict[tuple[int, str], Device] = {}  # by port and path
        self._under_way, self._most = Counter[int](), 0
        (self._port,) = self._web.open()

    def open(self, count: int, slow: int, delay_seconds: float, one_address: bool) -> dict[str, Any]:
        """`count` devices, of which the first `slow` answer late. Returns the address of the list."""
        ports = self._web.open() * count if one_address else self._web.open(count)
        late = [delay_seconds] * slow + [0.0] * (count - slow)
        self._devices = {
            (port, f"/devices/{number}"): Device(number, delay)
            for number, (port, delay) in enumerate(zip(ports, late, strict=True))
        }
        self._most = 0
        return {"url": f"http://127.0.0.1:{self._port}/devices"}

    def most(self) -> dict[str, Any]:
        """The most requests that one device's address has had at the same time."""
        return {"most": self._most}

    async def _respond(self, request: Request, port: int) -> tuple[Mapping[str, str], bytes]:
        found = self._listed() if port == self._port else await self._value(port, request.path)
        return {"Content-Type": "application/json"}, json.dumps(found).encode()

    def _listed(self) -> list[dict[str, Any]]:
        return [
            {"id": device.number, "url": f"http://127.0.0.1:{port}{path}"}
            for (port, path), device in self._devices.items()
        ]

    async def _value(self, port: int, path: str) -> dict[str, Any]:
        device = self._devices[port, path]
        self._under_way[port] += 1
        self._most = max(self._most, self._under_way[port])
        await asyncio.sleep(device.delay_seconds)
        self._under_way[port] -= 1
        return {"value": device.number}


def main() -> None:
    fleet = Fleet()
    obey({}, {"open": fleet.open, "most": fleet.most})


if __name__ == "__main__":
    main()
