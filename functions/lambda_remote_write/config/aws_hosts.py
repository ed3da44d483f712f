"""What a host of AWS says about its API: the service for which requests are signed, and the region.

A part of what botocore knows (a test compares the two), and the hosts that AWS gives to what its users build. Where a
host says less than both, it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from .partitions import SUFFIXES

SERVICES = frozenset(
    ("acm", "apigateway", "athena", "autoscaling", "backup", "batch", "ce", "cloudformation", "cloudtrail", "codebuild",
     "codepipeline", "compute-optimizer", "config", "dynamodb", "ec2", "ecs", "eks", "elasticache",
     "elasticfilesystem", "elasticloadbalancing", "elasticmapreduce", "events", "firehose", "glue", "guardduty",
     "health", "kafka", "kinesis", "kms", "lambda", "logs", "monitoring", "organizations", "rds", "redshift", "s3",
     "scheduler", "secretsmanager", "servicequotas", "sns", "sqs", "ssm", "states", "sts", "support", "tagging",
     "xray")
)  # fmt: skip
"""Those that are signed for under the name that their hosts begin with."""
SIGNED_AS = {
    "aps-workspaces": "aps",
    "email": "ses",
    "query.timestream": "timestream",
    "streams.dynamodb": "dynamodb",
}
GLOBAL = dict.fromkeys(("budgets", "cloudfront", "iam", "route53"), "us-east-1")
"""Services with one host for all regions, `NAME.amazonaws.com`, and the region for which requests to it are signed."""

_REGION = r"(?P<region>[a-z]{2,}(?:-[a-z]+)+-[0-9]+)"
_SUFFIX = f"(?:{'|'.join(map(re.escape, SUFFIXES))})"
_ENDPOINT = r"(?:vpce-[a-z0-9-]+\.)?"  # PrivateLink's own names
_NAMES = "|".join(map(re.escape, sorted({*SERVICES, *SIGNED_AS, "aps"})))


@dataclass(frozen=True, slots=True)
class AwsHost:
    """`name` is what stands before the service: an API's id, a domain, a bucket."""

    service: str
    region: str
    name: str = ""


def host_of(url: str) -> AwsHost | None:
    """What the host of a URL says; None for one that is not AWS's, or says nothing for sure."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return None
    for service, pattern in _patterns():
        if match := re.fullmatch(pattern, host):
            found = match.groupdict()
            written = found.get("service") or service
            return AwsHost(SIGNED_AS.get(written, written), found["region"], found.get("name") or "")
    service, _, rest = host.partition(".")
    return AwsHost(service, GLOBAL[service]) if rest == "amazonaws.com" and service in GLOBAL else None


def _patterns() -> Iterator[tuple[str, str]]:
    """The service of each form of a host; `service` in a form names it itself."""
    yield "execute-api", rf"(?P<name>[a-z0-9]+)(?:-vpce-[a-z0-9]+)?\.execute-api\.{_REGION}\.{_SUFFIX}"
    yield "execute-api", rf"vpce-[a-z0-9-]+\.execute-api\.{_REGION}\.vpce\.{_SUFFIX}"
    yield "lambda", rf"(?P<name>[a-z0-9]+)\.lambda-url\.{_REGION}\.on\.aws"
    yield "vpc-lattice-svcs", rf"[a-z0-9.-]+\.vpc-lattice-svcs\.{_REGION}\.on\.aws"
    yield "es", rf"(?:search|vpc)-(?P<name>[a-z0-9-]+)-[a-z0-9]+\.{_REGION}\.es\.{_SUFFIX}"
    yield "es", rf"(?:search|vpc)-(?P<name>[a-z0-9-]+)-[a-z0-9]+\.aos\.{_REGION}\.on\.aws"
    yield "aoss", rf"(?P<name>[a-z0-9]+)\.{_REGION}\.aoss\.{_SUFFIX}"
    yield "appsync", rf"(?P<name>[a-z0-9]+)\.appsync-api\.{_REGION}\.{_SUFFIX}"
    yield "s3", rf"(?P<name>[a-z0-9.-]+)\.s3(?:-fips)?(?:\.dualstack)?\.{_REGION}\.{_SUFFIX}"
    yield "", rf"{_ENDPOINT}(?P<service>{_NAMES})(?:-fips)?\.{_REGION}\.(?:vpce\.)?{_SUFFIX}"
