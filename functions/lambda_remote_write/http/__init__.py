"""HTTP over a real socket, with a *total* timeout: a server that drips bytes is cut off at its time.

No redirects, no retries of answers, no environment proxies: whoever calls decides those. Connections are kept
between invocations, but not trusted after a freeze.

`exchange` sends and reads, `address` reads and judges hosts, `http1` is the wire's format, `reader` notices answers
that break off, `connection` makes and keeps connections, `errors` explains.
"""

from .address import is_this_machine, parsed
from .exchange import Answer, Transport
from .types import ConnectionOptions, HttpRequest, TransportError, one_line

__all__ = [
    "Answer",
    "ConnectionOptions",
    "HttpRequest",
    "Transport",
    "TransportError",
    "is_this_machine",
    "one_line",
    "parsed",
]
