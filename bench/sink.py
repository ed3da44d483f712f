"""The other side of a backfill: takes remote writes as fast as it can, and counts what came once nobody writes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import IO, Any

import snappy

from bench.side import Asked, Web, obey
from lambda_remote_write.remote_write.encode.generated.remote_pb2 import WriteRequest


class Sink:
    """Answers every request with success, and writes its body to a file with its length before it."""

    def __init__(self) -> None:
        self._bodies: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._web = Web(self._respond)
        (self.port,) = self._web.open()

    async def _respond(self, asked: Asked) -> tuple[Mapping[str, str], bytes]:
        self._bodies.write(len(asked.body).to_bytes(4, "big") + asked.body)
        return {}, b""

    def told(self) -> dict[str, Any]:
        """Samples and the sum of their values since the last time."""
        self._bodies.seek(0)
        samples, total = 0, 0.0
        while head := self._bodies.read(4):
            message = WriteRequest.FromString(snappy.uncompress(self._bodies.read(int.from_bytes(head, "big"))))
            for series in message.timeseries:
                samples += len(series.samples)
                total += sum(sample.value for sample in series.samples)
        self._bodies.seek(0)
        self._bodies.truncate()
        return {"samples": samples, "total": total}


def main() -> None:
    sink = Sink()
    obey({"port": sink.port}, {"told": sink.told})


if __name__ == "__main__":
    main()
