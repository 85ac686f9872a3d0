"""`python -m bridge` is `engram-bridge`."""

from bridge.cli import main

main()
