"""Which files of a user may be served to whoever knows the user's link, and the links.

A link is a random token in the path. Only users for whom it was switched on have one. The tokens are in a private file
of the state folder: files are served while the database is down, and a link is taken back at once.
"""

import re
import secrets
from hmac import compare_digest
from urllib.parse import quote

from echostats_pipeline.report.beside import BESIDE
from echostats_pipeline.state_folder import StateFolder

TOKEN_BYTES = 24
PAGE = "report.html"
_OTHER = re.compile(r"[0-9]{4}\.html|recap-[0-9]{4}(-[0-9]{2})?\.html|recap-[0-9]{4}[0-9a-z-]*\.png")


def read_links(folder: StateFolder) -> dict[str, str]:
    """Return the tokens by partition key of the user."""
    found = folder.read_json(folder.public_links_file)
    return {str(key): str(token) for key, token in found.items()} if isinstance(found, dict) else {}


def open_link(folder: StateFolder, key: str, *, new: bool = False) -> str:
    """Return the token of a user; make one if there is none, or if a new one is wanted.

    Raises:
        StorageError: the file cannot be written.
    """
    links = read_links(folder)
    if new or key not in links:
        links[key] = secrets.token_urlsafe(TOKEN_BYTES)
        folder.write_json(folder.public_links_file, links)
    return links[key]


def close_link(folder: StateFolder, key: str) -> bool:
    """Remove the token of a user. Return whether there was one.

    Raises:
        StorageError: the file cannot be written.
    """
    links = read_links(folder)
    if links.pop(key, None) is None:
        return False
    folder.write_json(folder.public_links_file, links)
    return True


def user_of(links: dict[str, str], token: str) -> str | None:
    """Return the partition key of the user with this token; it takes as long whatever the token is."""
    found = None
    for key, known in links.items():
        if compare_digest(known.encode(), token.encode()):
            found = key
    return found


def file_named(key: str, name: str) -> str | None:
    """Return the name of a file in the folder of reports, from its name below a link; None if it is not served."""
    if name in ("", PAGE):  # the link itself is what people open
        return f"{key}.html"
    return f"{key}-{name}" if name in BESIDE or _OTHER.fullmatch(name) else None


def published(key: str, feed: bytes) -> bytes:
    """Return a user's feed with links that name files as they are named below the user's link."""
    folder_name = f'href="{quote(key)}'
    text = feed.decode()
    text = text.replace(f'{folder_name}.html"', f'href="{PAGE}"').replace(f"{folder_name}-", 'href="')
    return text.encode()
