"""HTTP over a real socket, with a *total* timeout: a server that drips bytes is cut off at its time.

No redirects, no retries of answers, no environment proxies: whoever calls decides those. Connections are kept
between invocations, but not trusted after a freeze.

`client` sends and reads, `connection` makes and keeps connections, `response` notices answers that break off, `address`
reads and judges hosts, `errors` explains. `fetch`, `oauth2` and `options` are above: sources, tokens and config.
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
