"""Each secret that the config names by reference or by file: can it be read?"""

from __future__ import annotations

from lambda_remote_write.config.secrets import Secret, SecretError

from ..iam.needs import references
from .examination import Examination
from .findings import Check, Finding, failed, ok, unknown

_UNREACHED = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError")
_ALLOW = {
    "secretsmanager": "allow secretsmanager:GetSecretValue: for the functions by SecretArns (pusher iam prints it)",
    "ssm": "allow ssm:GetParameter: for the functions by SsmParameterArns (pusher iam prints it)",
    "env": "set it here; in a Lambda use secretsmanager: or ssm:, which the template can allow",
    "file": "the path is that of the machine that runs it: a Lambda has only what its package holds",
}


def checks(examination: Examination) -> list[Check]:
    return [_of(one, examination) for one in dict.fromkeys(references(examination.config))]


def _of(reference: str, examination: Examination) -> Check:
    check = f"secret {reference}"
    return Check(check, lambda _: [_read(check, reference, examination)])


def _read(check: str, reference: str, examination: Examination) -> Finding:
    scheme, _, name = reference.partition(":")
    secret = Secret(file=name) if scheme == "file" else Secret(reference=reference)
    try:
        text = examination.dependencies.secrets.reveal(secret)
    except SecretError as error:
        detail = str(error).removeprefix(f"{reference}: ")
        if any(one in detail for one in _UNREACHED):
            return unknown(check, detail, "is there a network, and the right region?")
        return failed(check, detail, _fix(scheme, detail, examination))
    return ok(check, "it can be read") if text else failed(check, "it is empty", "give it a value")


def _fix(scheme: str, detail: str, examination: Examination) -> str:
    if "no JSON key" in detail:
        return "name one of its keys behind the #"
    if "NotFound" in detail:
        return f"create it in {examination.region}, or correct its name or the region"
    if "kms" in detail.lower():
        return "allow kms:Decrypt with its key: for the functions by KmsKeyArn (pusher iam --kms-key ARN prints it)"
    return _ALLOW[scheme]
