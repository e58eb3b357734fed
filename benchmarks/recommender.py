"""Shows what the recommender is worth, and what it costs.

    python -m benchmarks.recommender
    python -m benchmarks.recommender --songs 40000 --users 1000

Four parts: listeners with planted tastes (a model must win), listeners without any structure (no model may be
activated), the listeners of the simulated Spotify, and time and memory for many songs and users. With the extra
`rivals` installed, the models of `implicit` stand in the same tables, and `ir-measures` computes the metrics again.
This is not a test: it succeeds whatever the numbers are.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, get_args

import numpy as np
import polars as pl
from scipy import sparse

from benchmarks.measuring import peak_mib
from echostats_pipeline.model.recommendations import Task
from echostats_pipeline.recommender import metrics
from echostats_pipeline.recommender.baskets import build_baskets
from echostats_pipeline.recommender.collaborative_v0 import collaborative_v0
from echostats_pipeline.recommender.content import Content
from echostats_pipeline.recommender.evaluation import Trial, cut_of, evaluate, trials
from echostats_pipeline.recommender.listening import HEARD_SCHEMA, Listening, Numbers
from echostats_pipeline.recommender.neighbours import item_neighbours
from echostats_pipeline.recommender.scoring import MODELS, Profile, Shared, Songs, ranked, score
from echostats_pipeline.simulator.catalogue import Track
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.recommender.worlds import END, world

PARTS = ("planted", "none", "simulated", "scale")
HAS_RIVALS = importlib.util.find_spec("implicit") is not None
HAS_MEASURES = importlib.util.find_spec("ir_measures") is not None
SIMULATED_USERS = 30
MIN_PLAY_MS = 30_000
AT_HOME = 0.8
"""Share of the plays of many users that come from their own neighbourhoods."""
SEEDS = range(1, 11)
PLAYS_A_SESSION, SESSIONS_A_USER = 10, 150

Rankings = Mapping[str, Sequence[Numbers]]


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=int, default=40_000, help="songs of the last part")
    parser.add_argument("--users", type=int, default=1_000, help="users of the last part")
    parser.add_argument("--part", choices=PARTS, help="only this part")
    asked = parser.parse_args()
    parts = [asked.part] if asked.part else PARTS
    if not HAS_RIVALS or not HAS_MEASURES:
        print('Without rivals or a second opinion on the metrics: pip install ".[rivals]" brings both.\n')
    if "planted" in parts:
        print("## Planted tastes: 120 users, 1,500 songs, 12 tastes, each user has two of them\n")
        planted = world(users=120, songs=1_500, sessions=50)
        compare(planted.listening, planted.songs, END)
    if "none" in parts:
        print("## No structure: songs drawn by popularity alone, 60 users, ten worlds\n")
        without_structure()
    if "simulated" in parts:
        print(f"## The simulated Spotify, {SIMULATED_USERS} users\n")
        compare(*simulated(SIMULATED_USERS))
    if "scale" in parts:
        print(f"## {asked.songs:,} songs and {asked.users:,} users\n")
        scale(asked.songs, asked.users)


def compare(listening: Listening, songs: Songs, now: datetime) -> None:
    """Print the table of each kind of list, with the rivals, and the verdict."""
    verdicts, cut = evaluate(listening, songs, {}, now), cut_of(listening)
    after = trials(listening, songs, {}, cut) if cut else {}
    for task in get_args(Task):
        trial = after.get(task)
        if trial is None or not trial.relevant:
            print(f"{task}: nothing to foretell.\n")
            continue
        rankings: dict[str, Sequence[Numbers]] = {str(name): lists for name, lists in trial.rankings.items()}
        if HAS_RIVALS and cut is not None and task == "discover":
            rankings |= dict(rivals(listening, songs, trial, cut))
        if cut is not None and task == "discover":
            rankings["guide collaborative_v0"] = of_guide(listening, songs, trial, cut)
        verdict = verdicts[task]
        print(f"{task}, {len(trial.relevant)} users, {listening.size:,} songs")
        print(f"{'':32}{'NDCG@20':>9}{'recall@20':>11}{'coverage@20':>13}  minus {verdict.baseline}")
        base = trial.rankings[verdict.baseline] if verdict.baseline else []
        for name, lists in rankings.items():
            print_line(name, lists, base, trial, listening.size, is_baseline=name == verdict.baseline)
        if HAS_MEASURES:
            print(second_opinion(rankings, trial))
        print(f"{verdict.why}\n")


def print_line(
    name: str, lists: Sequence[Numbers], base: Sequence[Numbers], trial: Trial, size: int, *, is_baseline: bool
) -> None:
    """Print the metrics of one model, and its paired difference from the best baseline over users."""
    gains = [metrics.ndcg(*pair) for pair in zip(lists, trial.relevant, strict=True)]
    recalls = [metrics.recall(*pair) for pair in zip(lists, trial.relevant, strict=True)]
    said = ""
    if not is_baseline:
        theirs = [metrics.ndcg(*pair) for pair in zip(base, trial.relevant, strict=True)]
        differences = [mine - other for mine, other in zip(gains, theirs, strict=True)]
        low, high = metrics.bootstrap_bounds(differences)
        said = f"{np.mean(differences):+.3f} [{low:+.3f}, {high:+.3f}]"
    label = f"{name}{'' if name in MODELS or ' ' in name else ' (baseline)'}"
    numbers = (f"{np.mean(gains):9.3f}", f"{np.mean(recalls):11.3f}", f"{metrics.coverage(lists, size):13.3f}")
    print(f"{label:32}{''.join(numbers)}  {said}")


def rivals(listening: Listening, songs: Songs, trial: Trial, cut: datetime) -> Iterator[tuple[str, list[Numbers]]]:
    """The lists of the models of `implicit`, of the same candidates and with at most two songs of an artist."""
    from implicit.als import AlternatingLeastSquares  # noqa: PLC0415 - optional
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender  # noqa: PLC0415

    past = listening.before(cut)
    plays = past.liked().group_by("user", "item").agg(plays=pl.len()).sort("user", "item")
    cells = (plays["user"].to_numpy(), plays["item"].to_numpy())
    table = sparse.csr_matrix(
        (plays["plays"].to_numpy().astype(np.float32), cells), shape=(len(listening.users), listening.size)
    )
    everyone = np.asarray((table > 0).sum(axis=0)).reshape(-1) > 0
    models = {
        "implicit ALS": AlternatingLeastSquares(factors=64, regularization=0.05, alpha=5.0, random_state=0),
        "implicit BM25": BM25Recommender(K=100),
        "implicit cosine": CosineRecommender(K=100),
    }
    for name, model in models.items():
        model.fit(table, show_progress=False)
        lists = []
        for user in trial.users:
            if name == "implicit ALS":
                scores = model.item_factors @ model.user_factors[user]
                scores = scores - scores.min() + 1e-9
            else:
                scores = np.asarray((table[user] @ model.similarity).todense()).reshape(-1)
            heard = np.asarray(table[user].todense()).reshape(-1) > 0
            lists.append(ranked(np.where(everyone & ~heard, scores, 0.0), songs.artists, metrics.AT))
        yield name, lists


def of_guide(listening: Listening, songs: Songs, trial: Trial, cut: datetime) -> list[Numbers]:
    """The lists by the formulas of EchoTune's guide."""
    past = listening.before(cut)
    found = (collaborative_v0(past, user, cut).raw for user in trial.users)
    return [ranked(raw, songs.artists, metrics.AT) for raw in found]


def second_opinion(rankings: Rankings, trial: Trial) -> str:
    """How far NDCG@20 and recall@20 are from those of `ir-measures`."""
    import ir_measures  # noqa: PLC0415 - optional

    wanted = [ir_measures.Qrel(str(user), str(song), 1) for user, each in enumerate(trial.relevant) for song in each]
    worst = 0.0
    for lists in rankings.values():
        run = [
            ir_measures.ScoredDoc(str(user), str(song), float(-place))
            for user, each in enumerate(lists)
            for place, song in enumerate(each[: metrics.AT])
        ]
        found: dict[tuple[str, str], float] = {
            (one.query_id, str(one.measure)): one.value
            for one in ir_measures.iter_calc([ir_measures.nDCG @ metrics.AT, ir_measures.R @ metrics.AT], wanted, run)
        }
        for user, (each, relevant) in enumerate(zip(lists, trial.relevant, strict=True)):
            theirs = found.get((str(user), f"R@{metrics.AT}"), 0.0) * len(relevant) / min(metrics.AT, len(relevant))
            gain = found.get((str(user), f"nDCG@{metrics.AT}"), 0.0)
            worst = max(worst, abs(gain - metrics.ndcg(each, relevant)), abs(theirs - metrics.recall(each, relevant)))
    return f"ir-measures: NDCG@20 and recall@20 of every user and model differ by at most {worst:.1e}."


def without_structure() -> None:
    """Print how often a model was activated where there is nothing to learn."""
    activated, differences = [], []
    for seed in SEEDS:
        drawn = world(users=60, sessions=50, planted=0.0, seed=seed)
        found = evaluate(drawn.listening, drawn.songs, {}, END)["discover"]
        differences.append(found.difference)
        activated += [seed] if found.passed else []
    low, high = min(differences), max(differences)
    print(f"A model was activated in {len(activated)} of {len(SEEDS)} worlds; differences {low:+.3f} to {high:+.3f}.\n")


def simulated(users: int) -> tuple[Listening, Songs, datetime]:
    """Half a year of listeners of the simulated Spotify."""
    now = datetime(2025, 7, 1, tzinfo=UTC)
    place = World(user_count=users, epoch=date(2024, 12, 1))
    songs = sorted(place.catalogue.tracks)
    number = {song: at for at, song in enumerate(songs)}
    song_of = place.releases.song_of
    rows = []
    basket = 0
    for user, person in enumerate(place.users):
        sessions: dict[datetime, int] = {}
        for play in place.plays(person, datetime(2025, 1, 1, tzinfo=UTC), now):
            if not isinstance(play.item, Track) or play.ms_played < MIN_PLAY_MS:
                continue
            if (song := song_of[play.item.id]) not in number:
                continue  # a live version or a remix
            session = sessions.setdefault(play.session_started_at, basket + len(sessions))
            rows.append((user, session, number[song], play.played_at, not play.skipped))
        basket += len(sessions)
    heard = pl.DataFrame(rows, schema=HEARD_SCHEMA, orient="row").sort("user", "played_at", "item")
    listening = Listening([each.id for each in place.users], np.ones(users, dtype=bool), songs, heard)
    of_artist = {artist: at for at, artist in enumerate(place.catalogue.artists)}
    tracks = [place.catalogue.tracks[song] for song in songs]
    features = np.array([_features(place, song) for song in songs])
    content = Content.of(features, [list(track.artists[0].genres) for track in tracks])
    artists = np.array([of_artist[track.artists[0].id] for track in tracks])
    return listening, Songs(artists, content, np.ones(len(songs), dtype=bool)), now


def _features(place: World, song: str) -> list[float]:
    known = place.catalogue.audio_features.get(song)
    names = (
        "danceability",
        "energy",
        "valence",
        "acousticness",
        "instrumentalness",
        "liveness",
        "speechiness",
        "tempo",
    )
    return [float(getattr(known, name)) if known else float("nan") for name in names]


def scale(songs: int, users: int) -> None:
    """Print time and peak memory of each step for many songs and users."""
    print(f"before: {peak_mib(os.getpid()):,.0f} MiB at most")
    listening, found = timed("drawing plays", lambda: many(songs, users))
    print(f"{listening.heard.height:,} plays in {users * SESSIONS_A_USER:,} sessions")
    baskets = timed("baskets", lambda: build_baskets(listening, END))
    neighbours = timed("neighbours of all songs", lambda: item_neighbours(baskets))
    print(f"{neighbours.weights.nnz:,} pairs of neighbours")
    shared = timed("popularity", lambda: Shared.of(listening, END, neighbours))

    def one_user() -> Any:
        profile = Profile.of(listening, 0, shared, found, END)
        return score(profile, shared, found, (profile.counts == 0) & (shared.listeners > 0))

    timed("all scores of one user", one_user)
    timed("evaluation of all models", lambda: evaluate(listening, found, {}, END))


def timed(name: str, work: Callable[[], Any]) -> Any:
    """Do some work and print how long it took and how much memory was in use at most until then."""
    wall, own = time.perf_counter(), time.process_time()
    result = work()
    taken = f"{time.perf_counter() - wall:8.1f} s ({time.process_time() - own:.1f} s of processor)"
    print(f"{name:28}{taken:34}{peak_mib(os.getpid()):8,.0f} MiB at most", flush=True)
    return result


def many(songs: int, users: int) -> tuple[Listening, Songs]:
    """Plays of many users, each of whom likes a few of many neighbourhoods of songs."""
    rng = np.random.default_rng(1)
    sessions, size = users * SESSIONS_A_USER, 200
    user = np.repeat(np.arange(users), SESSIONS_A_USER)
    homes = rng.integers(0, songs // size, (users, 4))
    home = homes[user, rng.integers(0, 4, sessions)]
    place = (rng.pareto(1.0, (sessions, PLAYS_A_SESSION)) * 8).astype(np.int64) % size
    fame = (rng.pareto(0.8, (sessions, PLAYS_A_SESSION)) * 20).astype(np.int64) % songs
    item = np.where(rng.random((sessions, PLAYS_A_SESSION)) < AT_HOME, home[:, None] * size + place, fame)
    began = np.datetime64(END.replace(tzinfo=None), "ms") - rng.integers(3_600_000, 365 * 86_400_000, sessions).astype(
        "timedelta64[ms]"
    )
    played = began[:, None] + (np.arange(PLAYS_A_SESSION) * 200_000).astype("timedelta64[ms]")
    heard = pl.DataFrame(
        {
            "user": np.repeat(user, PLAYS_A_SESSION),
            "basket": np.repeat(np.arange(sessions), PLAYS_A_SESSION),
            "item": item.reshape(-1),
            "played_at": pl.Series(played.reshape(-1)).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
            "liked": True,
        },
        schema_overrides=HEARD_SCHEMA,
    ).sort("user", "played_at", "item")
    names = [f"song-{number:06d}" for number in range(songs)]
    listening = Listening([f"user-{number:04d}" for number in range(users)], np.ones(users, dtype=bool), names, heard)
    features = rng.random((songs, 8))
    content = Content.of(features, [[f"tag-{number // size % 50}"] for number in range(songs)])
    return listening, Songs(np.arange(songs) // 5, content, np.ones(songs, dtype=bool))


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
