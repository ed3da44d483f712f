"""Where no request may go: link-local and metadata addresses, and by redirect this machine itself, however they are
written, with and without a proxy between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lambda_remote_write.http import ConnectionOptions, HttpRequest, Transport, TransportError
from sandbox.server import Answer
from tests.rig.scraping import Recorder, environment, scraped

pytestmark = pytest.mark.slow  # each form of an address, in every place where one may stand

METADATA = {
    "IPv4": "169.254.169.254",
    "of ECS": "169.254.170.2",
    "any other": "169.254.0.1",
    "IPv6": "[fd00:ec2::254]",
    "of EKS": "[fd00:ec2::23]",
    "link-local": "[fe80::1]",
    "with a zone": "[fe80::1%lo]",
    "mapped": "[::ffff:169.254.169.254]",
    "mapped in hex": "[::ffff:a9fe:a9fe]",
    "mapped in full": "[0:0:0:0:0:ffff:169.254.169.254]",
    "compatible": "[::169.254.169.254]",
    "translated": "[::ffff:0:169.254.169.254]",
    "NAT64": "[64:ff9b::a9fe:a9fe]",
    "local NAT64": "[64:ff9b:1::a9fe:a9fe]",
    "6to4": "[2002:a9fe:a9fe::1]",
    "Teredo": "[2001:0:1:2:3:4:5601:5601]",
    "ISATAP": "[2001:db8::5efe:169.254.169.254]",
    "decimal": "2852039166",
    "hex": "0xa9fea9fe",
    "hex in capitals": "0XA9FEA9FE",
    "hex by part": "0xa9.0xfe.0xa9.0xfe",
    "octal": "0251.0376.0251.0376",
    "three parts": "169.254.43518",
    "two parts": "169.16689662",
    "a dot at the end": "169.254.169.254.",
    "a name of it": "metadata.google.internal",
    "another name": "instance-data.ec2.internal.",
}
NAMES = ("metadata.google.internal", "instance-data.ec2.internal.")
THIS_MACHINE = {
    "IPv4": "127.0.0.1",
    "any other": "127.9.8.7",
    "IPv6": "[::1]",
    "IPv6 in full": "[0:0:0:0:0:0:0:1]",
    "zero": "0.0.0.0",
    "one number": "0",
    "network zero": "0.1.2.3",
    "unspecified": "[::]",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped in hex": "[::ffff:7f00:1]",
    "zero mapped": "[::ffff:0.0.0.0]",
    "compatible": "[::127.0.0.1]",
    "NAT64": "[64:ff9b::7f00:1]",
    "6to4": "[2002:7f00:1::]",
    "decimal": "2130706433",
    "hex": "0x7f000001",
    "octal": "0177.0.0.1",
    "short": "127.1",
    "hex by part": "0x7f.0x0.0x0.0x1",
    "a name": "localhost",
    "a name in capitals": "LocalHost",
    "a name below it": "a.localhost",
    "a dot at the end": "localhost.",
    "a dot behind the number": "127.0.0.1.",
    "a long name": "localhost.localdomain",
    "escaped": "%31%32%37.0.0.1",
}
# What not every machine's resolver knows: where it does not resolve, nothing is asked.
NOT_RESOLVED = ("169.254.169.254.", "127.0.0.1.", "localhost.localdomain", "a.localhost", "localhost.", *NAMES)
ODD = {
    "full-width digits": "\uff11\uff12\uff17.0.0.1",
    "ideographic dots": "127\u30020\u30020\u30021",
}


def error(keys: Mapping[str, Any], env_vars: Mapping[str, str] | None = None) -> str:
    """The error of one scrape of the only target."""
    with environment({"job_name": "j", "scrape_timeout": "5s", **keys}, env_vars=env_vars) as made:
        (scrape,) = scraped(made)
    return scrape.error


def at(address: str, **keys: Any) -> dict[str, Any]:
    return {"static_configs": [{"targets": [address]}], **keys}


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)], ids=["request", "tunnel"])
@pytest.mark.parametrize("host", METADATA.values(), ids=list(METADATA))
def test_a_target_there_is_refused_behind_a_proxy(host: str, scheme: str, port: int) -> None:
    with Recorder() as proxy:
        detail = error(at(f"{host}:{port}", scheme=scheme, proxy_url=f"http://{proxy.address}"))
    assert "allow_link_local" in detail
    assert proxy.requests == []


@pytest.mark.parametrize("host", [host for host in METADATA.values() if host not in NAMES])
def test_a_listed_target_there_is_refused(host: str) -> None:
    with Recorder(Answer.json([{"targets": [f"{host}:80"]}])) as lister:
        detail = error({"http_sd_configs": [{"url": f"http://{lister.address}/"}]})
    assert "allow_link_local" in detail or "does not resolve" in detail
    assert host == "169.254.169.254." or "allow_link_local" in detail


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", [*METADATA.values(), *THIS_MACHINE.values()])
def test_a_redirect_to_there_is_refused(host: str, scheme: str) -> None:
    """From another host, whose name only the proxy knows; https goes through a tunnel."""
    with Recorder() as here, Recorder(Answer(302, {"Location": f"{scheme}://{host}:{here.port}/end"})) as proxy:
        detail = error(at("target.example:80", proxy_url=f"http://{proxy.address}"))
        assert (len(proxy.requests), here.requests) == (1, [])
    assert "allow_link_local" in detail


@pytest.mark.parametrize("host", [*METADATA.values(), *THIS_MACHINE.values()])
def test_what_a_redirect_leads_to_is_refused_without_a_proxy(host: str) -> None:
    options, transport = ConnectionOptions(refuse_link_local=True, refuse_loopback=True), Transport()
    with Recorder() as here, pytest.raises(TransportError) as caught:
        transport.send(HttpRequest("GET", f"http://{host}:{here.port}/", {}), options, 5)
    assert here.requests == []
    assert caught.value.kind == "refused" or (host in NOT_RESOLVED and caught.value.kind == "dns")


@pytest.mark.parametrize("host", ODD.values(), ids=list(ODD))
def test_a_redirect_to_what_a_browser_would_read_as_it_is_refused(host: str) -> None:
    location = f"http://{host}:80/end".encode().decode("latin-1")
    with Recorder(Answer(302, {"Location": location})) as proxy:
        detail = error(at("target.example:80", proxy_url=f"http://{proxy.address}"))
        assert len(proxy.requests) == 1
    assert detail


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "localhost"])
def test_this_machine_may_redirect_to_itself(host: str) -> None:
    with Recorder() as there, Recorder(Answer(302, {"Location": f"http://{host}:{there.port}/end"})) as first:
        assert error(at(first.address)) == ""
        assert there.requests[0].path == "/end"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "localhost"])
def test_the_runtime_of_the_function_is_no_target(host: str) -> None:
    """Lambda's runtime API: a GET of its next invocation would take the event away. AWS_LAMBDA_RUNTIME_API is "The host
    and port of the runtime API" (Lambda, Using Lambda environment variables)."""
    with Recorder() as runtime:
        keys = at(f"{host}:{runtime.port}", metrics_path="/2018-06-01/runtime/invocation/next")
        detail = error(keys, {"AWS_LAMBDA_RUNTIME_API": runtime.address})
        assert runtime.requests == []
        assert "is the runtime of this function" in detail
        assert error(keys, {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}) == ""


def test_credentials_follow_the_address_that_is_asked() -> None:
    """To one parser of URLs `http://other\\@first/` is at `first`, to another at `other`."""
    with Recorder() as other, Recorder() as first:
        first.answer = Answer(302, {"Location": f"http://{other.address}\\@{first.address}/end"})
        detail = error(at(first.address, authorization={"credentials": "sesame"}))
        asked = [*first.requests[1:], *other.requests]
    assert detail or asked
    assert [request.headers["Authorization"] for request in other.requests if "Authorization" in request.headers] == []
