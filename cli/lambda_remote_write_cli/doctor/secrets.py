"""Each secret that the config names by reference or by file: can it be read?"""

from __future__ import annotations

from lambda_remote_write.config.secrets import Secret, SecretError

from ..iam.needs import references
from .findings import Check, Finding, failed, ok, unknown
from .subject import Subject

_UNREACHED = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError")
_ALLOW = {
    "secretsmanager": "allow secretsmanager:GetSecretValue: for the functions by SecretArns (pusher iam prints it)",
    "ssm": "allow ssm:GetParameter: for the functions by SsmParameterArns (pusher iam prints it)",
    "env": "set it here; in a Lambda use secretsmanager: or ssm:, which the template can allow",
    "file": "the path is that of the machine that runs it: a Lambda has only what its package holds",
}


def checks(subject: Subject) -> list[Check]:
    return [_of(one, subject) for one in dict.fromkeys(references(subject.config))]


def _of(reference: str, subject: Subject) -> Check:
    check = f"secret {reference}"
    return Check(check, lambda _: [_read(check, reference, subject)])


def _read(check: str, reference: str, subject: Subject) -> Finding:
    scheme, _, name = reference.partition(":")
    secret = Secret(file=name) if scheme == "file" else Secret(reference=reference)
    try:
        text = subject.dependencies.secrets.reveal(secret)
    except SecretError as error:
        detail = str(error).removeprefix(f"{reference}: ")
        if any(one in detail for one in _UNREACHED):
            return unknown(check, detail, "is there a network, and the right region?")
        return failed(check, detail, _fix(scheme, detail, subject))
    return ok(check, "it can be read") if text else failed(check, "it is empty", "give it a value")


def _fix(scheme: str, detail: str, subject: Subject) -> str:
    if "no JSON key" in detail:
        return "name one of its keys behind the #"
    if "NotFound" in detail:
        return f"create it in {subject.region}, or correct its name or the region"
    if "kms" in detail.lower():
        return "allow kms:Decrypt with its key: for the functions by KmsKeyArn (pusher iam --kms-key ARN prints it)"
    return _ALLOW[scheme]
