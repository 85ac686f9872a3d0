"""The one-shot migration: the bridge's snapshot path without a stream."""
