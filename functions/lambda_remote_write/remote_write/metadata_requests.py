"""What follows the samples of a run: the metadata that is due, and the run's own metrics."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.delivery import Delivery, WriteRequest
from ..model.samples import Metadata, Samples
from .batches import protocol_of
from .encode import packing
from .endpoint import EndpointState

_MAX_FAMILIES = 100_000  # whose metadata is known to be sent; those of the next run are then sent anew


class MetadataRequests:
    """The requests that go last, so that a refused entry costs no sample of the data."""

    def __init__(self, endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> None:
        """To a receiver of 1.0 metadata goes by itself; with 2.0 it has gone along with the series."""
        self._endpoint, self._now_ms = endpoint, now_ms
        self._due = metadata_due(endpoint, metadata, now_ms) if endpoint.client.version == 1 else []

    def requests(self, own: Samples, families: Sequence[Metadata], accounting: Delivery) -> list[WriteRequest]:
        """The run's own metrics `own`, and the metadata. In 1.0 one request holds as much of both as fits."""
        endpoint = self._endpoint.config
        mine = packing.pack(own, protocol_of(self._endpoint, families), self._now_ms, accounting.dropped)
        limits = endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes
        metadata = packing.pack_metadata(self._due, *limits)
        if len(mine) == 1 and metadata and mine[0].version == 1:
            joint = packing.with_metadata(mine[0], metadata[0])
            if max(joint.raw_bytes, len(joint.body)) < endpoint.queue.max_body_bytes:
                return [joint, *metadata[1:]]
        return [*mine, *metadata]

    def remember(self, accounting: Delivery) -> None:
        """What was sent is not due again, refused entries included."""
        if accounting.metadata_accepted + accounting.metadata_rejected != len(self._due):
            return
        sent_ms = self._endpoint.metadata_sent_ms
        if len(sent_ms) > _MAX_FAMILIES:  # names that come and go
            sent_ms.clear()
        sent_ms.update(dict.fromkeys((one.name for one in self._due), self._now_ms))


def metadata_due(endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries for which `metadata_config` says that it is time, each by itself, because jobs run at their own
    intervals; a run a little early counts as in time, and what was sent after now was sent before the clock was set
    back."""
    policy, sent_ms = endpoint.config.metadata, endpoint.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and not newest_ms < sent_ms.get(one.name, newest_ms) <= now_ms]
