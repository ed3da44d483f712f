"""What `pusher doctor` says of receivers: an empty write for each status, the workspace, the clock, the address."""

from __future__ import annotations

import pytest

from lambda_remote_write_cli.doctor.endpoints import vpc_endpoint
from lambda_remote_write_cli.doctor.findings import Finding, Status
from sandbox.amp import Authorization
from sandbox.server import Fault
from tests.rig.doctor import Patient

MINUTE_MS = 60_000
# What the receiver answers, and what that proves.
STATUSES = {
    200: "ok", 204: "ok", 400: "ok",
    101: "FAIL", 301: "FAIL", 307: "FAIL", 401: "FAIL", 403: "FAIL", 404: "FAIL",
    408: "not known", 429: "not known", 500: "not known", 503: "not known",
}  # fmt: skip


def write_of(found: dict[str, Finding]) -> Finding:
    (write,) = (one for check, one in found.items() if check.startswith("write to amp (127.0.0.1:"))
    return write


def test_an_empty_signed_write_is_let_in_and_stores_nothing(patient: Patient) -> None:
    """The stand-in verifies the signature with botocore's own signer."""
    found = patient.look("write to amp")
    assert write_of(found).status is Status.OK
    (request,) = patient.receiver.requests
    assert request.status == 200
    assert patient.receiver.samples == {}


@pytest.mark.parametrize(("status", "shown"), STATUSES.items(), ids=map(str, STATUSES))
def test_what_an_answer_to_the_write_proves(patient: Patient, status: int, shown: str) -> None:
    patient.receiver.always(Fault.status(status))
    write = write_of(patient.look("write to amp"))
    assert write.status.value == shown
    assert bool(write.fix) == (shown != "ok")
    assert str(status) in write.detail


def test_no_answer_is_not_known(patient: Patient) -> None:
    patient.write(remote_write=[{"name": "amp", "url": "http://127.0.0.1:1/api/v1/write"}])
    (write,) = patient.look("write to amp").values()
    assert write.status is Status.UNKNOWN
    assert write.fix.startswith("is there a network")


def test_without_time_for_a_write_it_says_how_to_give_more(patient: Patient) -> None:
    found = patient.doctor("--timeout", "0.1")
    (write,) = (one for check, one in found.items() if check.startswith("write to amp"))
    assert (write["status"], "--timeout SECONDS waits longer" in write["fix"]) == ("not known", True)


def test_a_config_without_an_endpoint_sends_nothing(patient: Patient) -> None:
    patient.write(remote_write=[])
    (found,) = patient.look("remote_write").values()
    assert (found.status, found.fix.startswith("add one, or leave remote_write out")) == (Status.FAILED, True)


def test_a_missing_permission_names_the_statement(patient: Patient) -> None:
    patient.receiver.denied = frozenset({"aps:RemoteWrite"})
    write = write_of(patient.look("write to amp"))
    assert write.status is Status.FAILED
    assert '"Action": "aps:RemoteWrite"' in write.fix


def test_a_wrong_region_says_which_key_to_set(patient: Patient) -> None:
    endpoint = {"name": "amp", "url": patient.receiver.url, "sigv4": {"region": "eu-west-1"}}
    patient.write(remote_write=[endpoint])
    write = write_of(patient.look("write to amp"))
    assert (write.status, write.fix) == (Status.FAILED, "set sigv4.region to the region of the workspace")


@pytest.mark.parametrize(("password", "shown"), [("right", "ok"), ("wrong", "FAIL")])
def test_another_receiver_is_asked_as_its_own_keys_say(patient: Patient, password: str, shown: str) -> None:
    patient.receiver.auth = Authorization("Basic dTpyaWdodA==")  # u:right
    login = {"username": "u", "password": password}
    patient.write(remote_write=[{"name": "other", "url": patient.receiver.url, "basic_auth": login}])
    found = patient.doctor()
    (write,) = (one for check, one in found.items() if check.startswith("write to other"))
    assert write["status"] == shown
    assert patient.status == (shown == "FAIL")
    assert not {"credentials", "region", "concurrency"} & found.keys()  # nothing of it is on AWS
    assert "wrong" not in str(found)


# The clock


@pytest.mark.parametrize(
    ("ahead_ms", "shown"),
    [(0, "ok"), (30_000, "warning"), (-30_000, "warning"), (6 * MINUTE_MS, "FAIL"), (-6 * MINUTE_MS, "FAIL")],
)
def test_the_clock_is_compared_with_the_date_of_the_answer(patient: Patient, ahead_ms: int, shown: str) -> None:
    """Signatures hold for five minutes: with six the write is refused, too."""
    patient.ahead_ms = ahead_ms
    found = patient.look("write to amp")
    clock = found["clock, by 127.0.0.1"]
    assert clock.status.value == shown
    assert write_of(found).status.value == ("FAIL" if shown == "FAIL" else "ok")
    if ahead_ms:
        assert ("ahead of" if ahead_ms > 0 else "behind") in clock.detail
        assert "clock" in clock.fix


# The workspace


def test_a_workspace_of_another_account_or_region_is_not_found(patient: Patient) -> None:
    (workspace,) = patient.look("workspace amp").values()
    assert workspace.status is Status.FAILED
    assert workspace.detail == "this account has no ws-sandbox in us-east-1"
    assert "aws amp list-workspaces --region us-east-1" in workspace.fix
    assert "sigv4.role_arn" in workspace.fix


def test_a_workspace_that_is_there_shows_its_account(patient: Patient) -> None:
    made = patient.aws.client_in("amp", "us-east-1").create_workspace(alias="a")["workspaceId"]
    url = patient.receiver.url.replace("ws-sandbox", made)
    patient.write(remote_write=[{"name": "amp", "url": url, "sigv4": {"region": "us-east-1"}}])
    (workspace,) = patient.look("workspace amp").values()
    assert (workspace.status, workspace.detail) == (Status.OK, "account 123456789012, us-east-1")


def test_a_config_that_names_no_workspace_waits_for_the_stack(patient: Patient) -> None:
    patient.config.write_text("json_configs: []\n")
    assert "the stack creates one" in patient.look("workspace")["workspace"].detail
    assert not patient.look("write")


# Where the address leads


@pytest.mark.parametrize(
    ("addresses", "status", "words"),
    [
        (["10.0.1.7", "10.0.2.7"], Status.OK, "leads to 10.0.1.7, 10.0.2.7, an interface endpoint"),
        (["52.1.2.3"], Status.OK, "not applicable here"),
    ],
    ids=["in a VPC with an endpoint", "from a laptop"],
)
def test_the_host_of_amp_leads_to_an_interface_endpoint_or_not(
    addresses: list[str], status: Status, words: str
) -> None:
    found = vpc_endpoint("aps-workspaces.eu-west-1.amazonaws.com", lambda host: addresses)
    assert found.status is status
    assert words in found.detail


def test_a_host_without_an_address_is_not_known() -> None:
    def no_network(host: str) -> list[str]:
        raise OSError("Temporary failure in name resolution")

    found = vpc_endpoint("aps-workspaces.eu-west-1.amazonaws.com", no_network)
    assert found.status is Status.UNKNOWN
    assert found.fix == "is there a network, and such a region?"
