"""Whether a model is better than the baselines: one cut in time, full rankings, a paired bootstrap.

Everything is computed from plays before the cut, popularity and scalers included. Which model competes is decided by a
comparison of its own on plays before the cut; the plays after the cut then judge that model alone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from echostats_pipeline.model.recommendations import (
    Baseline,
    EvaluationUnit,
    Model,
    ModelEvaluation,
    Scorer,
    ScorerResult,
    Task,
)
from echostats_pipeline.recommender import metrics
from echostats_pipeline.recommender.listening import Flags, Floats, Listening, Numbers
from echostats_pipeline.recommender.scoring import (
    BASELINES,
    MODELS,
    Profile,
    Shared,
    Songs,
    candidates_to_rediscover,
    ranked,
    score,
    unheard,
)

TEST_DAYS, TEST_SHARE = 28, 0.2
"""The cut lies 28 days before the last play; with a shorter history, before the last fifth of the plays."""
LEAST_PLAYS = 5
"""Users with fewer plays before the cut are left out."""
ENOUGH_USERS = 30
"""With fewer users, sessions are resampled."""
LEAST_UNITS = 5
"""With fewer users or sessions, nothing can be concluded."""
COVERAGE_FACTOR, COVERAGE_SHARE = 5.0, 0.5
"""A model must cover five times the songs that the best baseline covers. Where lists of so few users cannot cover so
many, it must cover half of what they can."""
MOST_USERS = 500
"""Users judged at most, evenly chosen. More would not change the verdict, and cost time."""


@dataclass(frozen=True, eq=False)
class Trial:
    """The rankings of one task after a cut, and what came true.

    Attributes:
        users: The users judged.
        rankings: For each model and baseline, the list of each of them.
        relevant: For each user judged, the songs to foretell.
        sessions: For each user judged, the songs to foretell of each session.
        unseen_share: Share of the songs played later that the user had not played before.
        unreachable_share: Share of the songs to foretell that were no candidates.
    """

    users: Sequence[int]
    rankings: Mapping[Scorer, Sequence[Numbers]]
    relevant: Sequence[frozenset[int]]
    sessions: Sequence[Sequence[frozenset[int]]]
    unseen_share: float
    unreachable_share: float

    def ndcg(self, name: Scorer) -> float:
        """Mean NDCG@20 over users."""
        return float(np.mean([metrics.ndcg(*pair) for pair in self._judged(name)] or [0.0]))

    def recall(self, name: Scorer) -> float:
        """Mean recall@20 over users."""
        return float(np.mean([metrics.recall(*pair) for pair in self._judged(name)] or [0.0]))

    def differences(self, one: Scorer, other: Scorer, unit: EvaluationUnit) -> list[float]:
        """Differences of NDCG@20 for each user or session."""
        pairs = zip(self.rankings[one], self.rankings[other], strict=True)
        targets = [[each] for each in self.relevant] if unit == "users" else self.sessions
        return [
            metrics.ndcg(mine, relevant) - metrics.ndcg(theirs, relevant)
            for (mine, theirs), of_user in zip(pairs, targets, strict=True)
            for relevant in of_user
        ]

    def best(self, names: Sequence[Scorer]) -> Scorer:
        """The one with the highest NDCG@20, the first of equals."""
        return max(names, key=lambda name: (self.ndcg(name), -names.index(name)))

    def _judged(self, name: Scorer) -> Sequence[tuple[Numbers, frozenset[int]]]:
        return list(zip(self.rankings[name], self.relevant, strict=True))


@dataclass(frozen=True, eq=False)
class Library:
    """Songs that a user has saved or put into playlists: their numbers, and when they were added."""

    songs: Numbers
    added_at: Sequence[datetime]

    def before(self, instant: datetime, size: int) -> Flags:
        """The songs added before an instant."""
        found = np.zeros(size, dtype=bool)
        found[self.songs[np.array([at < instant for at in self.added_at], dtype=bool)]] = True
        return found


def cut_of(listening: Listening) -> datetime | None:
    """The instant that separates plays to learn from and plays to foretell; None without enough plays."""
    times = listening.liked()["played_at"].sort()
    if len(times) < 2 * LEAST_PLAYS:
        return None
    first, last = times[0], times[-1]
    by_days = last - timedelta(days=TEST_DAYS)
    by_share = times[int(len(times) * (1 - TEST_SHARE))]
    cut: datetime = by_days if by_days - first >= timedelta(days=TEST_DAYS) else by_share
    return cut


def evaluate(
    listening: Listening, songs: Songs, libraries: Mapping[str, Library], now: datetime
) -> dict[Task, ModelEvaluation]:
    """Compare all models with all baselines, for each kind of list.

    Args:
        listening: All plays.
        songs: What is known of the songs.
        libraries: Saved songs by user id.
        now: When this is done.
    """
    cut = cut_of(listening)
    earlier = listening.before(cut) if cut else listening
    inner = cut_of(earlier) if cut else None
    after = trials(listening, songs, libraries, cut) if cut else {}
    before = trials(earlier, songs, libraries, inner) if inner else {}
    return {task: _verdict(task, listening, songs, after.get(task), before.get(task), cut, now) for task in BASELINES}


def trials(listening: Listening, songs: Songs, libraries: Mapping[str, Library], cut: datetime) -> dict[Task, Trial]:
    """Rank all songs for all users from plays before the cut, and see what came true after it."""
    past, future = listening.before(cut), listening.since(cut)
    shared = Shared.of(past, cut)
    later = _by_user(future)
    rankings: dict[Task, dict[Scorer, list[Numbers]]] = {
        task: {name: [] for name in (*MODELS, *BASELINES[task])} for task in BASELINES
    }
    relevant: dict[Task, list[frozenset[int]]] = {task: [] for task in BASELINES}
    sessions: dict[Task, list[list[frozenset[int]]]] = {task: [] for task in BASELINES}
    judged: dict[Task, list[int]] = {task: [] for task in BASELINES}
    unseen: list[float] = []
    reached: dict[Task, list[float]] = {task: [] for task in BASELINES}
    users = [user for user in later if past.of_user(user).liked().height >= LEAST_PLAYS]
    for user in users[:: max(1, len(users) // MOST_USERS)]:
        profile = Profile.of(past, user, shared, songs, cut)
        library = libraries.get(listening.users[user])
        saved = library.before(cut, listening.size) if library else np.zeros(listening.size, dtype=bool)
        heard_later = np.array(sorted({song for each in later[user] for song in each}), dtype=np.int64)
        unseen.append(float((profile.counts[heard_later] == 0).mean()))
        candidates: dict[Task, Flags] = {
            "discover": songs.is_listable & unheard(profile) & ((profile.others > 0) | saved),
            "rediscover": candidates_to_rediscover(profile),
        }
        for task, among in candidates.items():
            wanted = unheard(profile) if task == "discover" else among
            of_sessions = [frozenset(song for song in each if wanted[song]) for each in later[user]]
            targets = frozenset(song for each in of_sessions for song in each)
            if not targets:
                continue
            scores = score(profile, shared, songs, among)
            for name, lists in rankings[task].items():
                lists.append(ranked(scores.of[name], songs.artists, metrics.AT))
            judged[task].append(user)
            relevant[task].append(targets)
            sessions[task].append([each for each in of_sessions if each])
            reached[task].append(float(np.mean(among[list(targets)])))
    return {
        task: Trial(
            judged[task],
            rankings[task],
            relevant[task],
            sessions[task],
            float(np.mean(unseen)) if unseen else 0.0,
            1.0 - float(np.mean(reached[task])) if reached[task] else 0.0,
        )
        for task in BASELINES
    }


def _by_user(future: Listening) -> dict[int, list[frozenset[int]]]:
    """The songs of each later session, by user."""
    found: dict[int, list[frozenset[int]]] = defaultdict(list)
    sessions = future.liked().group_by("user", "basket", maintain_order=True).agg(pl.col("item").unique())
    for user, _, items in sessions.iter_rows():
        found[user].append(frozenset(items))
    return dict(sorted(found.items()))


def _verdict(
    task: Task,
    listening: Listening,
    songs: Songs,
    after: Trial | None,
    before: Trial | None,
    cut: datetime | None,
    now: datetime,
) -> ModelEvaluation:
    """Judge the model of a task."""
    fallback = BASELINES[task][0]
    if after is None or not after.relevant:
        why = f"There are too few plays after the cut to judge a model, so {fallback} orders the lists."
        return ModelEvaluation(
            task=task,
            evaluated_at=now,
            cut_at=cut,
            users=0,
            songs=listening.size,
            passed=False,
            served=fallback,
            why=why,
        )
    popularity = _popularity(listening.before(cut) if cut else listening)
    results = [_result(name, after, listening.size, popularity, songs.artists) for name in after.rankings]
    by_name = {result.name: result for result in results}
    model: Model = (before if before and before.relevant else after).best(MODELS)  # type: ignore[assignment]
    baseline: Baseline = after.best(BASELINES[task])  # type: ignore[assignment]
    # Random order is a floor to compare with, not a list for a person.
    shown = [name for name in BASELINES[task] if name != "random"]
    fallback = max(shown, key=lambda name: (by_name[name].ndcg, by_name[name].coverage))
    unit: EvaluationUnit = "users" if len(after.relevant) >= ENOUGH_USERS else "sessions"
    differences = after.differences(model, baseline, unit)
    low, high = metrics.bootstrap_bounds(differences)
    possible = min(1.0, metrics.AT * len(after.relevant) / max(listening.size, 1))
    required, in_place = coverage_required(by_name[baseline].coverage, possible)
    covers = by_name[model].coverage >= required
    passed = low > 0 and covers and len(differences) >= LEAST_UNITS
    difference = float(np.mean(differences))
    over = f"over {len(differences)} {unit}, NDCG@20 differs by {difference:+.3f}"
    by = f"{over}, with 95 % confidence by {low:+.3f} to {high:+.3f}"
    if passed:
        why = f"{model} is better than the best baseline, {baseline}, so it is active: {by}.{in_place}"
    elif len(differences) < LEAST_UNITS:
        why = f"{len(differences)} {unit} are too few to judge a model, so {fallback} orders the lists."
    elif after.unreachable_share == 1:
        why = (
            "None of the songs played later could have been recommended, because nobody here had played or saved them "
            f"before, so {fallback} orders the lists."
        )
    elif not any(result.ndcg for result in results):
        why = f"No model and no baseline foretold a single song, so nothing is proved and {fallback} orders the lists."
    elif low <= 0:
        why = f"{model} is not surely better than {baseline}, so {fallback} orders the lists: {by}."
    else:
        covered = f"{by_name[model].coverage:.1%} of all songs, and {required:.1%} are required"
        why = f"The lists of {model} cover {covered}, so {fallback} orders the lists: {by}.{in_place}"
    return ModelEvaluation(
        task=task,
        evaluated_at=now,
        cut_at=cut,
        users=len(after.relevant),
        songs=listening.size,
        unseen_share=round(after.unseen_share, 4),
        unreachable_share=round(after.unreachable_share, 4),
        results=results,
        model=model,
        baseline=baseline,
        unit=unit,
        units=len(differences),
        difference=round(difference, 6),
        lower=round(low, 6),
        upper=round(high, 6),
        coverage_required=round(required, 6),
        passed=passed,
        served=model if passed else fallback,
        fallback=fallback,
        why=why,
    )


def coverage_required(of_baseline: float, possible: float) -> tuple[float, str]:
    """The least coverage of a model, and a sentence that says so if it is not five times that of the baseline.

    Args:
        of_baseline: Coverage of the best baseline.
        possible: What lists of the users judged can cover if all of their songs differ.
    """
    if COVERAGE_FACTOR * of_baseline <= possible:
        return COVERAGE_FACTOR * of_baseline, ""
    return COVERAGE_SHARE * possible, (
        " Lists of so few users cannot cover five times as many songs as the baseline's; half of what they can cover "
        "was required."
    )


def _result(name: Scorer, trial: Trial, size: int, popularity: Floats, artists: Numbers) -> ScorerResult:
    lists = trial.rankings[name]
    return ScorerResult(
        name=name,
        is_baseline=name not in MODELS,
        ndcg=round(trial.ndcg(name), 6),
        recall=round(trial.recall(name), 6),
        coverage=round(metrics.coverage(lists, size), 6),
        novelty_bits=round(metrics.novelty(lists, popularity), 4),
        most_per_artist=metrics.most_per_artist(lists, artists),
    )


def _popularity(listening: Listening) -> Floats:
    """The share of sessions that have each song; that of songs without any lies below all others."""
    held = listening.liked().select("basket", "item").unique()
    sessions = max(held["basket"].n_unique(), 1)
    counts = np.bincount(held["item"].to_numpy(), minlength=listening.size)
    return np.maximum(counts, 0.5) / sessions
