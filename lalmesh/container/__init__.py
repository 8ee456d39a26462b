"""Containers: bytes to access units and back. Sans-I/O."""
