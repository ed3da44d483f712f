"""The AWS region that the environment names, where a config leaves it out.

As the AWS SDK for Go does it for Prometheus: AWS_REGION, AWS_DEFAULT_REGION, then the profile in the shared config
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def of(env_vars: Mapping[str, str], profile: str = "") -> str:
    """The region, or "" when nothing names one."""
    named = env_vars.get("AWS_REGION") or env_vars.get("AWS_DEFAULT_REGION")
    return named or _of_profile(env_vars, profile or env_vars.get("AWS_PROFILE", "") or "default")


def _of_profile(env_vars: Mapping[str, str], profile: str) -> str:
    home = env_vars.get("HOME")
    place = env_vars.get("AWS_CONFIG_FILE") or (f"{home}/.aws/config" if home else "")
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
