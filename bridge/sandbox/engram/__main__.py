"""Runs the double of the Engram server from the command line."""

import argparse
import sys
from pathlib import Path

from bridge.sandbox.engram.faults import BadSchedule, read_file
from bridge.sandbox.engram.server import PortTaken, serve


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m bridge.sandbox.engram", description=__doc__)
    parser.add_argument("--port", type=int, default=7432, help="HTTP port; 0 takes any")
    parser.add_argument("--grpc-port", type=int, default=50051, help="gRPC port; 0 takes any")
    parser.add_argument("--data", type=Path, required=True, help="directory of what survives a restart")
    parser.add_argument("--capacity", type=int, default=100_000, help="rows of a space before it evicts")
    parser.add_argument("--faults", type=Path, help="JSON file with a schedule of faults")
    given = parser.parse_args()
    try:
        rules = read_file(given.faults) if given.faults else []
    except (BadSchedule, OSError) as error:
        parser.error(str(error))
    try:
        serve(port=given.port, grpc_port=given.grpc_port, data=given.data, capacity=given.capacity, faults=rules)
    except PortTaken as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
