"""AWS's partitions: under which names its services answer in a region.

A part of botocore's `partitions.json` (a test compares the two), because loading botocore costs more than a push.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """`id` is the second part of an ARN; `regions` is a pattern of region names, compiled when it is first needed: to
    compile all would cost every cold start some milliseconds. Hosts end in `suffix`, in `dual_stack_suffix` where they
    have an IPv6 address too."""

    id: str
    regions: str
    suffix: str
    dual_stack_suffix: str

    def fips_sts_host(self, region: str) -> str:
        """GovCloud's usual endpoint is its FIPS one."""
        return f"sts{'' if self.id == 'aws-us-gov' else '-fips'}.{region}.{self.suffix}"


def _partition(name: str, prefix: str, suffix: str, dual_stack_suffix: str) -> Partition:
    return Partition(name, rf"{prefix}-\w+-\d+", suffix, dual_stack_suffix)


PARTITIONS = (
    _partition("aws", "(us|eu|ap|sa|ca|me|af|il|mx)", "amazonaws.com", "api.aws"),
    _partition("aws-cn", "cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    _partition("aws-us-gov", "us-gov", "amazonaws.com", "api.aws"),
    _partition("aws-eusc", "eusc-(de)", "amazonaws.eu", "api.amazonwebservices.eu"),
    _partition("aws-iso", "us-iso", "c2s.ic.gov", "api.aws.ic.gov"),
    _partition("aws-iso-b", "us-isob", "sc2s.sgov.gov", "api.aws.scloud"),
    _partition("aws-iso-e", "eu-isoe", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    _partition("aws-iso-f", "us-isof", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
)
SUFFIXES = tuple({suffix for one in PARTITIONS for suffix in (one.suffix, one.dual_stack_suffix)})

_REGION = r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+|[a-z]+"  # a single word is one of a stand-in, as `local`


def partition_of(region: str) -> Partition:
    """The partition that a region belongs to; that of a region which no pattern knows is `aws`, as in botocore."""
    return next((one for one in PARTITIONS if re.fullmatch(one.regions, region, re.ASCII)), PARTITIONS[0])


def checked_region(text: str) -> str:
    """Raises ValueError for what is no name of a region."""
    if not re.fullmatch(_REGION, text):
        raise ValueError("not an AWS region, as eu-west-1")
    return text


def is_aws_host(host: str) -> bool:
    """Whether a host is one of AWS's own services."""
    return host.endswith(tuple(f".{suffix}" for suffix in SUFFIXES))
