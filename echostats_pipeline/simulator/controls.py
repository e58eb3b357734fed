"""Controls of a running simulator: its behaviour in force, its counts of calls, and what clients have written.

Belongs here: `Controls`, the one mutable part besides clock and tokens. Not here: HTTP (``switchboard``).
"""

from datetime import timedelta

from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.faults import FaultDice
from echostats_pipeline.simulator.limits import LIMIT_WINDOW, Meter, Window
from echostats_pipeline.simulator.listens import Listens
from echostats_pipeline.simulator.own_playlists import OwnPlaylists

SECOND, TEN_SECONDS = timedelta(seconds=1), timedelta(seconds=10)
_ROTATION_SHARE = 0.5


class Controls:
    """The behaviour in force; setting it restarts the numbering of calls for faults at 1, but keeps all counts.

    Args:
        seed: Decides which calls a rate strikes.
        behaviour: The behaviour to begin with.
    """

    def __init__(self, seed: int, behaviour: Behaviour) -> None:
        self.meter = Meter()
        self.reccobeats = Window(LIMIT_WINDOW)
        self.musicbrainz = Window(SECOND)
        self.lastfm = Window(SECOND)
        self.listenbrainz = Window(TEN_SECONDS)
        self.listens = Listens()
        self.own_playlists = OwnPlaylists()
        self._seed = seed
        self._refreshes = 0
        self._set(behaviour)

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour in force."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._set(behaviour)

    def rotates(self) -> bool:
        """Return whether this refresh returns a new refresh token."""
        self._refreshes += 1
        match self._behaviour.rotation:
            case "random":
                return chance(self._seed, "rotation", self._refreshes) < _ROTATION_SHARE
            case rotation:
                return rotation == "always"

    def _set(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.dice = FaultDice(self._seed, behaviour.faults)
