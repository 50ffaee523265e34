"""Windows and tiles: the arithmetic of DESIGN section 5, once, for the oracle and for the Lua plan.

With granularity g a tile's index is floor(t / g). A window of length W at event time t is the sum
over the tiles with index in (floor((t - W) / g), floor(t / g)]. All times are integer milliseconds.

`midnight` and `20h` are windows that begin at a local hour, the last one at or before t; São Paulo is
UTC-3 all year, so that its hours are tiles too.
"""

from dataclasses import dataclass

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

RETENTION = 75 * DAY
"""An entity whose newest event is older than this reads as never seen; reports are kept as long."""

LOCAL_OFFSET = -3 * HOUR
"""America/Sao_Paulo: UTC-3 all year since daylight saving ended (Decree 9.772/2019), before Pix began."""

NIGHT_FROM, NIGHT_TO = 20, 6
"""Local hours of Pix's night, [20 h, 6 h)."""

REPORT_DELAY = 7 * DAY
"""A delayed window ends this long before the transaction: reports of its payments had time to arrive."""


@dataclass(frozen=True)
class Level:
    """One granularity of tiles: `grain` ms a tile, tiles kept `keep` ms behind the entity's newest event."""

    number: int
    grain: int
    keep: int

    def tile(self, time: int) -> int:
        return time // self.grain

    def first_kept(self, newest: int) -> int:
        """The oldest tile that is still kept."""
        return (newest - self.keep) // self.grain + 1


LEVELS = (
    Level(1, MINUTE, 30 * MINUTE),
    Level(2, 5 * MINUTE, 3 * HOUR),
    Level(3, HOUR, 4 * DAY),
    Level(4, DAY, RETENTION),
)


@dataclass(frozen=True)
class Window:
    """A span of event time that ends at the transaction, read from the tiles of one level."""

    name: str
    length: int
    """The longest it can be, in ms."""
    level: Level
    since: int | None = None
    """The UTC time of day, in ms, at which it begins; None: it is as long as `length`."""

    def bounds(self, time: int, shift: int = 0) -> tuple[int, int]:
        """(low, high]: the tile indexes that this window sums at `time`, moved back by `shift` ms."""
        if self.since is not None:
            begin = (time - self.since) // DAY * DAY + self.since
            return self.level.tile(begin) - 1, self.level.tile(time)
        return self.level.tile(time - shift - self.length), self.level.tile(time - shift)


WINDOWS = {
    window.name: window
    for window in (
        Window("5m", 5 * MINUTE, LEVELS[0]),
        Window("1h", HOUR, LEVELS[1]),
        Window("2h", 2 * HOUR, LEVELS[1]),
        Window("6h", 6 * HOUR, LEVELS[2]),
        Window("24h", 24 * HOUR, LEVELS[2]),
        Window("3d", 3 * DAY, LEVELS[2]),
        Window("7d", 7 * DAY, LEVELS[3]),
        Window("14d", 14 * DAY, LEVELS[3]),
        Window("30d", 30 * DAY, LEVELS[3]),
        Window("60d", 60 * DAY, LEVELS[3]),
        Window("midnight", DAY, LEVELS[2], since=-LOCAL_OFFSET),
        Window("20h", DAY, LEVELS[2], since=NIGHT_FROM * HOUR - LOCAL_OFFSET),
    )
}


def local_hour(time: int) -> int:
    """Hour of the day in São Paulo, 0-23."""
    return (time + LOCAL_OFFSET) // HOUR % 24


def at_night(time: int) -> bool:
    """Whether Pix's night limit holds: 20 h to 6 h local."""
    return not NIGHT_TO <= local_hour(time) < NIGHT_FROM
