"""``echostats keys``: shows which key encrypts the stored tokens, and moves them to the present key."""

import click

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.accounts.key_rotation import rotate_keys, rotate_target_keys, tokens_by_key
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.crypto import TokenCipher


@click.group(cls=LazyGroup)
def keys() -> None:
    """Show and change the key that encrypts tokens: ENCRYPTION_KEY; former keys are in ENCRYPTION_KEYS_OLD."""


@keys.command()
def rotate() -> None:
    """Encrypt every stored token with the present key. It can be interrupted and repeated."""
    settings = load_settings()
    cipher = token_cipher(settings)
    with open_database(settings) as store:
        count = rotate_keys(store.users, cipher) + rotate_target_keys(store.scrobbles, cipher)
    if count:
        click.echo(f"Encrypted {count} tokens with key {cipher.key_id}. Former keys are not needed any more.")
    else:
        click.echo(f"Every token is encrypted with key {cipher.key_id} already.")


@keys.command()
def status() -> None:
    """Show how many stored tokens each key encrypts."""
    settings = load_settings()
    cipher = token_cipher(settings)
    with open_database(settings) as store:
        counts = tokens_by_key(store.users, store.scrobbles, cipher)
    for key_id in sorted(counts.keys() | set(cipher.key_ids), key=str):
        click.echo(f"{key_id or 'unknown':<10}{counts[key_id]:>6} tokens  {_role(cipher, key_id)}")


def _role(cipher: TokenCipher, key_id: str | None) -> str:
    if key_id == cipher.key_id:
        return "the present key"
    if key_id in cipher.key_ids:
        return "a former key, configured"
    return "NOT CONFIGURED: name the key in ENCRYPTION_KEYS_OLD, or connect these accounts again"
