"""Every field of every collection is explained, and no other."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.glossary import MEANINGS, meaning


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """The documents and sub-documents in a type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation)
    for inner in get_args(kind):
        yield from models(inner)


FIELDS = sorted(
    {
        (model.__name__, field): model
        for collection in COLLECTIONS.values()
        for model in models(collection.document)
        for field in model.model_fields
    }.items(),
    key=lambda each: each[0],
)


def test_every_field_is_explained_in_a_sentence() -> None:
    reported = {".".join(name): meaning(model, name[1]) for name, model in FIELDS}
    assert {name: text for name, text in reported.items() if not text.endswith((".", "…")) or len(text) <= 8} == {}


def test_nothing_is_explained_that_is_not_there() -> None:
    known = {field for (_, field), _ in FIELDS} | {f"{model}.{field}" for (model, field), _ in FIELDS}
    assert MEANINGS.keys() - known == set()
