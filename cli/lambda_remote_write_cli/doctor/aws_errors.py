"""Errors of boto3's clients, as far as they decide what to do."""

from __future__ import annotations

from .findings import Finding, Status, failed, unknown, warning

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnauthorizedSSOTokenError", "SSOTokenLoadError",
            "TokenRetrievalError")  # fmt: skip
_UNKNOWN_KEY = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure")
_WRONG_KEY = ("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
_ABSENT = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError")
_UNREACHED = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
              "ProxyConnectionError", "SSLError", "HTTPClientError", "ConnectionError")  # fmt: skip
LOG_IN = (
    "log in again: aws sso login, aws login, or new keys in AWS_ACCESS_KEY_ID, _SECRET_ACCESS_KEY and _SESSION_TOKEN"
)
_AGAIN = "run doctor again; if it stays, the documentation of the service explains the code"
GIVE_KEYS = "give some: aws configure sso, AWS_PROFILE=NAME, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def code_of(error: Exception) -> str:
    """AWS's code of an error, or the name of its class when there was no answer."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)


def words_of(error: Exception) -> str:
    return f"{code_of(error)}: {str(error)[:300]}"


def is_denied(error: Exception) -> bool:
    return code_of(error) in _DENIED


def is_unreached(error: Exception) -> bool:
    return code_of(error) in _UNREACHED


def of_credentials(check: str, error: Exception) -> Finding:
    """What an error says of the credentials; not known when it is about something else."""
    code = code_of(error)
    if code in _EXPIRED:
        return failed(check, f"they have expired ({code})", LOG_IN)
    if code in _UNKNOWN_KEY:
        return failed(check, f"AWS does not know them ({code})", f"{GIVE_KEYS}; are they of this partition?")
    if code in _WRONG_KEY:
        return failed(check, f"the secret key is wrong, or this machine's clock ({code})", GIVE_KEYS)
    if code in _ABSENT:
        return failed(check, f"there are none ({code})", GIVE_KEYS)
    if is_unreached(error):
        return unknown(check, f"no answer from AWS ({code})", "is there a network, and the right region?")
    if not hasattr(error, "response"):  # botocore has not even asked
        return unknown(check, words_of(error), "are AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL right?")
    return unknown(check, words_of(error), _AGAIN)


def of_reading(check: str, error: Exception, action: str) -> Finding:
    """An error of something that only `doctor` reads: without the permission it goes on."""
    if is_denied(error):
        return warning(
            check, f"it cannot be checked: your identity lacks {action}", f"allow {action}, for doctor alone"
        )
    found = of_credentials(check, error)
    if found.status is Status.FAILED:  # the check of the credentials says what to do
        return unknown(check, "it cannot be looked at without valid credentials", "")
    return found
