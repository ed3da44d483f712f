"""What `--web.listen-address` may be, and what is said of an address that cannot be listened at."""

from __future__ import annotations

import argparse
import json
import re
import socket
from pathlib import Path

import pytest

from lambda_remote_write_cli.run.web.listen import NotListening, listen, listen_address
from tests.rig import compliance as rig
from tests.rig.command_line import pusher

OPERATIONS = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param(":9091", "", 9091, id="a port"),
        pytest.param("0.0.0.0:9091", "0.0.0.0", 9091, id="every address"),
        pytest.param("pusher.example.com:80", "pusher.example.com", 80, id="a name"),
        pytest.param("[::1]:9091", "::1", 9091, id="IPv6"),
        pytest.param("localhost:0", "localhost", 0, id="any port"),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    found = listen_address(text)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["9091", "localhost", "::1:9091", "http://h:9091", "h:9091/", "h:65536", "h:x", "*:9091", "", ":"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"write :9091, host:9091 or \[::1\]:9091"):
        listen_address(text)


@pytest.mark.parametrize(
    ("text", "place"), [(":0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), ("127.0.0.2:0", "127.0.0.2")]
)
def test_without_an_address_it_is_loopback(text: str, place: str) -> None:
    with listen(listen_address(text)) as listener:
        assert listener.getsockname()[0] in (place, "::1" if "localhost" in text else place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("192.0.2.1:9091", "no address of the machine", id="another machine's address"),
        pytest.param("no-such-host.invalid:9091", "does not resolve", id="a name that does not resolve"),
        pytest.param(f"{'a' * 70}.example:9091", "does not resolve", id="no name at all"),
    ],
)
def test_addresses_that_are_not_here(text: str, words: str) -> None:
    with pytest.raises(NotListening, match=words):
        listen(listen_address(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(
            ["--web.listen-address=TAKEN"], ["another process listens there", "--web.listen-address"], id="taken"
        ),
        pytest.param(["--web.listen-address=9091"], ["write :9091"], id="no address"),
        pytest.param(["--web.listen-address=no-such-host.invalid:1"], ["does not resolve", "IP address"], id="no host"),
        pytest.param(["--web.enable-lifecycle"], ["--web.listen-address"], id="lifecycle without an address"),
        pytest.param(["--web.allowed-host=a"], ["--web.listen-address"], id="a name without an address"),
    ],
)
def test_a_process_that_cannot_listen_ends_before_it_scrapes(
    tmp_path: Path, flags: list[str], words: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, rig.Pages({"/metrics": (b"m 1\n", rig.TEXT)}) as pages:
        config = rig.config([rig.endpoint(f"http://{pages.target}/w")], [rig.job(pages.target)])
        (tmp_path / "pusher.yaml").write_text(json.dumps(config))
        address = f":{taken.getsockname()[1]}"
        done = pusher("run", tmp_path / "pusher.yaml", *(flag.replace("TAKEN", address) for flag in flags))
        assert pages.asked("/metrics") == 0
    assert (done.returncode, done.stdout) == (2, "")
    sentence = done.stderr.splitlines()[-1]
    assert all(word in sentence for word in words)


@pytest.mark.slow
def test_the_help_and_the_docs_have_the_same_flags() -> None:
    helps = pusher("run", "--help").stdout
    section = OPERATIONS.partition("## As a process")[2].partition("\n## ")[0]
    flags = re.findall(r"^\| `(--web\.[a-z-]+)[=`]", section, re.M)
    assert flags == ["--web.listen-address", "--web.enable-lifecycle", "--web.allowed-host"]
    assert sorted(set(re.findall(r"--web\.[a-z-]+", helps))) == sorted(flags)
