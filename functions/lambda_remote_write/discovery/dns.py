"""`dns_sd_configs`: the records of a DNS name. The first look-up imports dnspython."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..config.sd_configs import DnsSd
from .target_groups import ADDRESS, DiscoveryError, Parts, Refresh, TargetGroup, at

_NAME_SECONDS = 5.0  # one name with all servers; a search domain that does not answer must leave time for the others


def system_resolver() -> Any:
    """The resolver of /etc/resolv.conf."""
    import dns.resolver

    resolver = dns.resolver.Resolver()
    resolver.use_edns(0, 0, 1232)  # longer answers use TCP
    return resolver


def refresher(config: DnsSd, name: str, resolver: Callable[[], Any]) -> Refresh:
    return partial(_refresh, config, name, resolver)


def _refresh(config: DnsSd, name: str, make_resolver: Callable[[], Any], deadline: float) -> Parts:
    import dns.exception

    try:
        records = _lookup(make_resolver(), name, config.type, deadline)
    except dns.exception.DNSException as error:
        detail = f"{type(error).__name__}: {error}"[:200]
        raise DiscoveryError(f"{name}: no answer to {config.type} ({detail})") from None
    targets = tuple(_target(record, name, config) for record in records)
    return {"": (TargetGroup(name, targets),)}


def _lookup(resolver: Any, name: str, record_type: str, deadline: float) -> list[Any]:
    """The records of the first candidate that exists; none if no candidate does. Raises DNSException if a server
    failed: unknown records must not look like none."""
    import dns.exception
    import dns.resolver

    failure: dns.exception.DNSException | None = None
    for candidate in _candidates(name, resolver):
        lifetime = max(min(_NAME_SECONDS, deadline - time.monotonic()), 0.001)
        try:
            answer = resolver.resolve(candidate, record_type, search=False, lifetime=lifetime, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            continue
        except dns.exception.DNSException as error:
            failure = failure or error
            continue
        return [one for records in answer.response.answer if records.rdtype == answer.rdtype for one in records]
    if failure:
        raise failure
    return []


def _candidates(name: str, resolver: Any) -> list[str]:
    """The names to look up: one with enough dots first as it is, another first with the search domains."""
    if name.endswith("."):
        return [name]
    suffixes = [suffix.to_text().strip(".") for suffix in resolver.search]
    searched = [f"{name}.{suffix}." for suffix in suffixes if suffix]
    has_dots = name.count(".") >= (1 if resolver.ndots is None else resolver.ndots)
    return [f"{name}.", *searched] if has_dots else [*searched, f"{name}."]


def _target(record: Any, name: str, config: DnsSd) -> dict[str, str]:
    labels, port = {"__meta_dns_name": name}, config.port
    if config.type in ("SRV", "MX", "NS"):
        host = (record.exchange if config.type == "MX" else record.target).to_text()
        labels[f"__meta_dns_{config.type.lower()}_record_target"] = host
    else:
        host = record.address
    if config.type == "SRV":
        port = record.port
        labels["__meta_dns_srv_record_port"] = str(port)
    return {ADDRESS: at(host.rstrip("."), port), **labels}
