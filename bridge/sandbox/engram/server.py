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


class PortTaken(OSError):
    """A port that the sandbox Engram should serve on cannot be had."""


def serve(
    *, port: int, grpc_port: int, data: Path, capacity: int = 100_000, faults: Sequence[Rule] = (), host: str = HOST
) -> None:
    """Serve on the loopback, or on `host`, until SIGTERM or SIGINT; port 0 takes any. Prints the addresses, then `ready`.

    What an earlier server wrote under `data` is there again, with the real one's amnesia.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(host, port, grpc_port, data, capacity, Schedule(faults)))


async def _serve(host: str, port: int, grpc_port: int, data: Path, capacity: int, schedule: Schedule) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    registry = Registry(data, capacity)
    state = ServerState()
    http = await _listen_http(Application(registry, schedule), state, host, port)
    rpc, bound = _listen_rpc(Service(registry, schedule), host, grpc_port)
    await rpc.start()
    print(f"HTTP API: http://{host}:{http.sockets[0].getsockname()[1]}")
    print(f"gRPC: {host}:{bound}")
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


async def _listen_http(application: Application, state: ServerState, host: str, port: int) -> asyncio.Server:
    config = uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(lambda: Protocol(config, state, {}), host, port)
    except OSError as error:
        raise PortTaken(f"Port {port} of {host} cannot be had for HTTP.") from error


def _listen_rpc(service: Service, host: str, port: int) -> tuple[grpc.aio.Server, int]:
    """The gRPC server and the port it got. Without sharing of ports a taken one is an error, as it is over HTTP."""
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    )
    server.add_generic_rpc_handlers((service.handlers(),))
    try:
        return server, server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise PortTaken(f"Port {port} of {host} cannot be had for gRPC.") from error


async def _flush(registry: Registry) -> None:
    """What a kill can lose is what was written since the last round."""
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        registry.flush()
