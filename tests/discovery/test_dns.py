"""Targets from DNS, asked of a real server over UDP and TCP."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import dns.rcode
import pytest

from lambda_remote_write.discovery.dns import system_resolver
from tests.rig.discovery import Rig, addresses
from tests.rig.dns_names import Names, Records

RECORDS: Records = {
    "web.example.com. A": ["10.0.0.1", "10.0.0.2"],
    "web.example.com. AAAA": ["2001:db8::1"],
    "_metrics._tcp.example.com. SRV": ["10 5 9100 one.example.com.", "20 5 9200 two.example.com."],
    "example.com. MX": ["10 mail.example.com."],
    "example.com. NS": ["ns1.example.com."],
    "alias.example.com. CNAME": ["web.example.com."],
    "many.example.com. A": [f"10.1.{high}.{low}" for high in range(4) for low in range(64)],
}


@pytest.fixture
def names() -> Iterator[Names]:
    with Names(dict(RECORDS)) as served:
        yield served


@pytest.fixture
def rig(names: Names, make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(resolver=names.resolver)


SRV, MX, NS = "__meta_dns_srv_record_", "__meta_dns_mx_record_target", "__meta_dns_ns_record_target"
SERVICES = [
    {"__address__": "one.example.com:9100", f"{SRV}target": "one.example.com.", f"{SRV}port": "9100"},
    {"__address__": "two.example.com:9200", f"{SRV}target": "two.example.com.", f"{SRV}port": "9200"},
]
NAME_SERVER = {"__address__": "ns1.example.com:53", NS: "ns1.example.com."}
MAIL = {"__address__": "mail.example.com:25", MX: "mail.example.com."}
IPV4 = [{"__address__": "10.0.0.1:80"}, {"__address__": "10.0.0.2:80"}]
IPV6 = [{"__address__": "[2001:db8::1]:80"}]
TYPES = {
    "SRV": ("names: [_metrics._tcp.example.com]", SERVICES),
    "A": ("names: [web.example.com], type: A, port: 80", IPV4),
    "AAAA": ("names: [web.example.com], type: AAAA, port: 80", IPV6),
    "MX": ("names: [example.com], type: MX, port: 25", [MAIL]),
    "NS": ("names: [example.com], type: NS, port: 53", [NAME_SERVER]),
    "lower-case": ("names: [example.com], type: ns, port: 53", [NAME_SERVER]),
    "rooted": ("names: [example.com.], type: NS, port: 53", [NAME_SERVER]),
    "alias": ("names: [alias.example.com], type: AAAA, port: 80", IPV6),
    "no-records": ("names: [web.example.com], type: MX, port: 80", []),
    "no-name": ("names: [nobody.example.com]", []),
}


@pytest.mark.parametrize(("keys", "expected"), TYPES.values(), ids=TYPES)
def test_record_types(rig: Rig, keys: str, expected: list[dict[str, str]]) -> None:
    """Each record is a target with its labels; the name is the one of the config."""
    name = keys.partition("[")[2].partition("]")[0]
    targets = rig.targets(f"dns_sd_configs: [{{{keys}}}]")
    assert sorted(targets, key=str) == [{**target, "__meta_dns_name": name} for target in expected]


def test_long_answers(rig: Rig, names: Names) -> None:
    """What does not fit into a packet comes over TCP."""
    found = rig.found("dns_sd_configs: [{names: [many.example.com], type: A, port: 9100}]")
    assert len(addresses(found)) == 256
    assert [protocol for _, _, protocol in names.asked] == ["udp", "tcp"]


SEARCHED = {
    "one-word": ("web", None, ["web.lab.example.", "web.example.com."]),
    "with-dots": ("web.example", None, ["web.example.", "web.example.lab.example.", "web.example.example.com."]),
    "many-dots-wanted": ("a.b", 2, ["a.b.lab.example.", "a.b.example.com.", "a.b."]),
    "no-dots-wanted": ("web", 0, ["web.", "web.lab.example.", "web.example.com."]),
    "rooted": ("web.", None, ["web."]),
}


@pytest.mark.parametrize(("name", "ndots", "asked"), SEARCHED.values(), ids=SEARCHED)
def test_search_domains(
    names: Names, make_rig: Callable[..., Rig], name: str, ndots: int | None, asked: list[str]
) -> None:
    """A name with enough dots is asked for as it is first, another with the search domains first; the first that
    exists counts."""
    rig = make_rig(resolver=lambda: names.resolver(["lab.example.", ".", "example.com"], ndots))
    found = rig.found(f"dns_sd_configs: [{{names: [{name}], type: A, port: 80}}]")
    assert [one for one, _, _ in names.asked] == asked
    assert found.warnings == []
    assert len(addresses(found)) == (2 if asked[-1] == "web.example.com." else 0)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED], ids=dns.rcode.to_text)
def test_a_failing_server(rig: Rig, names: Names, rcode: dns.rcode.Rcode) -> None:
    """A name that could not be asked for keeps its last targets, and the other names are as they are now."""
    discovery = rig.discovery("dns_sd_configs: [{names: [web.example.com, alias.example.com], type: A, port: 80}]")
    discovery.targets(rig.deadline())
    names.rcodes["web.example.com."] = rcode
    names.records["alias.example.com. CNAME"] = ["many.example.com."]
    rig.clock.ahead += 30
    found = discovery.targets(rig.deadline())
    assert len(addresses(found)) == 2 + 256
    (warning,) = found.warnings
    assert warning.startswith("dns_sd_configs: web.example.com: no answer to A (NoNameservers")
    assert warning.endswith("the list of 30s ago stays in use (2 targets)")


def test_a_failing_search_domain(names: Names, make_rig: Callable[..., Rig]) -> None:
    """A later candidate may still answer; when none does, nothing is known, which is not the same as no records."""
    rig = make_rig(resolver=lambda: names.resolver(["lab.example", "example.com"]))
    names.rcodes["web.lab.example."] = dns.rcode.SERVFAIL
    assert len(addresses(rig.found("dns_sd_configs: [{names: [web], type: A, port: 80}]"))) == 2
    names.rcodes["other.lab.example."] = dns.rcode.SERVFAIL
    (warning,) = rig.found("dns_sd_configs: [{names: [other], type: A, port: 80}]").warnings
    assert warning.endswith("no targets are known")


def test_the_next_server_is_asked(names: Names, make_rig: Callable[..., Rig]) -> None:
    """After a server that does not answer."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dead:
        dead.bind(("127.0.0.1", 0))
        rig = make_rig(resolver=lambda: names.resolver(others=[dead.getsockname()[1]]))
        found = rig.found("dns_sd_configs: [{names: [web.example.com], type: A, port: 80}]")
    assert (len(addresses(found)), found.warnings) == (2, [])


def test_a_silent_server(rig: Rig, names: Names) -> None:
    """The deadline holds, and a name that answers is not held up by one that does not."""
    names.silent.add("web.example.com.")
    discovery = rig.discovery("dns_sd_configs: [{names: [web.example.com, many.example.com], type: A, port: 80}]")
    started = time.monotonic()
    found = discovery.targets(rig.deadline(0.6))
    assert time.monotonic() - started < 4
    assert len(addresses(found)) == 256
    assert "web.example.com: no answer" in found.warnings[0]


def test_the_system_resolver(tmp_path: object) -> None:
    """It asks for large packets and takes the servers of this system."""
    resolver = system_resolver()
    assert resolver.nameservers
    assert (resolver.edns, resolver.payload) == (0, 1232)
