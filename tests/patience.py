"""How long a test waits for what must happen: a bound against hangs alone, since a slow or crowded machine breaks no law."""

from __future__ import annotations

PATIENCE = 300.0
"""Seconds."""
