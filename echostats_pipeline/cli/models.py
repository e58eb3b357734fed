"""``echostats models``: which models order the recommendations, and how they did."""

from collections.abc import Sequence
from typing import get_args

import click
from rich.console import Console
from rich.table import Column, Table

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.cli.recommend import refuse_if_off
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.recommendations import ModelActivation, ModelEvaluation, RecommendationWeek, Task
from echostats_pipeline.settings import load_settings

SHOWN = 10
TASKS: tuple[Task, ...] = get_args(Task)
task_argument = click.argument("task", type=click.Choice(TASKS))


@click.group(cls=LazyGroup, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Show which models order the recommendations and how they did, or go back to an earlier one."""
    settings, console = load_settings(), Console()
    refuse_if_off(settings)
    if context.invoked_subcommand is not None:
        return
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    with open_database(settings) as store:
        for task in TASKS:
            evaluations = store.recommendations.evaluations(task)
            activations = store.recommendations.activations(task)
            weeks = [week for week in store.recommendations.weeks() if week.task == task]
            _print(console, task, evaluations, activations, weeks)


@models.command()
@task_argument
def rollback(task: Task) -> None:
    """Go back to what ordered the lists of a kind before. Evaluations go on and change nothing until `resume`."""
    from echostats_pipeline.recommender.models import roll_back  # noqa: PLC0415 - needs scipy

    with open_database(load_settings()) as store:
        done = roll_back(store, task, utc_now())
    click.echo(f"{task} is ordered by {done.name} from the next nightly run on, whatever evaluations say.")


@models.command("resume")
@task_argument
def resume_evaluations(task: Task) -> None:
    """Let the nightly evaluations decide again, beginning with the last one."""
    from echostats_pipeline.recommender.models import resume  # noqa: PLC0415 - needs scipy

    with open_database(load_settings()) as store:
        done = resume(store, task, utc_now())
    click.echo(f"{task} is ordered by {done.name}, as the last evaluation says; evaluations decide again.")


def _print(
    console: Console,
    task: Task,
    evaluations: Sequence[ModelEvaluation],
    activations: Sequence[ModelActivation],
    weeks: Sequence[RecommendationWeek],
) -> None:
    if not evaluations:
        console.print(f"{task}: nothing was evaluated yet. `echostats up` does it every night.", markup=False)
        return
    last = evaluations[-1]
    table = Table(title=f"{task}: evaluation of {last.evaluated_at:%Y-%m-%d %H:%M} UTC")
    for name in ("", "NDCG@20", "recall@20", "coverage@20", "novelty (bits)"):
        table.add_column(name, justify="right" if name else "left")
    for result in last.results:
        label = f"{result.name}{' (baseline)' if result.is_baseline else ''}"
        numbers = (result.ndcg, result.recall, result.coverage)
        table.add_row(label, *(f"{number:.3f}" for number in numbers), f"{result.novelty_bits:.2f}")
    if last.results:
        console.print(table)
    console.print(last.why, markup=False)
    history = Table(Column("evaluated"), "model", "best baseline", "difference", "95 % from", "to", "served")
    for each in evaluations[-SHOWN:]:
        numbers = (each.difference, each.lower, each.upper)
        history.add_row(
            f"{each.evaluated_at:%Y-%m-%d %H:%M}",
            each.model or "",
            each.baseline or "",
            *(f"{number:+.3f}" for number in numbers),
            each.served,
        )
    console.print(history)
    for activation in activations[:SHOWN]:
        console.print(
            f"{activation.activated_at:%Y-%m-%d %H:%M} {activation.name} by {activation.by}: {activation.why}",
            markup=False,
        )
    if weeks:
        shown, hits = sum(len(week.shown_ids) for week in weeks), sum(week.hits or 0 for week in weeks)
        hidden, others = sum(len(week.control_ids) for week in weeks), sum(week.control_hits or 0 for week in weeks)
        console.print(
            f"Of {shown:,} songs in lists of past weeks, {hits:,} were played within 7 days; of {hidden:,} in lists "
            f"that were not shown, {others:,}."
        )
    console.print()
