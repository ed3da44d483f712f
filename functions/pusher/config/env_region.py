"""The AWS region that the environment names, where a config leaves it out.

As the AWS SDK for Go does it for Prometheus: AWS_REGION, AWS_DEFAULT_REGION, then the profile in the shared config
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def of(environment: Mapping[str, str], profile: str = "") -> str:
    """The region, or "" when nothing names one."""
    named = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return named or _of_profile(environment, profile or environment.get("AWS_PROFILE", "") or "default")


def _of_profile(environment: Mapping[str, str], profile: str) -> str:
    home = environment.get("HOME")
    place = environment.get("AWS_CONFIG_FILE") or (f"{home}/.aws/config" if home else "")
    if not place or not Path(place).is_file():
        return ""
    import configparser

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(place, encoding="utf-8")
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
    section = profile if profile == "default" and not parser.has_section("profile default") else f"profile {profile}"
    return parser.get(section, "region", fallback="").strip()
