"""HTTP over a real socket, with a *total* timeout: a server that drips bytes is cut off at its time.

It follows no redirects, retries no answers and reads no proxy from the environment: the caller decides those.
Connections are kept between invocations, but not trusted after a freeze.

`client` sends and reads, `connection` makes and keeps connections, `response` notices answers that break off, `address`
reads and checks hosts, `errors` explains. `fetch`, `oauth2` and `options` build on these: scrapes, tokens and config.
"""

from .address import is_this_machine, parsed
from .client import Answer, Transport
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
