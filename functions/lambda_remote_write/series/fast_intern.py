"""The fast path from the labels of a line to its series.

The lines of a page have few shapes (label names in an order). A shape is validated and sorted once; a line then only
needs its encoded labels in that order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.samples import Series
from ..relabel import LABEL_NAME
from . import label_codec

_MAX_SHAPES = 1_000


@dataclass(frozen=True, slots=True)
class _Shape:
    """Sorts the fields of a line, given as the metric's, the line's, and `own`."""

    put_in_order: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    own: tuple[bytes, ...]


class TargetInterner:
    """Interns the lines of one target. A line with one of the target's labels takes the slow path."""

    def __init__(
        self,
        series_of: Callable[[Sequence[bytes]], Series | None],
        own: Mapping[str, str],
        external: Sequence[tuple[str, str]],
        max_labels: int,
    ) -> None:
        """`series_of` gives the series of sorted encoded labels; `external` labels are added where absent. A series has
        at most `max_labels` labels (0: any number)."""
        self._series_of, self._own, self._external, self._max_labels = series_of, own, external, max_labels
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def __call__(self, metric: str, names: tuple[str, ...], labels: Sequence[tuple[str, str]]) -> Series | None:
        """The series of a metric with labels of these names, valid and not empty; None for the slow path."""
        try:
            shape = self._shapes[names]
        except KeyError:
            if len(self._shapes) >= _MAX_SHAPES:
                self._shapes.clear()
            shape = self._shapes[names] = self._shape(names)
        if shape is None:
            return None
        fields = (label_codec.label_field(("__name__", metric)), *map(label_codec.label_field, labels), *shape.own)
        return self._series_of(shape.put_in_order(fields))

    def _shape(self, names: tuple[str, ...]) -> _Shape | None:
        own = dict(self._own)
        own |= {name: value for name, value in self._external if name not in own and name not in names and value}
        every = ["__name__", *names, *own]
        if (
            len(set(every)) < len(every)
            or (self._max_labels and len(every) > self._max_labels)
            or not all(map(LABEL_NAME.fullmatch, own))
        ):
            return None
        try:
            fields = tuple(map(label_codec.label_field, own.items()))
        except UnicodeEncodeError:
            return None
        places = sorted(range(len(every)), key=every.__getitem__)  # code points sort as their UTF-8
        put_in_order: Any = operator.itemgetter(*places) if len(places) > 1 else tuple
        return _Shape(put_in_order, fields)
