"""The config in S3: what is there now, and how a new one takes its place without undoing another deployer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError

from .cloud import Cloud, code_of
from .errors import DeployError

_OTHER_CAME_FIRST = ("PreconditionFailed", "ConditionalRequestConflict")


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """An object in S3 as it was read; `etag` is empty when there is none."""

    location: str
    content: bytes = b""
    etag: str = ""

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        bucket, _, key = self.location.removeprefix("s3://").partition("/")
        return bucket, key


def arn(cloud: Cloud, location: str) -> str:
    return f"arn:{cloud.partition}:s3:::{location.removeprefix('s3://')}"


def read(cloud: Cloud, location: str) -> ConfigObject:
    """Raises DeployError without the bucket, ClientError and BotoCoreError."""
    bucket, key = ConfigObject(location).bucket_and_key
    try:
        found = cloud.client("s3").get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=cloud.account)
    except ClientError as error:
        if code_of(error) == "NoSuchKey":
            return ConfigObject(location)
        if code_of(error) == "NoSuchBucket":
            raise DeployError(
                f"there is no bucket {bucket}. Create one with versioning, and deploy again:\n"
                f"  aws s3 mb s3://{bucket} --region {cloud.region}\n"
                f"  aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
            ) from None
        raise
    return ConfigObject(location, found["Body"].read(), found["ETag"])


def write(cloud: Cloud, before: ConfigObject, content: bytes, say: Callable[[str], None]) -> None:
    """Puts the config in the place of the one that was read. Raises DeployError when it is another one by now, and
    ClientError and BotoCoreError."""
    bucket, key = before.bucket_and_key
    condition = {"IfMatch": before.etag} if before.etag else {"IfNoneMatch": "*"}
    try:
        done = cloud.client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentType="application/yaml",
            ExpectedBucketOwner=cloud.account,
            **condition,
        )
    except ClientError as error:
        if code_of(error) in _OTHER_CAME_FIRST:
            raise DeployError(
                f"another deployment has written {before.location} meanwhile, and this config was not uploaded. Look "
                f"at that one (aws s3 cp {before.location} -), and deploy again"
            ) from None
        raise
    version = done.get("VersionId", "")
    say(f"config uploaded to {before.location}" + (f", version {version}" if version else ""))
    if not version:
        say(
            f"note: the bucket keeps no versions, so a cold start that meets a bad config has no last good one: "
            f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
        )
