"""Errors that the front end reports to its user."""

from __future__ import annotations


class SpikeQuantError(Exception):
    """Something the user can act on: the message says what, where and what to do."""
