"""lalmesh: live streaming as a cluster. The library: bytes, events and errors, and the shell that services share."""

__version__ = "0.1.0"
