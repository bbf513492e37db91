"""What goes wrong between the two processes, and whose fault it is."""

from __future__ import annotations


class ProtocolError(Exception):
    """The candidate's process ended, or sent what is no message. The candidate has failed."""


class UnsendableError(Exception):
    """The tests gave the candidate something that cannot be sent. That is not the candidate's fault."""
