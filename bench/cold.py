"""One cold start: CPU of import and first push in a fresh interpreter. Imports nothing more than it must."""

import os
import sys
import time

TYPE_CHECKING = False  # not typing's: that would be one more import
if TYPE_CHECKING:
    from collections.abc import Callable


def _handler(candidate: str) -> "Callable[[dict[str, object], None], object]":
    if candidate == "pusher":
        from lambda_remote_write.app import push_handler

        return push_handler
    from bench.plain import handler

    return handler


def main() -> None:
    candidate, out = sys.argv[1:]
    start = time.process_time()
    handler = _handler(candidate)
    imported = time.process_time()
    handler({}, None)
    end = time.process_time()
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, f'{{"import": {imported - start}, "push": {end - imported}}}'.encode())


main()
