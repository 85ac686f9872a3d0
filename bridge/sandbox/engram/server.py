"""Runs the double: HTTP and gRPC in one process, in one thread, in one loop, so that nothing needs a lock."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import uvicorn
import uvloop
from uvicorn.server import ServerState

from bridge.sandbox.engram.faults import Rule, Schedule
from bridge.sandbox.engram.http import Application, Protocol
from bridge.sandbox.engram.registry import Registry
from bridge.sandbox.engram.rpc import Service

HOST = "127.0.0.1"
_FLUSH_SECONDS = 0.01
_GRACE_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 3600


def serve(*, port: int, grpc_port: int, data: Path, capacity: int = 100_000, faults: Sequence[Rule] = ()) -> None:
    """Serve on the loopback until SIGTERM or SIGINT; port 0 takes any. Prints the addresses, then `ready`.

    What an earlier server wrote under `data` is there again, with the real one's amnesia.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(port, grpc_port, data, capacity, Schedule(faults)))


async def _serve(port: int, grpc_port: int, data: Path, capacity: int, schedule: Schedule) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    registry = Registry(data, capacity)
    config = uvicorn.Config(
        Application(registry, schedule),
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    state = ServerState()
    http = await loop.create_server(lambda: Protocol(config, state, {}), HOST, port)
    rpc = grpc.aio.server(
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    )
    rpc.add_generic_rpc_handlers((Service(registry, schedule).handlers(),))
    bound = rpc.add_insecure_port(f"{HOST}:{grpc_port}")
    await rpc.start()
    print(f"HTTP API: http://{HOST}:{http.sockets[0].getsockname()[1]}")
    print(f"gRPC: {HOST}:{bound}")
    print("ready")
    sys.stdout.flush()
    flushing = asyncio.create_task(_flush(registry))
    await ended.wait()
    http.close()
    await rpc.stop(_GRACE_SECONDS)
    for connection in list(state.connections):
        connection.shutdown()
    flushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flushing
    registry.close()


async def _flush(registry: Registry) -> None:
    """What a kill can lose is what was written since the last round."""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        registry.flush()
