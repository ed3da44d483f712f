"""Reads the credentials and the region with which a block calls AWS. Without a region, the environment gives it:
AWS_REGION, AWS_DEFAULT_REGION, then the profile in the shared config file, as in the AWS SDK for Go of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import plain_text
from .partitions import checked_region
from .secrets import Secret
from .yaml_reader import Section


def read(
    block: Section, env_vars: Mapping[str, str], of_address: str = "", *, instead: str = plain_text.NOWHERE
) -> dict[str, Any]:
    """The fields that `sigv4` and discovery have in common. `of_address` is the region that an address names, which
    counts before the environment's; `instead` says where keys come from when not from here."""
    secret_key = plain_text.text(block, "secret_key", instead)
    return {
        "region": _region(block, env_vars, of_address),
        "access_key": plain_text.text(block, "access_key", instead) or "",
        "secret_key": Secret(literal=secret_key) if secret_key else None,
        "profile": block.text("profile"),
        "role_arn": block.text("role_arn"),
        "external_id": block.hidden("external_id", str) or "",
    }


def _region(block: Section, env_vars: Mapping[str, str], of_address: str) -> str:
    found = block.read("region", lambda text: text and checked_region(text), "")
    found = found or of_address or _of_environment(env_vars, block.text("profile"))
    if not found and not block.is_wrong("region"):
        block.problem("region", "is required: neither the config nor AWS_REGION names one")
    return found


def _of_environment(env_vars: Mapping[str, str], profile: str) -> str:
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
