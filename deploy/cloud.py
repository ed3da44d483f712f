"""AWS as `make deploy` meets it: who asks, where, and what each refusal means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from lambda_remote_write.report.printable import printable

from .errors import DeployError, bad_usage

Clients = Callable[[str], Any]
"""The name of a service -> its boto3 client."""

_LOG_IN = (
    "aws sso login, aws configure, or AWS_PROFILE=… for another profile. aws sts get-caller-identity shows who you are"
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}


@dataclass(frozen=True, slots=True)
class Cloud:
    """An account and a region, and its clients."""

    account: str
    arn: str
    region: str
    client: Clients

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]


def connect(env_vars: Mapping[str, str], new_session: Callable[[], Any]) -> Cloud:
    """As the AWS command line would. Raises DeployError without region or credentials."""
    with sentences():
        session = new_session()
        region = env_vars.get("AWS_REGION") or session.region_name
        if not region:
            raise bad_usage("no region: AWS_REGION=eu-west-1 make deploy …, or aws configure set region eu-west-1")
        made: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in made:
                made[service] = session.client(service, region_name=region)
            return made[service]

        identity = client("sts").get_caller_identity()
    return Cloud(identity["Account"], identity["Arn"], region, client)


@contextmanager
def sentences() -> Iterator[None]:
    """Turns what botocore raises into a DeployError."""
    try:
        yield
    except ProfileNotFound as error:
        raise bad_usage(f"{error}: aws configure list-profiles lists those that there are") from None
    except PartialCredentialsError as error:
        raise DeployError(f"half of the AWS credentials are missing: {error}. {_LOG_IN}") from None
    except NoCredentialsError:
        raise DeployError(f"no AWS credentials: {_LOG_IN}") from None
    except ClientError as error:
        raise DeployError(_refusal(error)) from None
    except BotoCoreError as error:  # no network, an expired single sign-on, a bad config file
        raise DeployError(f"AWS cannot be asked: {printable(str(error))}. {_LOG_IN}") from None


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: ClientError) -> str:
    code, operation = code_of(error), error.operation_name
    message = printable(str(error.response.get("Error", {}).get("Message", "")))
    if code in _EXPIRED:
        return f"the AWS credentials have expired: {_LOG_IN}"
    if code in _UNKNOWN:
        return f"AWS does not know these credentials ({code}): {_LOG_IN}"
    if code in DENIED:
        return f"you may not {operation}: {message}. docs/deploy.md has the policy that a deployer needs"
    return f"AWS refuses {operation}: {code}: {message}"
