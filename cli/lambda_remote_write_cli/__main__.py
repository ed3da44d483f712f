"""The command `pusher`, which is also `python -m lambda_remote_write_cli`."""

import os
import sys
from pathlib import Path

_NOT_DELIVERED = 1


def run() -> int:
    """Returns the exit status, also when the reader of the output stops or the user interrupts."""
    try:
        from .main import main

        sys.stdout, sys.stderr = (stream or Path(os.devnull).open("w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115 - as long as the process
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for a terminal without UTF-8
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOT_DELIVERED
    except OSError as error:  # a full disk under the output, or a file that the command did not foresee
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"stopped: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return _NOT_DELIVERED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _NOT_DELIVERED
    return status


if __name__ == "__main__":
    raise SystemExit(run())
