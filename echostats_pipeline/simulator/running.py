"""Runs the simulated Spotify in a thread on this machine, for tests and the demonstration.

Belongs here: start and stop of the server. Not here: its answers (``server``).
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.controls import Controls
from echostats_pipeline.simulator.server import create_app
from echostats_pipeline.simulator.tokens import Tokens
from echostats_pipeline.simulator.wire import http_server
from echostats_pipeline.simulator.world import World

LOOPBACK = "127.0.0.1"
_START_SECONDS, _POLL_SECONDS = 20.0, 0.005


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that answers at `base_url`, which has no trailing slash.

    Accounts are at ``/authorize`` and ``/api/token``, the Web API at ``/v1``.
    """

    base_url: str
    world: World
    clock: Clock
    tokens: Tokens
    controls: Controls

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour in force."""
        return self.controls.behaviour

    def behave(self, **changes: Any) -> Behaviour:
        """Change fields of the behaviour from the next call on; numbers of calls for faults start at 1 again.

        Raises:
            BehaviourError: A value is not valid.
        """
        self.controls.behaviour = replace(self.controls.behaviour, **changes)
        return self.controls.behaviour

    def consent(
        self, user_id: str, *, client_id: str, redirect_uri: str, scope: str, code_challenge: str | None = None
    ) -> str:
        """Return an authorization code as if the user had consented, without a browser.

        Raises:
            NotFoundError: The user does not exist.
        """
        user = self.world.user(user_id)
        return self.tokens.authorize(user.id, client_id, redirect_uri, scope, code_challenge)


@contextlib.contextmanager
def running_simulator(
    world: World | None = None,
    *,
    clock: Clock | None = None,
    port: int = 0,
    seed: int = 1,
    behaviour: Behaviour | None = None,
    wrapped: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Iterator[RunningSimulator]:
    """Serve on 127.0.0.1 until the block ends.

    Args:
        world: World to serve; None generates one from `seed`.
        clock: Clock of the simulator; None follows real time.
        port: TCP port; 0 takes a free one.
        seed: Seed of the world; only used when `world` is None.
        behaviour: Initial behaviour; None is extended quota without limits or faults.
        wrapped: Takes the application, and returns the application to serve in its place.

    Raises:
        EchostatsError: The port is taken.
    """
    world, clock = world or World(seed=seed), clock or Clock()
    tokens = Tokens(world.seed, clock)
    with bound_socket(LOOPBACK, port) as listener:
        app = create_app(world, clock, tokens, behaviour=behaviour)
        server, site = http_server(wrapped(app) if wrapped else app), app.state.site
        thread = threading.Thread(target=server.run, args=([listener],), name="simulated-spotify", daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            base_url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
            yield RunningSimulator(base_url, world, clock, tokens, site.controls)
        finally:
            server.should_exit = True
            thread.join()


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket on `host`.

    Raises:
        EchostatsError: The port is in use, or the address is not one of this machine.
    """
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise EchostatsError(
            f"the simulated Spotify cannot listen on {host}:{port}: {error.strerror or error}. "
            "Stop the program that uses the port, or choose another port"
        ) from error


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise EchostatsError("the simulated Spotify did not start")
        time.sleep(_POLL_SECONDS)
