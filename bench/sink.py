"""The other side of a backfill: takes remote writes as fast as it can, and counts what came once nobody writes."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from typing import IO

import snappy

from lambda_remote_write.remote_write.encode.generated.remote_pb2 import WriteRequest

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_CHUNK = 1 << 20


class Sink:
    """Answers every request with success, and writes its body to a file with its length before it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Lock()
        self.bodies: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        while True:
            while (end := data.find(b"\r\n\r\n")) < 0:
                piece = connection.recv(_CHUNK)
                if not piece:
                    return
                data += piece
            head = data[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            body, data = data[end + 4 : end + 4 + length], data[end + 4 + length :]
            while len(body) < length:
                piece = connection.recv(_CHUNK)
                body, data = body + piece[: length - len(body)], piece[length - len(body) :]
            with self._lock:
                self.bodies.write(length.to_bytes(4, "big") + body)
            connection.sendall(_ANSWER)

    def told(self) -> dict[str, float]:
        """Requests, samples and the sum of their values since the last time, series counted once in each request."""
        with self._lock:
            self.bodies.seek(0)
            requests = samples = size = 0
            total = 0.0
            while head := self.bodies.read(4):
                body = self.bodies.read(int.from_bytes(head, "big"))
                message = WriteRequest.FromString(snappy.uncompress(body))
                requests, size = requests + 1, size + len(body)
                for series in message.timeseries:
                    samples += len(series.samples)
                    total += sum(sample.value for sample in series.samples)
            self.bodies.seek(0)
            self.bodies.truncate()
            return {"requests": requests, "samples": samples, "total": total, "bytes": size}


def main() -> None:
    sink = Sink()
    print(json.dumps({"port": sink.port}), flush=True)
    for line in sys.stdin:
        json.loads(line)
        print(json.dumps(sink.told()), flush=True)


if __name__ == "__main__":
    main()
