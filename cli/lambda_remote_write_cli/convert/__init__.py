"""`pusher convert`: what a collector, a Prometheus or a json_exporter is told, said in our words. Not part of a push.

A file is read into a tree, a converter of its kind makes ours of it, and what is lost stays as a comment in its place.
"""

from .command import command
from .conversion import KINDS, Conversion, Options, convert

__all__ = ["KINDS", "Conversion", "Options", "command", "convert"]
