"""`__unix_socket__`: the path is dialled, whatever the address says; everything else of the request stays.

Rules: Prometheus 3.15 and later, scrape/scrape.go (newUnixSocketScrapeClient) and scrape/target.go (URL).
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.environment import Environment
from tests.rig.scrape import TEXT
from tests.rig.scraping import environment, scraped
from tests.rig.tls_peers import head_of, listening, make_certificates

ADDRESS = "nowhere.invalid:9100"


@contextmanager
def serving(path: str, metric: str = "a", context: ssl.SSLContext | None = None) -> Iterator[list[tuple[str, str]]]:
    """A server on a socket that answers with one sample -> request targets and Host headers. /elsewhere redirects."""
    asked: list[tuple[str, str]] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) if context else connection as made:
            while found := re.match(r"GET (\S+) .*\r\nHost: (\S+)\r\n", head_of(made), re.DOTALL):
                asked.append((found[1], found[2]))
                moved = "302 Found\r\nLocation: http://other.invalid/metrics"
                head = moved if found[1] == "/elsewhere" else f"200 OK\r\nContent-Type: {TEXT}"
                body = f"{metric} 1\n"
                made.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with listening(serve, listener):
            yield asked


def with_labels(*labels: Mapping[str, str], **keys: Any) -> AbstractContextManager[Environment]:
    """An environment whose targets have these labels beside their address."""
    groups = [{"targets": [ADDRESS], "labels": one} for one in labels]
    return environment({"job_name": "j", "static_configs": groups, **keys})


def at(path: object, **labels: str) -> dict[str, str]:
    return {"__unix_socket__": str(path), **labels}


def test_the_socket_is_dialled_and_the_rest_stays(tmp_path: Path) -> None:
    """The address, which does not resolve, is Host and instance."""
    with serving(str(tmp_path / "s")) as asked, with_labels(at(tmp_path / "s"), metrics_path="/m") as made:
        (scrape,) = scraped(made)
    assert (scrape.error, scrape.instance) == ("", ADDRESS)
    assert asked == [("/m", ADDRESS)]


def test_so_it_is_for_a_json_job(tmp_path: Path) -> None:
    """The page is a number, which is a document."""
    job = {
        "job_name": "json",
        "static_configs": [{"targets": [ADDRESS], "labels": at(tmp_path / "s")}],
        "metrics_path": "/m",
        "metrics": [{"name": "a", "value": "@"}],
    }
    with serving(str(tmp_path / "s"), metric="") as asked, environment(json_configs=[job]) as made:
        (scrape,) = scraped(made)
    assert (scrape.error, scrape.instance, scrape.records) == ("", ADDRESS, 1)
    assert asked == [("/m", ADDRESS)]


def test_relabelling_can_set_it(tmp_path: Path) -> None:
    rule = {"source_labels": ["where"], "target_label": "__unix_socket__"}
    with serving(str(tmp_path / "s")), with_labels({"where": str(tmp_path / "s")}, relabel_configs=[rule]) as made:
        (scrape,) = scraped(made)
    assert scrape.error == ""


def test_targets_of_one_address_do_not_share_connections(tmp_path: Path) -> None:
    """Each round asks each socket, on the connection that it keeps."""
    paths = [str(tmp_path / name) for name in ("first", "second")]
    with (
        serving(paths[0], "first") as first,
        serving(paths[1], "second") as second,
        with_labels(at(paths[0], n="1"), at(paths[1], n="2")) as made,
    ):
        for _ in range(3):
            assert [scrape.error for scrape in scraped(made)] == ["", ""]
    assert (len(first), len(second)) == (3, 3)


def test_a_redirect_stays_on_the_socket(tmp_path: Path) -> None:
    with serving(str(tmp_path / "s")) as asked, with_labels(at(tmp_path / "s"), metrics_path="/elsewhere") as made:
        (scrape,) = scraped(made)
    assert scrape.error == ""
    assert asked == [("/elsewhere", ADDRESS), ("/metrics", "other.invalid")]


def test_https_checks_the_name_of_the_address(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, "DNS:nowhere.invalid")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    keys = {"scheme": "https", "tls_config": {"ca_file": certificates.path("ca")}}
    with serving(str(tmp_path / "s"), context=context), with_labels(at(tmp_path / "s"), **keys) as made:
        (scrape,) = scraped(made)
    assert scrape.error == ""


def test_a_proxy_is_dialled_there_too(tmp_path: Path) -> None:
    """Go's client dials the socket for every address, that of a proxy among them: it is asked as a proxy is."""
    with serving(str(tmp_path / "s")) as asked, with_labels(at(tmp_path / "s"), proxy_url="http://p:1") as made:
        (scrape,) = scraped(made)
    assert scrape.error == ""
    assert asked == [(f"http://{ADDRESS}/metrics", ADDRESS)]


def test_an_abstract_socket(tmp_path: Path) -> None:
    name = f"pusher-{tmp_path.parent.name}-{time.time_ns()}"
    with serving(f"\0{name}"), with_labels(at(f"@{name}")) as made:
        (scrape,) = scraped(made)
    assert scrape.error == ""


@pytest.mark.parametrize("path", ["{}/none", "{}", "{}/" + 200 * "x"], ids=["missing", "a folder", "too long"])
def test_a_socket_that_is_none_is_named(tmp_path: Path, path: str) -> None:
    """The address is not asked instead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with with_labels(
            at(path.format(tmp_path), __tmp=address),
            relabel_configs=[{"source_labels": ["__tmp"], "target_label": "__address__"}],
        ) as made:
            (scrape,) = scraped(made)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert scrape.instance == address
    assert path.format(tmp_path)[:60] in scrape.error


def test_an_address_is_still_required(tmp_path: Path) -> None:
    rules = [{"target_label": "__address__", "replacement": ""}]
    with serving(str(tmp_path / "s")) as asked, with_labels(at(tmp_path / "s"), relabel_configs=rules) as made:
        assert scraped(made) == []
        assert [detail for detail in made.warnings() if "no __address__" in detail]
    assert asked == []
