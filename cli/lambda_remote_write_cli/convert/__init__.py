"""`pusher convert`: converts the config of an OpenTelemetry collector, of Prometheus or of json_exporter.

A file is read into a tree, the converter of its kind rewrites it, and every dropped key leaves a comment in its place.
"""

from .conversion import KINDS, Conversion, Options, convert

__all__ = ["KINDS", "Conversion", "Options", "convert"]
