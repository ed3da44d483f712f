"""What the variables of `make grafana` ask for. Bad ones end in a GrafanaError, before any request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .grafana_client import LOOPBACK, GrafanaError, one_line

WORKSPACE_ID = re.compile(r"ws-[0-9a-zA-Z-]+")
REGION_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
AMP_HOST = re.compile(r"aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace of AMP as a data source reads it; `role_arn` is the role to assume first, or empty."""

    name: str
    url: str
    region: str
    role_arn: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Settings:
    url: str
    token: str
    workspace: Workspace | None
    force: bool


def settings(env_vars: Mapping[str, str]) -> Settings:
    """What the variables of `make grafana` say. Raises GrafanaError."""
    url, token = _grafana_url(env_vars.get("URL", "").strip()), env_vars.get("GRAFANA_TOKEN", "").strip()
    if "GRAFANA_TOKEN=" in env_vars.get("MAKEFLAGS", ""):
        raise GrafanaError(
            "GRAFANA_TOKEN is on the command line, where others can see it: delete this token in Grafana, make "
            "another, and export it."
        )
    if not token:
        raise GrafanaError(
            "GRAFANA_TOKEN is not set: make a token of a service account with the role Admin in Grafana, and export it "
            "(read -rs GRAFANA_TOKEN; export GRAFANA_TOKEN)."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise GrafanaError("GRAFANA_TOKEN is no token: it has characters that no token of Grafana has.")
    force, external_id = env_vars.get("FORCE", "").strip(), env_vars.get("EXTERNAL_ID", "").strip()
    if force not in ("", "0", "1"):
        raise GrafanaError(f"FORCE is 1 or not set, not {one_line(force)!r}: make grafana … FORCE=1")
    if external_id and not env_vars.get("ROLE_ARN", "").strip():
        raise GrafanaError("EXTERNAL_ID is sent when a role is assumed, and no role is named: give ROLE_ARN too.")
    return Settings(url, token, _workspace(env_vars), force == "1")


def _grafana_url(text: str) -> str:
    """Without query and fragment."""
    parts = _parts(text)
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
        shown = f", not {_shown(text)}" if text else ""
        raise GrafanaError(f"URL is the address of Grafana and begins with https://{shown}: make grafana URL=https://…")
    if "@" in parts.netloc:
        raise GrafanaError("URL has a user or password: the token is enough, leave them out.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise GrafanaError(
            f"URL is not encrypted, so others could read the token on its way to {parts.hostname}: give an https:// "
            "address, or a tunnel's end on this machine."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _workspace(env_vars: Mapping[str, str]) -> Workspace | None:
    workspace_id, url = env_vars.get("WORKSPACE", "").strip(), env_vars.get("WORKSPACE_URL", "").strip()
    if not workspace_id and not url:
        return None
    region = env_vars.get("REGION", "").strip() or env_vars.get("AWS_REGION", "").strip()
    if url:
        region = _url_region(url) or region
    _check(region, REGION_NAME, "REGION", "eu-west-1")
    if not url:
        _check(workspace_id, WORKSPACE_ID, "WORKSPACE", "ws-12345678-1234-1234-1234-123456789012")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        url = f"https://aps-workspaces.{region}.{suffix}/workspaces/{workspace_id}"
    role_arn = env_vars.get("ROLE_ARN", "").strip()
    if role_arn:
        _check(role_arn, ROLE, "ROLE_ARN", "arn:aws:iam::123456789012:role/NAME")
    url = url.rstrip("/").removesuffix("/api/v1/remote_write")
    name = env_vars.get("DATASOURCE", "").strip() or f"AMP {url.rpartition('/')[2]}"
    if not name.isprintable() or name in (".", ".."):
        raise GrafanaError("DATASOURCE is the name of a data source: dots alone, or what does not print, are none.")
    return Workspace(name, url, region, role_arn, env_vars.get("EXTERNAL_ID", "").strip())


def _url_region(url: str) -> str:
    parts = _parts(url)
    if parts is None or parts.scheme != "https" or not parts.hostname:
        raise GrafanaError(f"WORKSPACE_URL is no https:// address: {_shown(url)}. The stack has it as an output.")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise GrafanaError(
            "WORKSPACE_URL has a user, password or query, which every viewer of Grafana could use: leave them out. "
            "Requests are signed with SigV4."
        )
    found = AMP_HOST.match(parts.hostname)
    return found[1] if found else ""


def _parts(url: str) -> SplitResult | None:
    """None for what is no URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _shown(url: str) -> str:
    """What is no URL, for a message: unless it may hold a password."""
    return "what has an @ in it" if "@" in url else repr(one_line(url))


def _check(value: str, pattern: re.Pattern[str], name: str, example: str) -> None:
    if not pattern.fullmatch(value):
        shown = f"not {value!r}" if value else "and is missing"
        raise GrafanaError(f"{name} is as {example}, {shown}: make grafana … {name}={example}")
