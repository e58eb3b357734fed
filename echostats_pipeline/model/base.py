"""Base classes of all documents: strict fields, UTC instants, conversion from and to BSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from bson import ObjectId
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def utc_now() -> datetime:
    """The current instant in UTC, at the millisecond precision that BSON keeps."""
    return to_utc(datetime.now(UTC))


def to_utc(value: datetime) -> datetime:
    """Convert an aware datetime to UTC and cut it to milliseconds.

    Raises:
        ValueError: the datetime is naive; this code base never guesses a time zone.
    """
    if value.tzinfo is None:
        raise ValueError("a naive datetime has no meaning here; give it a time zone")
    value = value.astimezone(UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def storable_text(text: str) -> str:
    """Remove what MongoDB cannot hold from a text: NUL (never in a key) and lone surrogates (never in UTF-8)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


UtcDatetime = Annotated[datetime, AfterValidator(to_utc)]


class Embedded(BaseModel):
    """A sub-document."""

    model_config = ConfigDict(extra="forbid")


class Document(BaseModel):
    """A document of one collection; `id` is MongoDB's ``_id`` and None until the document is stored."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)

    id: ObjectId | None = Field(default=None, alias="_id")

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """Read a document as the database has it. Fields that other programs have added are ignored.

        Raises:
            ValidationError: a value does not fit its field.
        """
        return cls.model_validate(document, extra="ignore")

    def to_bson(self) -> dict[str, Any]:
        """All fields but ``_id``, as pymongo takes them."""
        return self.model_dump(exclude={"id"})


def known_fields(document: Document) -> dict[str, Any]:
    """The fields that the document's source has sent, as pymongo takes them, without ``_id``.

    Writing only these keeps what an earlier, fuller response contained. Embedded documents are replaced as a whole.
    """
    return {name: value for name, value in document.to_bson().items() if name in document.model_fields_set}
