"""Which model orders the lists: nightly evaluations decide, and a person may overrule them."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.recommendations import ModelActivation, ModelEvaluation, Scorer, Task
from echostats_pipeline.recommender.evaluation import evaluate
from echostats_pipeline.recommender.lists import Verdict, unproven
from echostats_pipeline.recommender.reading import known_songs, read_sessions
from echostats_pipeline.recommender.scoring import BASELINES, MODELS
from echostats_pipeline.recommender.wording import DECIDED, NOT_PROVEN, PROVEN
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store

VERSION = "1"
"""Version of the recommender; change it with anything that changes lists."""
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation: one document per kind of list, and what has changed because of it."""

    evaluations: dict[Task, ModelEvaluation]
    activated: dict[Task, Scorer]


def evaluate_models(store: Store, settings: Settings, now: datetime) -> Evaluated:
    """Evaluate all models on the plays of all users; activate what the evaluation serves, unless a person decided."""
    users = store.users.all()
    played = [(user, read_sessions(store, user, settings.min_play_ms)) for user in users]
    known = known_songs(store, played, with_library=True, same_recording=settings.same_recording)
    libraries = {user.user_id: known.library(store.recommendations.library(user.user_id)) for user in users}
    found = evaluate(known.listening, known.catalogue.songs, libraries, now)
    activated: dict[Task, Scorer] = {}
    for task, evaluation in found.items():
        current = next(iter(store.recommendations.activations(task)), None)
        if current is not None and current.by == "person":
            why = f"{evaluation.why} A person has decided for {current.name}, so it stays."
            found[task] = evaluation.model_copy(update={"served": current.name, "why": why})
        elif current is None or (current.name, current.version) != (evaluation.served, VERSION):
            store.recommendations.activate(
                ModelActivation(
                    task=task,
                    name=evaluation.served,
                    version=VERSION,
                    activated_at=now,
                    evaluated_at=now,
                    by="evaluation",
                    why=evaluation.why,
                )
            )
            activated[task] = evaluation.served
    store.recommendations.put_evaluations(found.values())
    return Evaluated(found, activated)


def verdict_in_force(store: Store, task: Task) -> Verdict:
    """What orders the lists of a kind now, and what orders the list that is not shown."""
    current = next(iter(store.recommendations.activations(task)), None)
    if current is None:
        return unproven(task)
    last = next(iter(store.recommendations.evaluations(task, most=1)), None)
    best_baseline = (last and last.baseline) or BASELINES[task][0]
    best_model = (last and last.model) or MODELS[0]
    why = DECIDED if current.by == "person" else PROVEN if current.name in MODELS else NOT_PROVEN
    return Verdict(current.name, best_baseline if current.name in MODELS else best_model, why)


def roll_back(store: Store, task: Task, now: datetime) -> ModelActivation:
    """Go back to what ordered the lists before; evaluations change nothing any more until `resume`.

    Raises:
        NotFoundError: nothing else was ever in force.
    """
    history = store.recommendations.activations(task)
    before = next((each for each in history if each.name != history[0].name), None)
    if before is None:
        said = f"only {history[0].name} was ever in force" if history else "nothing was evaluated yet"
        raise NotFoundError(f"There is nothing to go back to for {task}: {said}.")
    why = f"A person went back from {history[0].name} to {before.name}."
    return _decide(
        store, ModelActivation(task=task, name=before.name, version=VERSION, activated_at=now, by="person", why=why)
    )


def resume(store: Store, task: Task, now: datetime) -> ModelActivation:
    """Let evaluations decide again, beginning with the last one.

    Raises:
        NotFoundError: nothing was evaluated yet.
    """
    last = next(iter(store.recommendations.evaluations(task, most=1)), None)
    if last is None:
        raise NotFoundError(f"There is no evaluation for {task} yet.")
    name: Scorer = (last.model if last.passed else last.fallback or last.baseline) or BASELINES[task][0]
    return _decide(
        store,
        ModelActivation(
            task=task,
            name=BASELINES[task][0] if name == "random" else name,
            version=VERSION,
            activated_at=now,
            evaluated_at=last.evaluated_at,
            by="evaluation",
            why=last.why.split(" A person has decided", maxsplit=1)[0],
        ),
    )


def _decide(store: Store, activation: ModelActivation) -> ModelActivation:
    store.recommendations.activate(activation)
    return activation
