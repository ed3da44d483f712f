"""Reads `remote_write`: where samples go, who signs, how they are packed and retried."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from . import http_client, partitions, relabel_configs, scalars, sigv4, unsupported_keys
from .schema import MetadataConfig, QueueConfig, RemoteWriteConfig, SigV4
from .yaml_reader import Section

_PATH = "/api/v1/remote_write"
_AMP_HOST = re.compile(
    r"(?P<endpoint>vpce-[a-z0-9-]+\.)?aps-workspaces(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.(?(endpoint)vpce\.)"
    rf"(?P<suffix>{'|'.join(map(re.escape, partitions.SUFFIXES))})"
)
_WORKSPACE = re.compile(r"ws-[A-Za-z0-9-]+")
_WORKSPACE_ARN = re.compile(r"arn:aws[a-z-]*:aps:([a-z0-9-]+):[0-9]{12}:workspace/(ws-[A-Za-z0-9-]+)")
_MESSAGES = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request")


@dataclass(frozen=True, slots=True)
class AmpHost:
    """A host of AMP's data plane: the public one of a region, or an interface endpoint's own name (PrivateLink), as
    `vpce-0123-abc.aps-workspaces.eu-west-1.vpce.amazonaws.com`."""

    region: str
    suffix: str
    fips: str

    @property
    def control_plane(self) -> str:
        """The host that describes and changes workspaces. PrivateLink has another endpoint for it, whose own name
        does not follow from this one's; with private DNS its name is the public one."""
        return f"aps{self.fips}.{self.region}.{self.suffix}"


def amp_host(url: str) -> AmpHost | None:
    """What the host of a URL says, when it is one of AMP's."""
    match = _AMP_HOST.fullmatch(urlsplit(url).hostname or "")
    return AmpHost(match["region"], match["suffix"], match["fips"] or "") if match else None


def read(section: Section, env_vars: Mapping[str, str], name_validation: str = "utf8") -> tuple[RemoteWriteConfig, ...]:
    """The endpoints. Without any, the workspace of the environment (`PUSHER_WORKSPACE`) is the only one.
    `name_validation` is the `metric_name_validation_scheme` of `global`."""
    endpoints, names = [], set()
    for entry in section.sections("remote_write"):
        endpoint = _endpoint(entry, env_vars, name_validation)
        if endpoint.name in names and entry.has("name"):
            entry.problem("name", f"{endpoint.name!r} is the name of another endpoint; names are unique")
        elif endpoint.name in names and endpoint.url:
            entry.problem("name", "another endpoint has the same address; give each a name of its own")
        names.add(endpoint.name)
        endpoints.append(endpoint)
    if section.has("remote_write"):
        if not endpoints:
            section.warn("remote_write", "no endpoint: nothing will be sent")
        return tuple(endpoints)
    workspace = env_vars.get("PUSHER_WORKSPACE", "")
    region = _region_of(workspace) or env_vars.get("AWS_REGION", "")
    if not workspace or not region:
        section.problem("remote_write", "is required: one entry with a workspace or a url (or set PUSHER_WORKSPACE)")
        return ()
    if not _is_workspace(workspace):
        detail = "a workspace is an id (ws-…) or its ARN"
        section.diagnostics.refuse_variable("PUSHER_WORKSPACE", workspace, detail)
    url = _workspace_url(workspace, region)
    return (RemoteWriteConfig(_default_name(url), url, sigv4=SigV4(region)),)


def _endpoint(entry: Section, env_vars: Mapping[str, str], name_validation: str) -> RemoteWriteConfig:
    url, region = address(entry, env_vars)
    signature = read_sigv4(entry, region, env_vars)
    entry.defaults = default = RemoteWriteConfig(entry.text("name") or _default_name(url), url, sigv4=signature)
    client = http_client.read(entry, http_client.RESERVED_FOR_REMOTE_WRITE, default.http)
    others = [key for key in ("basic_auth", "authorization", "oauth2") if entry.has(key)]
    if signature and others and entry.has("sigv4"):
        entry.problem(
            "sigv4", f"at most one of sigv4, basic_auth, authorization and oauth2 may be set, not also {others[0]}"
        )
    elif signature and others:
        entry.problem(others[0], "AMP takes signed requests only: leave it out")
    _check_amp(entry, url, signature)
    endpoint = replace(
        default,
        remote_timeout_ms=entry.positive_ms("remote_timeout"),
        headers=http_client.static_headers(entry, http_client.RESERVED_FOR_REMOTE_WRITE),
        http=client,
        queue=_queue_config(entry),
        metadata=_metadata_config(entry),
        write_relabel=relabel_configs.read(entry, "write_relabel_configs", name_validation),
        version=1 + _MESSAGES.index(entry.choice("protobuf_message", _MESSAGES, _MESSAGES[default.version - 1])),
        send_exemplars=entry.boolean("send_exemplars"),
        send_native_histograms=entry.boolean("send_native_histograms"),
        convert_nhcb_to_classic=entry.boolean("convert_nhcb_to_classic"),
        max_age_ms=entry.duration_ms("max_age"),
    )
    if endpoint.is_amp and entry.has("max_age"):
        entry.problem("max_age", "is fixed for AMP, which accepts samples of the last hour: leave it out")
    _warn_of_amp(entry, endpoint)
    entry.boolean("round_robin_dns", False)  # accepted: one connection per run goes where the resolver says
    entry.boolean("failed_request_logging", False)  # accepted: failures are always in the run's log line
    entry.close(unsupported_keys.REMOTE_WRITE)
    return endpoint


def _warn_of_amp(entry: Section, endpoint: RemoteWriteConfig) -> None:
    """Warns of what AMP is not documented to accept; the config asks for it, so it loads."""
    if not endpoint.is_amp:
        return
    if endpoint.version > 1:
        detail = "AWS does not say that AMP takes remote write 2.0; where it does not, it gets 1.0"
        entry.warn("protobuf_message", detail)
    if endpoint.send_exemplars:
        entry.warn("send_exemplars", "AMP does not store exemplars, and may refuse requests that carry them")


def _default_name(url: str) -> str:
    return hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()[:6]


def address(entry: Section, env_vars: Mapping[str, str]) -> tuple[str, str]:
    """(url, region that the address names or "")."""
    if entry.has("workspace") and entry.has("url"):
        entry.problem("workspace", "at most one of url and workspace may be set")
    if entry.has("workspace"):
        return _from_workspace(entry, env_vars)
    url = entry.hidden("url", http_client.url) or ""
    if not entry.has("url"):
        entry.problem("url", "is required (or workspace: ws-…)")
    host = amp_host(url)
    return url, host.region if host else ""


def _from_workspace(entry: Section, env_vars: Mapping[str, str]) -> tuple[str, str]:
    def workspace(text: str) -> str:
        if text.startswith("env:"):
            name = text.removeprefix("env:")
            if name not in env_vars:
                raise ValueError(f"the environment has no variable {name}")
            text = env_vars[name]
        if not _is_workspace(text):
            raise ValueError("a workspace is an id (ws-…), its ARN, or env:NAME of a variable that holds one")
        return text

    found = entry.read("workspace", workspace, "")
    block = entry.section("sigv4")
    region = _region_of(found) or (block.text("region") if block else "") or env_vars.get("AWS_REGION", "")
    if found and not region:
        entry.problem("workspace", "its region is unknown: give the ARN, sigv4.region or the variable AWS_REGION")
    return (_workspace_url(found, region), region) if found and region else ("", region)


def _is_workspace(text: str) -> bool:
    return bool(_WORKSPACE.fullmatch(text) or _WORKSPACE_ARN.fullmatch(text))


def _region_of(workspace: str) -> str:
    match = _WORKSPACE_ARN.fullmatch(workspace)
    return match[1] if match else ""


def _workspace_url(workspace: str, region: str) -> str:
    workspace_id = workspace.rpartition("/")[2]
    suffix = partitions.partition_of(region).suffix
    return f"https://aps-workspaces.{region}.{suffix}/workspaces/{workspace_id}{_PATH}"


def read_sigv4(entry: Section, address_region: str, env_vars: Mapping[str, str]) -> SigV4 | None:
    """The `sigv4` of an entry; the default one for an address that is AMP's workspace."""
    default = SigV4(address_region)
    block = entry.section("sigv4", default)
    if block is None:
        return default if entry.has("workspace") and not entry.has("sigv4") else None
    found = sigv4.read(block, env_vars, address_region, block.text("service_name", default.service))
    if address_region and found.region != address_region:
        detail = f"{found.region!r} is not the region of the address ({address_region})"
        block.problem("region", f"{detail}; AMP would refuse the signature")
    return found


def _check_amp(entry: Section, url: str, signature: SigV4 | None) -> None:
    """Finds mistakes that AMP would answer with a 403 or 404 in every run."""
    parts = urlsplit(url)
    if amp_host(url) is None:
        return
    if signature is None and not entry.has("sigv4"):
        entry.problem("sigv4", "AMP takes signed requests only: add sigv4: {} (the region is taken from the url)")
    if not re.fullmatch(rf"/workspaces/{_WORKSPACE.pattern}{_PATH}", parts.path) or parts.query:
        entry.problem(
            "url", f"an AMP address is https://{parts.hostname}/workspaces/ws-…{_PATH}, without a slash at the end"
        )
    if parts.scheme != "https":
        entry.problem("url", "AMP takes https only")


def _queue_config(entry: Section) -> QueueConfig:
    default = QueueConfig()
    section = entry.map("queue_config", default)
    found = QueueConfig(
        capacity=section.integer("capacity", minimum=1),
        max_shards=section.integer("max_shards", minimum=1),
        min_shards=section.integer("min_shards", minimum=1),
        max_samples_per_send=section.integer("max_samples_per_send", minimum=1),
        batch_send_deadline_ms=section.duration_ms("batch_send_deadline"),
        min_backoff_ms=section.positive_ms("min_backoff"),
        max_backoff_ms=section.positive_ms("max_backoff"),
        retry_on_http_429=section.boolean("retry_on_http_429"),
        sample_age_limit_ms=section.duration_ms("sample_age_limit"),
        max_body_bytes=section.read("max_body_bytes", _body_bytes, default.max_body_bytes),
        max_samples_per_second=section.integer("max_samples_per_second"),
    )
    if found.min_shards > found.max_shards:
        section.problem("min_shards", f"{found.min_shards} is above max_shards {found.max_shards}")
    if found.min_backoff_ms > found.max_backoff_ms:
        shown = scalars.print_duration
        section.problem(
            "min_backoff", f"{shown(found.min_backoff_ms)} is above max_backoff {shown(found.max_backoff_ms)}"
        )
    section.close()
    return found


def _body_bytes(text: str) -> int:
    number = scalars.size_bytes(text) if not text.isdigit() else int(text)
    if number < 10_000:
        raise ValueError("at least 10000 bytes are needed for one sample with long labels")
    return number


def _metadata_config(entry: Section) -> MetadataConfig:
    section = entry.map("metadata_config", MetadataConfig())
    found = MetadataConfig(
        send=section.boolean("send"),
        send_interval_ms=section.duration_ms("send_interval"),
        max_samples_per_send=section.integer("max_samples_per_send", minimum=1),
    )
    section.close()
    return found
