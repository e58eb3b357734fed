"""``echostats backup`` and ``echostats restore``: all databases, the keys and Dagster's history in one file."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from pydantic import SecretStr
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from echostats_pipeline.accounts.key_rotation import tokens_by_key
from echostats_pipeline.backup import restoring
from echostats_pipeline.backup.archive import (
    KEYS,
    ArchiveReader,
    ArchiveWriter,
    new_archive,
    open_archive,
    refuse_full_disk,
)
from echostats_pipeline.backup.dumping import CORE_ROLE, Secrets, dump, expected_bytes, sources
from echostats_pipeline.backup.manifest import Keys, Manifest, Part, key_action
from echostats_pipeline.backup.moment import has_snapshots, pause, snapshot
from echostats_pipeline.backup.runs import count_runs, dump_runs, restore_runs
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.interruption import interruptible
from echostats_pipeline.cli.only_up import only_up
from echostats_pipeline.cli.progress import progress_bar
from echostats_pipeline.errors import BackupError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.collections import CORE
from echostats_pipeline.report.public import read_links
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.installed import MARTS, mart_database
from echostats_pipeline.storage.restores import RestoreStore
from echostats_pipeline.storage.store import Store

FORMER_KEY = "encryption.key.before-restore"
STILL = {
    "snapshot": "Everything is as it was at one instant.",
    "pause": "No run changed anything meanwhile.",
}
WITH_KEYS = (
    "It holds the encryption key beside the tokens, and only you can read it. Whoever gets it can use the Spotify "
    "accounts in it."
)
WITHOUT_KEYS = "The encryption key is not in it. Without that key, every user must connect again after a restore."
OTHER_HISTORY = (
    "Dagster's history is not in SQLite below one folder here. Back it up with the tools of its database, for "
    "PostgreSQL with pg_dump, and restore it with pg_restore."
)
FileArgument = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@FileArgument
@click.option("--with-runs", is_flag=True, help="Add Dagster's history, if it is in SQLite.")
@click.option("--without-keys", is_flag=True, help="Leave out the encryption key.")
@click.option("--pause", "pauses", is_flag=True, help="On a replica set, pause all runs in place of a snapshot.")
@click.option(
    "--wait",
    "minutes",
    type=click.IntRange(0, 24 * 60),
    default=15,
    metavar="MINUTES",
    help="How long to wait for runs that are under way, where runs are paused.",
)
def backup(file: Path, with_runs: bool, without_keys: bool, pauses: bool, minutes: int) -> None:
    """Write all databases and the encryption key to a new file. Nothing has to be stopped for it."""
    settings, console, now = load_settings(), Console(), utc_now()
    home, history = StateFolder(settings.home), None
    if settings.mongo_uri is None and not (home.mongo_dir / "data").is_dir():
        raise BackupError(f"There is no database in {settings.home}: there is nothing to back up.")
    if with_runs and (history := _history(settings)) is None:
        raise BackupError(f"{OTHER_HISTORY} Nothing was written.")
    cipher = _cipher(settings)
    secrets = Secrets(None if without_keys else _keys(settings), "" if cipher is None else cipher.key_id)

    def runs(target: ArchiveWriter) -> Iterable[Part]:
        return () if history is None else dump_runs(history, file.resolve().parent, target)

    with interruptible(), new_archive(file) as target, open_database(settings, indexes=False) as store:
        found = sources(store, [(mart, mart_database(mart, settings)) for mart in _marts(store, settings)])
        refuse_full_disk(file.resolve().parent, expected_bytes(found))
        still = (
            snapshot(store, found[0].in_snapshot)
            if has_snapshots(store) and not pauses
            else pause(store, minutes * 60, _waiting)
        )
        with progress_bar(console, f"Backing up {store.db.name}") as bar:
            manifest = dump(store, found, target, still, secrets, runs, now, bar)
    console.print(_table(manifest, "Backed up"))
    if found[0].left_out:
        click.echo(f"Not in it, since they hold time series: {', '.join(found[0].left_out)}.", err=True)
    if found[0].capped and manifest.still == "snapshot":
        click.echo(f"Of a fixed size, and not as of that instant: {', '.join(found[0].capped)}.", err=True)
    click.echo(f"{file.resolve()}: {decimal(file.stat().st_size)}, read back and compared. {STILL[manifest.still]}")
    if manifest.key_id:
        click.echo(WITHOUT_KEYS if manifest.keys is None else WITH_KEYS)


@click.command()
@FileArgument
@click.option("--overwrite", is_flag=True, help="Replace what the databases hold now.")
@click.option("--without-keys", is_flag=True, help="Leave the encryption key here as it is, whether it fits or not.")
@click.option("--check", "only_check", is_flag=True, help="Only say what is in the file, and whether it is whole.")
def restore(file: Path, overwrite: bool, without_keys: bool, only_check: bool) -> None:
    """Write all databases and the encryption key from a backup. Interrupted, it goes on when it is called again."""
    settings, console = load_settings(), Console()
    with open_archive(file) as source:
        manifest = source.manifest
        if only_check:
            source.verify()
            console.print(_table(manifest, f"Backed up at {manifest.made_at:%Y-%m-%d %H:%M} UTC"))
            click.echo(f"{file} is whole. " + (WITHOUT_KEYS if manifest.keys is None else WITH_KEYS))
            return
        home = StateFolder(settings.home).ensure()
        with interruptible(), only_up(home, "echostats restore"):
            unread = _restored(settings, home, source, console, overwrite=overwrite, with_keys=not without_keys)
    names = {CORE_ROLE: settings.mongo_db, **{mart: mart_database(mart, settings).name for mart in MARTS}}
    console.print(_table(manifest, "Restored", names))
    click.echo("Every collection was compared with the backup. The next syncs and `echostats up` build on it.")
    where = "" if manifest.keys is None else ", if former_keys in keys.json of the backup has it"
    for key_id, number in unread.items():
        click.echo(
            f"{number} tokens are encrypted with key {key_id or 'unknown'}, which is not configured here: name it in "
            f"ENCRYPTION_KEYS_OLD{where}, or connect these accounts again."
        )


def _restored(
    settings: Settings, home: StateFolder, source: ArchiveReader, console: Console, *, overwrite: bool, with_keys: bool
) -> dict[str | None, int]:
    """Refuse what does not fit, before anything is written; then write everything.

    Returns:
        The number of tokens that no key here reads, by the id of their key.
    """
    manifest, cipher = source.manifest, _cipher(settings)
    action = "keep"
    if with_keys:
        action = key_action(
            manifest.key_id,
            () if cipher is None else cipher.key_ids,
            has_keys=manifest.keys is not None,
            may_write=settings.encryption_key is None,
        )
    history = _history(settings) if manifest.runs else None
    with open_database(settings, indexes=False, restoring=True) as store:
        marts = {mart: mart_database(mart, settings) for mart in MARTS}
        found = restoring.places(store.db, manifest, {CORE_ROLE: CORE, **marts})
        _refuse_replacing(store, source, found, history, overwrite=overwrite)
        if action == "write" and cipher is not None and (others := restoring.with_tokens(store.db)):
            raise BackupError(
                f"The restore would replace {home.encryption_key_file}, with which the tokens in database {others[0]} "
                "are encrypted. Restore with another ECHOSTATS_HOME, or set ENCRYPTION_KEY to the key in keys.json of "
                f"the backup wherever you use database {store.db.name}. Nothing was restored."
            )
        with RestoreStore(store.db).own(source.digest, source.path.name, utc_now()) as own:
            if manifest.keys is not None and with_keys:
                former_id = "" if cipher is None else cipher.key_id
                _write_keys(
                    home, Keys.model_validate_json(source.content(KEYS)), former_id, write_key=action == "write"
                )
            with progress_bar(console, f"Restoring {store.db.name}") as bar:
                restoring.restore(store.db, source, found, own, bar)
            if history is not None:
                restore_runs(source, manifest.runs, history)
            elif manifest.runs:
                click.echo(f"{OTHER_HISTORY} The history in the backup was not restored.", err=True)
            own.keep()
            restoring.settle(store, manifest)
            with open_store(settings, indexes=True, restoring=True) as present:  # brings it to the present version
                own.keep()
                if back := restoring.keep_removed(present, own.removed):
                    click.echo(f"Users in the backup who have been removed: {back}. Their data was deleted.", err=True)
                return _unread_tokens(present, _cipher(settings))


def _unread_tokens(store: Store, cipher: TokenCipher | None) -> dict[str | None, int]:
    """The number of stored tokens that the keys of this installation do not read, by the id of their key."""
    if cipher is None:
        return {}
    counts = tokens_by_key(store.users, store.scrobbles, cipher)
    return {key_id: counts[key_id] for key_id in sorted(counts, key=str) if key_id not in cipher.key_ids}


def _refuse_replacing(
    store: Store, source: ArchiveReader, found: list[restoring.Place], history: Path | None, *, overwrite: bool
) -> None:
    """Refuse to replace data that nobody has given up, or that a run works on.

    Raises:
        BackupError: there is data, or a run.
    """
    unfinished = RestoreStore(store.db).unfinished()
    if unfinished is not None and unfinished.digest == source.digest:
        return
    there = restoring.present(store.db, found)
    runs = 0 if history is None else count_runs(history)
    if not overwrite and unfinished is not None:
        raise BackupError(
            f"The restore of {unfinished.file} into this database has not ended. Run it again with that file, or name "
            "--overwrite to replace what it has written. Nothing was restored."
        )
    if not overwrite and (there or runs):
        held = ", ".join(f"{name} {number:,}" for name, number in sorted(there.items(), key=lambda each: -each[1])[:3])
        wanted = " and ".join(restoring.settings_of(store.db, there, found))
        empty = f"an empty database in {wanted}" if there else "another folder in ECHOSTATS_HOME"
        what = f"{len(there)} collections with documents ({held} ...)" if there else f"a history of {runs:,} runs"
        raise BackupError(
            f"There is data where the backup belongs: {what}. Name {empty}, or replace what there is with --overwrite. "
            "Nothing was restored."
        )
    if there and store.jobs.busy_users():
        raise BackupError(
            "Runs work on this database now. Stop `echostats up`, or the daemon of your deployment, wait until they "
            "have ended, and try again. Nothing was restored."
        )


def _write_keys(home: StateFolder, keys: Keys, former_id: str, *, write_key: bool) -> None:
    if write_key:
        if (former := home.read_text(home.encryption_key_file)) is not None:
            kept = home.write_private(f"{FORMER_KEY}-{former_id}", former)
            click.echo(f"The encryption key that was here is in {kept} now.", err=True)
        home.write_private(home.encryption_key_file, f"{keys.encryption_key}\n")
    if keys.public_links and not home.public_links_file.exists():
        home.write_json(home.public_links_file, dict(keys.public_links))


def _keys(settings: Settings) -> Keys | None:
    """The secrets of this installation; None if it has none."""
    home = StateFolder(settings.home)
    key = settings.encryption_key
    present = key.get_secret_value() if key else (home.read_text(home.encryption_key_file) or "").strip()
    former = tuple(each.get_secret_value() for each in settings.encryption_keys_old)
    found = Keys(encryption_key=present, former_keys=former, public_links=read_links(home))
    return found if present or found.public_links else None


def _cipher(settings: Settings) -> TokenCipher | None:
    """The cipher with the keys of this installation; None if a key would have to be created first."""
    keys = _keys(settings)
    if keys is None or not keys.encryption_key:
        return None
    return TokenCipher(SecretStr(keys.encryption_key), settings.encryption_keys_old)


def _marts(store: Store, settings: Settings) -> list[str]:
    """The marts that the settings name, and those that were built here before."""
    return sorted({*settings.installed_marts, *store.mart_states.marts()} & MARTS.keys())


def _history(settings: Settings) -> Path | None:
    """The folder in which Dagster keeps its history in SQLite; None if it is elsewhere."""
    from echostats_pipeline.cli.instance import sqlite_folder  # noqa: PLC0415 - imports Dagster, which costs a second

    return sqlite_folder(settings)


def _waiting(run: str) -> None:
    click.echo(f"Waiting for {run}, which needs the data of a user now.", err=True)


def _table(manifest: Manifest, title: str, names: Mapping[str, str] | None = None) -> Table:
    """A table of the databases, which may have other names than in the backup, and the parts beside them."""
    table = Table("", Column("collections", justify="right"), Column("documents", justify="right"), title=title)
    for each in manifest.databases:
        name = (names or {}).get(each.role, each.name)
        name = name if each.role in (CORE_ROLE, name) else f"{name} ({each.role})"
        table.add_row(f"database {name}", str(len(each.collections)), f"{each.documents:,}")
    if manifest.runs:
        table.add_row("Dagster's history", f"{len(manifest.runs):,}", "")
    return table
