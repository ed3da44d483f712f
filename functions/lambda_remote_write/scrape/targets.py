"""Discovered target groups, or the `url` of a JSON job -> targets to scrape: labels filled in, relabelled, checked, in
Prometheus's order.

Rules: Prometheus scrape/target.go (PopulateLabels, URL, offset).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, quote_plus, urlsplit

from .. import relabel
from ..config import scalars, templates
from ..config.schema import Job, JsonJob, ScrapeJob
from ..config.yaml_reader import shown_url
from ..http.address import origin, parsed
from ..http.query import with_query

if TYPE_CHECKING:
    from ..discovery import TargetGroup

_PARAM = "__param_"
_META = "__meta_"
_SHOWN_HOSTS = 5  # of those that `hosts` does not match
# What Go's url.Parse accepts as a host, with or without a port (net/url: parseHost).
_ADDRESS = re.compile(r"""(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)(?:%[\w.~-]+)?\]|[\w.~!$&'()*+,;=<>"-]*)(?::[0-9]*)?""")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_NOT_IN_HOSTS = "hosts of the job does not list "


class BadTarget(Exception):
    """A target whose labels do not allow to scrape it."""


AnyJob = TypeVar("AnyJob", bound=Job)
_Job = TypeVar("_Job", bound=Job, covariant=True)


@dataclass(frozen=True, slots=True)
class Target(Generic[_Job]):
    """One page or document to scrape. `labels` are those of its series; times in milliseconds. Targets with the same
    `key` are the same."""

    job: _Job
    labels: Mapping[str, str]
    url: str = field(repr=False)
    interval_ms: int
    timeout_ms: int
    discovered: Mapping[str, str] = field(repr=False)
    key: str
    native_histograms: bool = False
    classic_histograms: bool = False
    custom_buckets: bool = False
    error: str = ""  # why it cannot be requested: as in Prometheus, it is down
    unix_socket: str = ""  # the path to connect to instead of the address

    @property
    def instance(self) -> str:
        return self.labels["instance"]

    @property
    def host(self) -> str:
        """The `host:port` that is asked."""
        try:
            _, host, port = origin(self.url)
        except ValueError:  # nothing is asked of it
            return self.instance
        return f"{host}:{port}"

    @property
    def identity(self) -> str:
        """Unique among the targets of all jobs. Labels that the config changes make the target of a `url` another one:
        its series end."""
        if self.key:
            return self.shard_key
        return "\xff".join([self.job.job_name, *(part for pair in sorted(self.labels.items()) for part in pair)])

    @property
    def shard_key(self) -> str:
        """Its hash decides in which shard a target is scraped: it moves only when its labels or its address change. The
        one target of a `url` stays with its job's name."""
        return f"{self.job.job_name}/{self.key}" if self.key else self.job.job_name

    def offset_ms(self) -> int:
        """Its slot in the interval, on absolute time: stable, and different for most targets."""
        if not self.key:
            return relabel.hashmod(self.job.job_name, self.interval_ms)
        return int(self.key[:16], 16) % self.interval_ms


@dataclass(frozen=True, slots=True)
class DroppedTarget:
    """A target that is not scraped: the index of the rule of relabel_configs that dropped it, its mistake, or the
    address of the target with the same labels that is scraped."""

    discovered: Mapping[str, str]
    by_rule: int | None = None
    error: str = ""
    same_as: str = ""


@dataclass(slots=True)
class Targets(Generic[AnyJob]):
    """The targets of one job by key. `over_limit` is set above target_limit: then none is scraped. `equal_labels` says
    which are not scraped because others have the same labels, `no_host` that `hosts` allows none of them."""

    active: dict[str, Target[AnyJob]] = field(default_factory=dict)
    dropped: list[DroppedTarget] = field(default_factory=list)
    over_limit: str = ""
    equal_labels: str = ""
    no_host: str = ""


def address_of(job: JsonJob) -> str:
    """The `url` of a job, with its parameters. Templates stay in both until a request is made."""
    return with_query(job.url, dict(job.params), templates.quoted)


def url_target(job: JsonJob) -> Target[JsonJob]:
    """The one target of a job's `url`, which is requested as it is written."""
    host = urlsplit(job.url).netloc
    labels = {"job": job.job_name, "instance": host} | dict(job.labels)
    discovered = {"__address__": host}
    return Target(job, labels, address_of(job), job.scrape_interval_ms, job.scrape_timeout_ms, discovered, key="")


def targets_of(job: AnyJob, groups: Iterable[TargetGroup]) -> Targets[AnyJob]:
    """Discovered groups -> the job's targets, by key."""
    found, relabelled = Targets[AnyJob](), dict[str, Mapping[str, str]]()
    for group in groups:
        for target in group.targets:
            discovered = {**group.labels, **target}
            verdict = relabel.explain(_filled(job, discovered), job.relabel)
            if verdict.labels is None or not verdict.labels:
                found.dropped.append(DroppedTarget(discovered, by_rule=verdict.dropped_by))
                continue
            try:
                one = _target(job, verdict.labels, discovered)
                found.active.setdefault(one.key, one)
                relabelled[one.key] = verdict.labels
            except BadTarget as error:
                found.dropped.append(DroppedTarget(discovered, error=str(error)))
    found.no_host = _no_host(job, found.active.values())
    limit = job.target_limit
    if limit and len(found.active) > limit:
        found.over_limit = f"{len(found.active)} targets, target_limit is {limit}: none is scraped"
    if len({frozenset(one.labels.items()) for one in found.active.values()}) < len(found.active):
        _drop_equal(found, relabelled)
    return found


def _no_host(job: Job, targets: Collection[Target[Any]]) -> str:
    """Says that `hosts` matches no target at all: more likely a mistake in it than in every target."""
    refused = [one.host.rpartition(":")[0] for one in targets if one.error.startswith(_NOT_IN_HOSTS)]
    if not refused or len(refused) < len(targets):
        return ""
    found = sorted(set(refused))
    more = f" and {len(found) - _SHOWN_HOSTS} more" if len(found) > _SHOWN_HOSTS else ""
    return f"hosts [{', '.join(job.hosts)}] matches no target; found are {', '.join(found[:_SHOWN_HOSTS])}{more}"


def _drop_equal(found: Targets[Any], relabelled: Mapping[str, Mapping[str, str]]) -> None:
    """Keeps one target of those with equal labels, whose samples would be one series: the first by its URL, so that the
    order of a list does not matter. `relabelled` has the labels that relabelling has given each, by its key."""
    from .equal_labels import warning  # seldom the case

    alike: dict[frozenset[tuple[str, str]], list[Target[Any]]] = defaultdict(list)
    for target in sorted(found.active.values(), key=lambda one: (bool(one.error), one.url, one.key)):
        alike[frozenset(target.labels.items())].append(target)
    several = [targets for targets in alike.values() if len(targets) > 1]
    for first, *others in several:
        for other in others:
            del found.active[other.key]
            found.dropped.append(DroppedTarget(other.discovered, same_as=shown_url(first.url)))
    found.equal_labels = warning([[(shown_url(one.url), relabelled[one.key]) for one in some] for some in several])


def _filled(job: Job, discovered: Mapping[str, str]) -> dict[str, str]:
    """Discovered labels over the job's settings."""
    settings = {
        "job": job.job_name,
        "__scrape_interval__": scalars.print_duration(job.scrape_interval_ms),
        "__scrape_timeout__": scalars.print_duration(job.scrape_timeout_ms),
        "__metrics_path__": job.metrics_path,
        "__scheme__": job.scheme,
    }
    if isinstance(job, ScrapeJob):
        settings |= {
            "__convert_classic_histograms_to_nhcb__": str(job.convert_classic_histograms_to_nhcb).lower(),
            "__always_scrape_classic_histograms__": str(job.always_scrape_classic_histograms).lower(),
            "__scrape_native_histograms__": str(job.scrape_native_histograms).lower(),
        }
    elif isinstance(job, JsonJob):
        settings |= job.labels
    settings |= {f"{_PARAM}{name}": values[0] for name, values in job.params if values}
    return settings | {name: value for name, value in discovered.items() if value}


def _target(job: AnyJob, labels: Mapping[str, str], discovered: Mapping[str, str]) -> Target[AnyJob]:
    address = labels.get("__address__", "")
    if not address or "/" in address:
        raise BadTarget(_not_an_address(address) if address else "no __address__")
    interval_ms, timeout_ms = _duration(labels, "__scrape_interval__"), _duration(labels, "__scrape_timeout__")
    if timeout_ms > interval_ms:
        shown = scalars.print_duration
        raise BadTarget(f"__scrape_timeout__ {shown(timeout_ms)} is above __scrape_interval__ {shown(interval_ms)}")
    kept = {"instance": address} | {name: value for name, value in labels.items() if not name.startswith(_META)}
    _check_labels(job, kept)
    url = _url(job, kept)
    identity = "\xff".join([url, *(part for pair in sorted(kept.items()) for part in pair)])
    return Target(
        job=job,
        labels={name: value for name, value in kept.items() if not name.startswith("__")},
        url=url,
        interval_ms=interval_ms,
        timeout_ms=timeout_ms,
        native_histograms=_flag(kept, "__scrape_native_histograms__"),
        classic_histograms=_flag(kept, "__always_scrape_classic_histograms__"),
        custom_buckets=_flag(kept, "__convert_classic_histograms_to_nhcb__"),
        discovered=discovered,
        key=hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest(),
        error=_no_address(url, kept) or _not_in_hosts(job, url, kept),
        unix_socket=kept.get("__unix_socket__", ""),
    )


def _check_labels(job: Job, labels: Mapping[str, str]) -> None:
    """Raises BadTarget."""
    for name, value in labels.items():
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise BadTarget(f"the value of label {name} is not Unicode text")
        if not relabel.is_valid_label_name(name, job.name_validation) and not name.startswith("__"):
            raise BadTarget(f"{name!r:.60} is not a label name under metric_name_validation_scheme legacy")


def _not_in_hosts(job: Job, url: str, labels: Mapping[str, str]) -> str:
    """Why a target may not be asked, "" if it may: its host as it is connected to, whatever its labels show."""
    if not job.hosts:
        return ""
    from ..config import hosts  # few configs have it

    if "__unix_socket__" in labels:
        return "hosts of the job allows no __unix_socket__: what listens there is not the host"
    host = parsed(url).host or ""
    return "" if hosts.matches(host, job.hosts) else f"{_NOT_IN_HOSTS}{host!r:.100}: nothing was sent to it"


def _no_address(url: str, labels: Mapping[str, str]) -> str:
    """Why a target's URL cannot be requested, "" if it can. In Prometheus every scrape of it fails."""
    scheme, address = labels.get("__scheme__", ""), labels["__address__"]
    if scheme.lower() not in ("http", "https"):
        return f"__scheme__ {scheme!r:.40} is neither http nor https"
    found = _ADDRESS.fullmatch(address)
    try:
        if found and (not found["ipv6"] or ipaddress.IPv6Address(found["ipv6"])) and parsed(url):
            return ""
    except ValueError:
        pass
    return _not_an_address(address)


def _not_an_address(address: str) -> str:
    """A user and password may stand in front of a host."""
    _, at, host = address.rpartition("@")
    shown = f"<secret>@{host}" if at else address
    return f"{shown!r:.100} is not an address; host:port is expected"


def _duration(labels: Mapping[str, str], name: str) -> int:
    text = labels.get(name, "")
    try:
        milliseconds = scalars.duration_ms(text)
    except ValueError as error:
        raise BadTarget(f"{name} {text!r:.50} is not allowed: {error}") from None
    if not milliseconds:
        raise BadTarget(f"{name} cannot be 0")
    return milliseconds


def _flag(labels: Mapping[str, str], name: str) -> bool:
    text = labels.get(name, "false")
    if text not in _TRUE + _FALSE:
        raise BadTarget(f"{name} {text!r:.50} is neither true nor false")
    return text in _TRUE


def _url(job: Job, labels: Mapping[str, str]) -> str:
    """Scheme, address, path and `params`; the `__param_` labels replace their first values. Templates stay that the
    config of a JSON job has there, and that no label has replaced."""
    params = {name: list(values) for name, values in job.params}
    for label, value in labels.items():
        if label.startswith(_PARAM):
            name = label.removeprefix(_PARAM)
            params[name] = [value, *params.get(name, [])[1:]]
    path = quote(labels.get("__metrics_path__", ""), safe="$&+,/:;=@-._~")
    slash = "" if not path or path.startswith("/") else "/"
    own = dict(job.params) if isinstance(job, JsonJob) else {}
    pairs = [(name, value) for name in sorted(params) for value in params[name]]
    query = "&".join(
        f"{quote_plus(name)}={(templates.quoted if value in own.get(name, ()) else quote_plus)(value)}"
        for name, value in pairs
    )
    scheme = labels.get("__scheme__", "")
    return f"{scheme}://{labels['__address__']}{slash}{path}{'?' if query else ''}{query}"
