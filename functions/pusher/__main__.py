"""`python -m pusher` is the command line."""

import os
import sys

_NOT_DELIVERED = 1


def _run() -> int:
    """The exit status; whoever reads the output may stop, and whoever started it may interrupt it."""
    try:
        from .cli import main

        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOT_DELIVERED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _NOT_DELIVERED
    return status


raise SystemExit(_run())
