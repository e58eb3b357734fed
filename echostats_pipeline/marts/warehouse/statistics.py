"""Statistics of all time from the warehouse alone, to compare with the core's snapshot."""

from collections.abc import Mapping
from typing import Any

from echostats_pipeline.marts.warehouse.connection import Connection
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.model.statistics import AnalyticsSnapshot

JOINED = """
FROM plays p JOIN tracks t ON t.user_id = p.user_id AND t.track_id = p.track_id WHERE p.user_id = %s AND p.counts
"""
STATISTICS: Mapping[str, str] = {
    "total_tracks_played": "SELECT sum(plays)::bigint FROM days WHERE user_id = %s",
    "total_ms_played": "SELECT sum(listened_ms)::bigint FROM days WHERE user_id = %s",
    "active_days": "SELECT count(*) FROM days WHERE user_id = %s AND plays > 0",
    "unique_tracks": f"SELECT count(DISTINCT t.song_id) {JOINED}",
    "unique_artists": f"SELECT count(DISTINCT t.artist_id) {JOINED}",
    "unique_albums": f"SELECT count(DISTINCT t.album_id) {JOINED}",
    "unique_genres": """
        SELECT count(DISTINCT g.genre) FROM plays p
        JOIN track_genres g ON g.user_id = p.user_id AND g.track_id = p.track_id WHERE p.user_id = %s AND p.counts
    """,
    "sessions": "SELECT count(*) FROM sessions WHERE user_id = %s",
    "longest_session_ms": """
        SELECT (extract(epoch FROM max(ended_at - started_at)) * 1000)::bigint FROM sessions WHERE user_id = %s
    """,
    "skip_rate": "SELECT round(sum(skips)::numeric / nullif(sum(skips_known), 0), 6) FROM days WHERE user_id = %s",
    "plays_by_hour": "SELECT local_hour, count(*) FROM plays WHERE user_id = %s AND counts GROUP BY 1 ORDER BY 1",
    "plays_by_weekday": "SELECT local_weekday, count(*) FROM plays WHERE user_id = %s AND counts GROUP BY 1 ORDER BY 1",
    "plays_of_top_artists": f"""
        SELECT count(*) {JOINED} AND t.artist_id IS NOT NULL GROUP BY t.artist_id ORDER BY 1 DESC LIMIT 10
    """,
    "plays_of_top_songs": f"SELECT count(*) {JOINED} GROUP BY t.song_id ORDER BY 1 DESC LIMIT 10",
}
"""Statements that give one user's statistics, by name. One of several columns or rows gives a list."""
LISTS = ("plays_by_hour", "plays_by_weekday", "plays_of_top_artists", "plays_of_top_songs")


def in_warehouse(connection: Connection, user_id: str) -> dict[str, Any]:
    """The statistics of a user as the warehouse has them."""
    found: dict[str, Any] = {}
    for name, sql in STATISTICS.items():
        rows = connection.execute(sql, (user_uuid(user_id),)).fetchall()
        if name in LISTS:
            found[name] = [row if len(row) > 1 else row[0] for row in rows]
        else:
            value = rows[0][0]
            found[name] = float(value) if name == "skip_rate" and value is not None else value
    return found


def in_core(snapshot: AnalyticsSnapshot) -> dict[str, Any]:
    """The same statistics as the core's snapshot of all time has them."""
    names = ("total_tracks_played", "total_ms_played", "active_days")
    unique = ("unique_tracks", "unique_artists", "unique_albums", "unique_genres")
    return {
        **{name: getattr(snapshot, name) for name in (*names, *unique)},
        "sessions": snapshot.sessions.count,
        "longest_session_ms": snapshot.sessions.longest_ms,
        "skip_rate": snapshot.skip_rate,
        "plays_by_hour": [(each.hour, each.count) for each in snapshot.hourly_distribution if each.count],
        "plays_by_weekday": [(each.day, each.count) for each in snapshot.daily_distribution if each.count],
        "plays_of_top_artists": [each.play_count for each in snapshot.top_artists[:10]],
        "plays_of_top_songs": [each.play_count for each in snapshot.top_tracks[:10]],
    }
