"""Serves the pages of a process for as long as it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..messages import Say
from .listen import ListenAddress, listen, shown_address
from .pages import Pages, Process, WebOptions
from .server import Server

__all__ = ["WebOptions", "serving"]


@contextmanager
def serving(process: Process, address: ListenAddress, options: WebOptions, say: Say) -> Iterator[Server]:
    """Raises NotListening."""
    server = Server(listen(address), Pages(process, options, say).respond)
    say(f"listening at http://{shown_address(*server.address)}/{_reach(address, server.address[1])}")
    server.start()
    try:
        yield server
    finally:
        server.close()


def _reach(address: ListenAddress, port: int) -> str:
    if not address.is_default_host:
        return ""
    return f", for this machine only: write 0.0.0.0:{port} to be reached from others"
