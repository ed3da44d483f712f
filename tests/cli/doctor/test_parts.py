"""What `pusher doctor` says of credentials, region, secrets, sources, discovery, the spool and the stack."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.amp.models import amp_backends
from moto.cloudformation.models import cloudformation_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from lambda_remote_write_cli.doctor.aws_errors import of_reading
from lambda_remote_write_cli.doctor.command import masked
from lambda_remote_write_cli.doctor.findings import Check, Finding, Status, ok, run
from lambda_remote_write_cli.doctor.stack import concurrency
from lambda_remote_write_cli.doctor.stack_description import StackDescription
from lambda_remote_write_cli.main import main
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault
from tests.rig.doctor import REGION, Patient

SECRET = "hunter2-and-more"


def shown(found: dict[str, Finding]) -> dict[str, str]:
    return {check: one.status.value for check, one in found.items()}


# Credentials and region


def test_credentials_are_shown_with_account_and_arn(patient: Patient) -> None:
    found = patient.look("credentials")["credentials"]
    assert found.status is Status.OK
    assert re.fullmatch(rf"account {DEFAULT_ACCOUNT_ID}, arn:aws:sts::{DEFAULT_ACCOUNT_ID}:\S+", found.detail)


def test_without_credentials_it_says_where_to_get_some(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = patient.look("credentials")["credentials"]
    assert found.status is Status.FAILED
    assert found.detail == "no AWS credentials in the environment, profiles and metadata"
    assert "aws configure sso" in found.fix


@pytest.mark.parametrize(
    ("code", "words", "fix"),
    [
        ("ExpiredToken", "they have expired", "log in again"),
        ("InvalidClientTokenId", "AWS does not know them", "AWS_PROFILE=NAME"),
        ("SignatureDoesNotMatch", "the secret key is wrong", "AWS_PROFILE=NAME"),
    ],
)
def test_credentials_that_aws_refuses(patient: Patient, code: str, words: str, fix: str) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    patient.api.serve("/", Answer(403, {"Content-Type": "text/xml"}, body.encode()))
    patient.at(patient.api.url)
    found = patient.look("credentials")["credentials"]
    assert found.status is Status.FAILED
    assert words in found.detail
    assert fix in found.fix


def test_without_network_credentials_are_not_known(patient: Patient) -> None:
    patient.at("http://127.0.0.1:1")
    found = patient.look("credentials")["credentials"]
    assert found.status is Status.UNKNOWN
    assert "is there a network" in found.fix


def test_a_role_that_cannot_be_assumed_has_a_line_of_its_own(patient: Patient) -> None:
    role = "arn:aws:iam::210987654321:role/writer"
    patient.api.serve("/", Answer(403, {}, b"<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>"))
    patient.at(patient.api.url)
    patient.write(remote_write=[{"url": patient.receiver.url, "sigv4": {"region": REGION, "role_arn": role}}])
    found = patient.look("credentials of")[f"credentials of {role}"]
    assert found.status is Status.FAILED
    assert f"cannot assume {role}" in found.detail
    assert found.fix == "look at the role's trust policy"


def test_a_region_that_is_not_set(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    found = patient.look("region")["region"]
    assert (found.status, found.detail) == (Status.FAILED, "none is set")
    assert "export AWS_REGION=" in found.fix


def test_a_workspace_in_another_region(patient: Patient) -> None:
    """A url whose region is not that of sigv4 is a mistake of the config, which never starts."""
    url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    patient.write(remote_write=[{"name": "far", "url": url, "sigv4": {"region": "eu-west-1"}}])
    found = patient.look("region")["region"]
    assert found.status is Status.WARNING
    assert found.fix == "deploy beside the workspace: export AWS_REGION=eu-west-1"
    assert "far (aps-workspaces.eu-west-1.amazonaws.com, ws-1)" in found.detail


# Secrets


@pytest.mark.slow
def test_each_reference_has_its_line_and_no_secret_is_printed(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.aws.client_in("secretsmanager", REGION).create_secret(Name="api", SecretString=json.dumps({"a": SECRET}))
    patient.aws.client_in("ssm", REGION).put_parameter(Name="/api/key", Value=SECRET, Type="SecureString")
    monkeypatch.setenv("API_USER", SECRET)
    references = ["secretsmanager:api#a", "secretsmanager:api#b", "secretsmanager:none", "ssm:/api/key", "ssm:/none",
                  "env:API_USER", "env:NONE"]  # fmt: skip
    patient.api.serve("/", Answer(401, {}, f"no such user: {SECRET}".encode()))
    job = {"url": f"{patient.api.url}/", "metrics": [{"name": "m", "value": "v"}]}
    jobs = [
        job | {"job_name": str(index), "authorization": {"credentials_ref": one}}
        for index, one in enumerate(references)
    ]
    patient.write(json_configs=jobs)
    assert shown(patient.look("secret ")) == {
        "secret secretsmanager:api#a": "ok",
        "secret secretsmanager:api#b": "FAIL",
        "secret secretsmanager:none": "FAIL",
        "secret ssm:/api/key": "ok",
        "secret ssm:/none": "FAIL",
        "secret env:API_USER": "ok",
        "secret env:NONE": "FAIL",
    }
    fixes = {check: one.fix for check, one in patient.look("secret ").items() if one.fix}
    assert fixes["secret secretsmanager:api#b"] == "name one of its keys behind the #"
    assert fixes["secret secretsmanager:none"] == f"create it in {REGION}, or correct its name or the region"
    text = patient.text()
    assert "it does not take our credentials" in text
    assert SECRET not in text
    assert patient.status == 1


@pytest.mark.parametrize(
    ("reference", "code", "fix"),
    [
        ("secretsmanager:api", "AccessDeniedException", "SecretArns"),
        ("ssm:/api", "AccessDeniedException", "SsmParameterArns"),
        ("secretsmanager:api", "Access to KMS is not allowed", "KmsKeyArn"),
    ],
)
def test_a_secret_that_may_not_be_read(patient: Patient, reference: str, code: str, fix: str) -> None:
    job = {"job_name": "j", "url": "http://127.0.0.1:1/", "metrics": [{"name": "m", "value": "v"}]}
    patient.write(json_configs=[job | {"authorization": {"credentials_ref": reference}}])
    patient.aws.refusal = (400, code)
    found = patient.look("secret ")[f"secret {reference}"]
    assert found.status is Status.FAILED
    assert fix in found.fix


# Sources and discovery


def test_sources_are_asked_once_and_counted(patient: Patient) -> None:
    job = {"job_name": "usage", "url": f"{patient.api.url}/usage", "metrics": [
        {"name": "n", "records": "[]", "value": "apiRequestCount", "labels": {"p": "projectCode"}}]}  # fmt: skip
    renamed = {"name": "g", "records": "[]", "value": "gone"}  # beside a metric that is well: the target is up
    failing = job | {"job_name": "renamed", "metrics": [*job["metrics"], renamed]}
    down = job | {"job_name": "down", "url": "http://127.0.0.1:1/"}
    patient.write(json_configs=[job, failing, down])
    found = patient.look("sources")
    assert shown(found) == {"source usage": "ok", "source renamed": "FAIL", "source down": "FAIL"}
    assert found["source usage"].detail == "8 samples of 1 target, up and its companions among them"
    assert "gone" in found["source renamed"].detail
    assert found["source down"].fix == f"pusher plan {patient.config} --job down shows more"
    assert len(patient.api.requests) == 2
    assert patient.receiver.requests == []


def test_of_many_targets_some_are_asked(patient: Patient) -> None:
    host = patient.api.url.removeprefix("http://")
    patient.api.serve("/metrics", Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"a 1\n"))
    groups = [{"targets": [host], "labels": {"n": str(n)}} for n in range(9)]
    jobs = [
        {"job_name": "many", "static_configs": groups},
        {"job_name": "some", "static_configs": [{"targets": [host, "127.0.0.1:1"]}]},
    ]
    patient.write(scrape_configs=jobs)
    found = patient.look("sources")
    assert found["source many"].detail == "30 samples of 5 of 9 targets, up and its companions among them"
    assert len(patient.api.requests) == 6
    some = found["source some"]
    assert some.status is Status.WARNING
    assert some.detail.startswith("1 of 2 targets that were asked are down: ")


def test_discovery_shows_how_many_targets_or_what_is_missing(patient: Patient, tmp_path: Path) -> None:
    listed = tmp_path / "targets.json"
    listed.write_text(json.dumps([{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]))
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    drop = [{"action": "drop", "regex": ".*"}]
    jobs = [
        {"job_name": "listed", "file_sd_configs": [{"files": [str(listed)]}]},
        {"job_name": "empty", "file_sd_configs": [{"files": [str(empty)]}]},
        {"job_name": "dropped", "file_sd_configs": [{"files": [str(listed)]}], "relabel_configs": drop},
        {"job_name": "unknown", "http_sd_configs": [{"url": "http://127.0.0.1:1/"}]},
        {"job_name": "instances", "ec2_sd_configs": [{"region": REGION}]},
    ]
    patient.write(scrape_configs=jobs)
    found = {check: one for check, one in patient.look("sources").items() if check.startswith("discovery")}
    assert shown(found) == {
        "discovery listed": "ok",
        "discovery empty": "warning",
        "discovery dropped": "warning",
        "discovery unknown": "FAIL",
        "discovery instances": "warning",
    }
    assert found["discovery listed"].detail == "2 targets found, 2 to scrape"
    assert found["discovery empty"].detail == "it finds no targets"
    assert found["discovery dropped"].detail == "it finds 2 targets, and none is scraped"


# The spool


@pytest.fixture
def bucket(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> Any:
    with ObjectStore() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.base_url)
        monkeypatch.setenv("PUSHER_SPOOL", "s3://spool")
        yield store


def test_the_spool_takes_gives_lists_and_deletes_an_object(bucket: ObjectStore, patient: Patient) -> None:
    found = patient.look("spool")["spool s3://spool"]
    assert (found.status, found.detail) == (Status.OK, "an object was written, read, listed and deleted")
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("operation", "step", "allowance"),
    [("put", "written", "s3:PutObject"), ("get", "read", "s3:GetObject"), ("list", "listed", "s3:ListBucket"),
     ("delete", "deleted", "s3:DeleteObject")],
)  # fmt: skip
def test_a_missing_permission_of_the_spool(
    bucket: ObjectStore, patient: Patient, operation: str, step: str, allowance: str
) -> None:
    """What cannot be deleted again is named, and is no entry of any run."""
    bucket.always(operation, Fault.status(403))
    found = patient.look("spool")["spool s3://spool"]
    assert found.status is Status.FAILED
    assert found.detail.startswith(f"an object cannot be {step}: ")
    assert allowance in found.detail
    assert len(bucket.objects) == (operation == "delete")
    for key in bucket.objects:
        assert re.fullmatch(r"state/doctor-[0-9a-f]{8}", key)
        assert key in found.fix


def test_a_bucket_that_does_not_exist(bucket: ObjectStore, patient: Patient) -> None:
    patient.write(spool={"location": "s3://another"})
    found = patient.look("spool")["spool s3://another"]
    assert found.status is Status.FAILED
    assert "there is no such bucket" in found.detail


def test_a_folder_is_a_spool_too(patient: Patient, tmp_path: Path) -> None:
    patient.write(spool={"location": str(tmp_path / "kept")})
    assert patient.look("spool")[f"spool {tmp_path / 'kept'}"].status is Status.OK
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file() and path.name != ".lock"] == []


# The stack


def deployed(patient: Patient, **variables: str) -> None:
    """A stack in moto, with the scheduled function that its output names."""
    iam = patient.aws.client_in("iam", REGION)
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))["Role"]["Arn"]
    patient.aws.client_in("lambda", REGION).create_function(
        FunctionName="f", Runtime="python3.13", Handler="a.b", Role=role, Timeout=50,
        Code={"ImageUri": f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/a:b"}, PackageType="Image",
        Environment={"Variables": variables},
    )  # fmt: skip
    body = {
        "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"PusherFunctionName": {"Value": "f"}},
    }
    patient.aws.client_in("cloudformation", REGION).create_stack(StackName="metrics", TemplateBody=json.dumps(body))


def test_cloudformation_is_asked_for_the_state(patient: Patient) -> None:
    deployed(patient)
    (stack,) = cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION].stacks.values()
    stack.status = "ROLLBACK_COMPLETE"
    assert patient.look("stack", "--stack", "metrics")["stack metrics"].status is Status.FAILED


@pytest.mark.parametrize(
    ("status", "result", "words"),
    [
        ("CREATE_COMPLETE", "ok", ""),
        ("UPDATE_COMPLETE", "ok", ""),
        ("ROLLBACK_COMPLETE", "FAIL", "delete it (sam delete --stack-name metrics)"),
        ("UPDATE_ROLLBACK_FAILED", "FAIL", "continue-update-rollback --stack-name metrics"),
        ("UPDATE_IN_PROGRESS", "FAIL", "wait for its end"),
        ("REVIEW_IN_PROGRESS", "warning", "deploy again"),
        ("UPDATE_ROLLBACK_COMPLETE", "warning", "describe-stack-events --stack-name metrics"),
    ],
)
def test_the_state_of_a_stack(patient: Patient, status: str, result: str, words: str) -> None:
    found = patient.look("stack", facts=StackDescription("metrics", status))["stack metrics"]
    assert found.status.value == result
    assert status in found.detail
    assert words in found.fix


def test_a_stack_that_does_not_exist_yet_is_no_failure(patient: Patient) -> None:
    found = patient.look("stack", "--stack", "none")["stack none"]
    assert (found.status, found.detail) == (Status.OK, "there is none of this name yet: a deployment creates it")


def test_the_function_says_which_workspace_config_and_interval(patient: Patient) -> None:
    """Its workspace takes the place of one that the config does not name; the write goes there."""
    deployed(patient, PUSHER_WORKSPACE="ws-of-stack", PUSHER_TICK="5m", PUSHER_CONFIG="s3://configs/a.yaml")
    job = {"job_name": "fast", "url": "http://127.0.0.1:1/", "scrape_interval": "1m", "metrics": [
        {"name": "m", "value": "v"}]}  # fmt: skip
    patient.config.write_text(json.dumps({"json_configs": [job]}))
    assert [one for one in patient.look("workspace", "--stack", "metrics") if "ws-of-stack" in one]
    found = patient.look("stack", "--stack", "metrics")
    assert found["function's config"].detail == f"it reads s3://configs/a.yaml, not {patient.config}"
    assert found["interval"].detail == "fast: scrape_interval is shorter than its Interval, 5m"


@pytest.mark.parametrize(
    ("every", "unreserved", "parameters", "status"),
    [
        (1000, 1000, {}, "ok"),
        (10, 10, {}, "warning"),
        (10, 10, {"Shards": "12"}, "FAIL"),
        (50, 50, {"ReservedConcurrency": "shards", "Shards": "1"}, "FAIL"),
        (1000, 900, {"ReservedConcurrency": "shards", "Shards": "4"}, "ok"),
        (1000, 0, {}, "FAIL"),
    ],
    ids=["usual", "a new account", "more shards than that", "too few to reserve", "enough to reserve", "all reserved"],
)
def test_the_account_s_concurrency(every: int, unreserved: int, parameters: dict[str, str], status: str) -> None:
    limit = {"ConcurrentExecutions": every, "UnreservedConcurrentExecutions": unreserved}
    found = concurrency(limit, parameters)
    assert found.status.value == status
    assert ("request-service-quota-increase" in found.fix) == (status != "ok")


def test_a_function_in_a_vpc_needs_an_endpoint_or_a_gateway(patient: Patient) -> None:
    ec2 = patient.aws.client_in("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    inside = {"VpcConfig": {"VpcId": vpc, "SubnetIds": ["subnet-1"]}}
    facts = StackDescription("metrics", "CREATE_COMPLETE", function=inside)
    found = patient.look("VPC", facts=facts)["VPC endpoint"]
    assert found.status is Status.WARNING
    assert "is there a NAT gateway?" in found.fix
    service = f"com.amazonaws.{REGION}.aps-workspaces"
    made = {"VpcId": vpc, "ServiceName": service, "VpcEndpointType": "Interface"}
    ec2.create_vpc_endpoint(**made, PrivateDnsEnabled=False)
    found = patient.look("VPC", facts=facts)["VPC endpoint"]
    assert found.status is Status.FAILED
    assert "enable private DNS names" in found.fix
    right = ec2.create_vpc_endpoint(**made, PrivateDnsEnabled=True)["VpcEndpoint"]["VpcEndpointId"]
    assert right
    assert patient.look("VPC", facts=facts)["VPC endpoint"].status is Status.OK


def test_targets_at_private_addresses_are_out_of_reach_from_here(patient: Patient) -> None:
    """Only a failure to connect: an answer, even a bad one, is an answer. Here a proxy keeps the packets at home."""
    job = {"job_name": "node", "static_configs": [{"targets": ["10.0.1.10:9100"]}], "proxy_url": "http://127.0.0.1:1"}
    patient.write(scrape_configs=[job])
    found = patient.look("sources")["source node"]
    assert found.status is Status.WARNING
    assert '{"action": "plan"}' in found.fix


# All of it


def test_checks_run_side_by_side_and_one_that_fails_or_hangs_stops_no_other() -> None:
    def breaks(deadline: float) -> list[Finding]:
        raise RuntimeError("broken")

    def hangs(deadline: float) -> list[Finding]:
        time.sleep(30)
        return []

    checks = [Check("a", breaks), Check("b", hangs), Check("c", lambda deadline: [ok("c", "well")])]
    found = {one.check: one for one in run(checks, time.monotonic() + 0.2)}
    assert shown(found) == {"a": "not known", "b": "not known", "c": "ok"}
    assert found["a"].detail == "RuntimeError: broken"
    assert "--timeout" in found["b"].fix


@pytest.mark.slow
def test_a_world_in_order_is_a_good_line_for_each_check(patient: Patient) -> None:
    deployed(patient, PUSHER_WORKSPACE="ws-sandbox", PUSHER_TICK="1m")
    made = patient.aws.client_in("amp", REGION).create_workspace(alias="a")["workspaceId"]
    workspaces = amp_backends[DEFAULT_ACCOUNT_ID][REGION].workspaces
    workspaces["ws-sandbox"] = workspaces[made]
    patient.aws.client_in("ssm", REGION).put_parameter(Name="/key", Value=SECRET, Type="SecureString")
    with ObjectStore() as store:
        patient.monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.base_url)
        job = {"job_name": "usage", "url": f"{patient.api.url}/usage", "metrics": [
            {"name": "n", "records": "[]", "value": "apiRequestCount", "labels": {"p": "projectCode"}}]}  # fmt: skip
        patient.write(
            json_configs=[job | {"authorization": {"credentials_ref": "ssm:/key"}}], spool={"location": "s3://spool"}
        )
        lines = patient.text("--stack", "metrics").splitlines()
    assert patient.status == 0
    assert [re.split(r"[:(]", line[11:])[0].strip() for line in lines] == [
        "credentials", "region", "workspace amp", "write to amp", "clock, by 127.0.0.1", "secret ssm", "source usage",
        "spool s3", "concurrency", "stack metrics",
    ]  # fmt: skip
    assert {line[:11].strip() for line in lines} == {"ok"}


def test_without_network_every_line_says_what_to_do(patient: Patient) -> None:
    patient.at("http://127.0.0.1:1")
    patient.write(remote_write=[{"name": "amp", "url": "http://127.0.0.1:1/w", "sigv4": {"region": REGION}}])
    found = patient.doctor("--stack", "metrics")
    lost = {check: one for check, one in found.items() if one["status"] != "ok"}
    assert set(lost) == {"credentials", "write to amp (127.0.0.1:1)", "concurrency", "stack metrics"}
    assert {one["status"] for one in lost.values()} == {"not known"}
    assert all("network" in one["fix"] for one in lost.values())
    assert patient.status == 1


def test_what_only_doctor_asks_may_be_forbidden(patient: Patient) -> None:
    patient.aws.limit = None
    found = patient.look("concurrency")["concurrency"]
    assert (found.status, found.fix) == (Status.WARNING, "allow lambda:GetAccountSettings, for doctor alone")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"])
def test_what_bad_credentials_hide_is_not_known_and_their_own_check_says_what_to_do(code: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "GetAccountSettings")
    found = of_reading("concurrency", error, "lambda:GetAccountSettings")
    assert (found.status, found.fix) == (Status.UNKNOWN, "")
    assert found.detail == "it cannot be looked at without valid credentials"


def test_what_a_finding_quotes_is_masked(patient: Patient) -> None:
    examination = patient.examination()
    examination.dependencies.secrets.mask.add(SECRET)
    (found,) = masked([Finding(f"a {SECRET}", Status.FAILED, f"b {SECRET}", f"c {SECRET}")], examination)
    assert SECRET not in str(found)


def test_a_bad_config_exits_2(patient: Patient) -> None:
    patient.config.write_text("json_configs: 1\n")
    assert patient.text() == ""
    assert patient.status == 2


# What a machine may hold


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("AWS_ENDPOINT_URL", "nonsense", "Invalid endpoint"), ("AWS_REGION", "eu west/1", "InvalidRegionError")],
)
def test_an_environment_that_boto3_refuses_says_which_variables(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    found = patient.look("credentials")["credentials"]
    assert (found.status, said in found.detail) == (Status.UNKNOWN, True)
    assert found.fix == "are AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL right?"


def test_an_error_that_doctor_does_not_know_says_what_to_do() -> None:
    error = ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "DescribeStacks")
    assert of_reading("stack s", error, "cloudformation:DescribeStacks").fix.startswith("run doctor again")

    def breaks(_: float) -> list[Finding]:
        raise KeyError("workspace")

    (found,) = run([Check("odd", breaks)], time.monotonic() + 5)
    assert (found.status, found.fix.startswith("run doctor again")) == (Status.UNKNOWN, True)


@pytest.mark.parametrize("location", ["file", "nul\0"], ids=["a file", "a name that none can have"])
def test_a_spool_that_is_no_folder_is_no_question_of_buckets(patient: Patient, tmp_path: Path, location: str) -> None:
    (tmp_path / "file").write_text("")
    patient.write(spool={"location": str(tmp_path / location)})
    (found,) = patient.look("spool").values()
    assert (found.status, found.fix.startswith("may you write into this folder")) == (Status.FAILED, True)


@pytest.mark.parametrize("command", ["doctor", "iam"])
def test_a_stack_whose_name_cannot_be_is_bad_usage(
    command: str, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    """In `iam` it would become a part of ARNs."""
    with pytest.raises(SystemExit) as ended:
        main([command, str(patient.config), "--stack", "a b;*"])
    assert (ended.value.code, "letters, digits and hyphens" in capsys.readouterr().err) == (2, True)
