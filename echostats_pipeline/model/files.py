"""Files in the database, in the collections of a GridFS bucket: processes on several machines share no folder."""

from typing import Literal

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime

FileKind = Literal["import", "report", "features"]


class FileId(Embedded):
    """What a file is called."""

    user_id: str
    """The user it belongs to; empty for a file of the installation."""
    kind: FileKind
    """An export to import, a report, or a file of audio features."""
    name: str
    """Its path, with slashes."""
    version: str
    """Another text for each content."""
    upload: str
    """The upload that stored it: two processes may store the same version at once."""


class StoredFile(Document):
    """A file as GridFS describes it (collection ``stored.files``): an export to import, a report, a feature file."""

    id: FileId | None = Field(default=None, alias="_id")  # type: ignore[assignment]
    """What the file is called: it takes the place of MongoDB's own id."""
    filename: str
    """Its path, with slashes."""
    length: int
    """Its size in bytes."""
    chunkSize: int  # noqa: N815 - GridFS's own name
    """The most bytes of a part."""
    uploadDate: UtcDatetime  # noqa: N815
    """When it was stored."""


class StoredChunk(Document):
    """A part of a file (collection ``stored.chunks``)."""

    files_id: FileId
    """The id of its file."""
    n: int
    """Its position in the file, from 0."""
    data: bytes
    """Its bytes."""
