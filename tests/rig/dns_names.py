"""A DNS server on the loopback, over UDP and TCP, that answers from a table."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterable
from typing import Any, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

Records = dict[str, list[str]]  # "name TYPE" -> the texts of its records


class Names:
    """`records` are answered, `rcodes` are answered without records (by name), other names do not exist. `silent`
    names get no answer. Knows a CNAME: its target's records follow in the same answer."""

    def __init__(self, records: Records) -> None:
        self.records, self.rcodes, self.silent = records, dict[str, dns.rcode.Rcode](), set[str]()
        self.asked: list[tuple[str, str, str]] = []  # name, type, protocol
        self.udp_limit = 1232
        tcp = _Tcp(("127.0.0.1", 0), _TcpHandler)
        self.port: int = tcp.server_address[1]
        self._servers: list[Any] = [tcp, _Udp(("127.0.0.1", self.port), _UdpHandler)]
        for server in self._servers:
            server.names = self

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def resolver(self, search: Iterable[str] = (), ndots: int | None = None, others: Iterable[int] = ()) -> Any:
        """A resolver of this server, and of `others` on other ports before it."""
        resolver = dns.resolver.Resolver(configure=False)
        servers = [dns.nameserver.Do53Nameserver("127.0.0.1", port) for port in (*others, self.port)]
        resolver.nameservers = servers
        resolver.search = [dns.name.from_text(suffix) for suffix in search]
        resolver.ndots, resolver.timeout = ndots, 0.2
        resolver.use_edns(0, 0, 1232)
        return resolver

    def answer(self, wire: bytes, protocol: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), protocol))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.answer = self._found(name, dns.rdatatype.to_text(question.rdtype))
        known = any(key.partition(" ")[0] == name for key in self.records)
        response.set_rcode(self.rcodes.get(name, dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN))
        sent = response.to_wire(max_size=65_535)
        if protocol == "udp" and len(sent) > self.udp_limit:
            response.answer = []
            response.flags |= dns.flags.TC
            sent = response.to_wire()
        return sent

    def _found(self, name: str, record_type: str) -> list[Any]:
        alias = self.records.get(f"{name} CNAME")
        if alias:
            return [dns.rrset.from_text(name, 60, "IN", "CNAME", *alias), *self._found(alias[0], record_type)]
        texts = self.records.get(f"{name} {record_type}")
        return [dns.rrset.from_text(name, 60, "IN", record_type, *texts)] if texts else []


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    names: Names


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    names: Names


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp
    request: tuple[bytes, socket.socket]

    def handle(self) -> None:
        wire, listener = self.request
        answer = self.server.names.answer(wire, "udp")
        if answer:
            listener.sendto(answer, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        (length,) = struct.unpack("!H", self.rfile.read(2))
        answer = self.server.names.answer(self.rfile.read(length), "tcp")
        if answer:
            self.wfile.write(struct.pack("!H", len(answer)) + answer)
