"""Protocols as connection state machines. Sans-I/O."""
