"""Whose credentials there are, and in which region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lambda_remote_write.aws.credentials import CredentialsError
from lambda_remote_write.config.schema import SigV4
from lambda_remote_write.config.sd_configs import AwsSd

from ..iam.needs import workspace_of
from ..stack_config import is_of_stack
from .aws_errors import GIVE_KEYS, LOG_IN, of_credentials
from .examination import Examination
from .findings import Check, Finding, failed, ok, warning

_ANY_REGION = "us-east-1"  # where STS can be asked when no region is set


def checks(examination: Examination) -> list[Check]:
    if not examination.is_on_aws:
        return []
    region = Check("region", lambda _: list(_region(examination)))
    return [*(_credentials(who, sigv4, examination) for sigv4, who in _identities(examination).items()), region]


def _identities(examination: Examination) -> dict[SigV4, str]:
    """All that the config asks as: the environment's own first, then keys, profiles and roles of the config."""
    config, found = examination.config, {SigV4(examination.region or _ANY_REGION, service=""): "credentials"}
    signed = [one.sigv4 for one in config.endpoints] + [one.sigv4 for one in config.servers]
    signed += [job.http.sigv4 for job in config.jobs]
    for job in config.jobs:
        for one in job.discovery:
            if isinstance(one, AwsSd):
                who = one.access_key, one.secret_key, one.profile, one.role_arn, one.external_id
                signed.append(SigV4(one.region, *who))
    for sigv4 in signed:
        if sigv4 and (sigv4.role_arn or sigv4.access_key or sigv4.profile):
            name = sigv4.role_arn or (f"profile {sigv4.profile}" if sigv4.profile else "sigv4's access_key")
            found.setdefault(replace(sigv4, service=""), f"credentials of {name}")
    return found


def _credentials(who: str, sigv4: SigV4, examination: Examination) -> Check:
    return Check(who, lambda _: [_caller(who, sigv4, examination)])


def _caller(who: str, sigv4: SigV4, examination: Examination) -> Finding:
    try:
        keys = examination.credentials(sigv4)
    except CredentialsError as error:
        fix = "look at the role's trust policy" if sigv4.role_arn else f"{GIVE_KEYS}; an ended session: {LOG_IN}"
        return failed(who, str(error), fix)
    try:
        caller = examination.client("sts", sigv4.region, keys).get_caller_identity()
    except Exception as error:  # botocore's errors are made at run time
        return of_credentials(who, error)
    return ok(who, f"account {caller['Account']}, {caller['Arn']}")


def _region(examination: Examination) -> Iterator[Finding]:
    if not examination.region:
        yield failed("region", "none is set", "set that of the stack and its workspace: export AWS_REGION=eu-west-1")
        return
    others = False
    for endpoint in examination.config.endpoints:
        found = workspace_of(endpoint)
        if not found or is_of_stack(endpoint):
            continue
        if found[0] != examination.region:
            others = True
            detail = f"{endpoint.shown_name} is in {found[0]}, and the region here is {examination.region}"
            yield warning("region", detail, f"deploy beside the workspace: export AWS_REGION={found[0]}")
    if not others:
        yield ok("region", examination.region)
