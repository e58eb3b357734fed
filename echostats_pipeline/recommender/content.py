"""How songs sound: audio features where they are known, else tags of their artists."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from echostats_pipeline.recommender.listening import Flags, Floats
from echostats_pipeline.transforms.sound import Scaler


@dataclass(frozen=True, eq=False)
class Content:
    """What is known of the sound of songs.

    Attributes:
        features: Songs by scaled features; zeros where unknown.
        has_features: Songs with features.
        tags: Songs by tags, TF-IDF in rows of length 1; empty rows where unknown.
        tag_names: The names of the tags.
        scaler: How features were scaled; None if they are not used.
    """

    features: Floats
    has_features: Flags
    tags: sparse.csr_array
    tag_names: Sequence[str]
    scaler: Scaler | None

    @classmethod
    def of(cls, features: Floats, tags: Sequence[Sequence[str]]) -> "Content":
        """Build from features (songs by `AVERAGED_FEATURES`, NaN where unknown) and the tags of each song."""
        scaler = Scaler.of(features)
        has: Flags = np.asarray(~np.isnan(features).any(axis=1)) & (scaler is not None)
        scaled = np.where(has[:, None], scaler.apply(np.nan_to_num(features)), 0.0) if scaler else features * 0.0
        names = sorted({tag for each in tags for tag in each})
        return cls(np.nan_to_num(scaled), has, _tf_idf(tags, names), names, scaler)

    def has_any(self, tags: Collection[str]) -> Flags:
        """Songs with at least one of some tags, which are given in small letters."""
        wanted = np.array([name.casefold() in tags for name in self.tag_names], dtype=np.float64)
        return np.asarray(self.tags @ wanted > 0)

    def has_tags(self) -> Flags:
        """Songs with tags."""
        return np.asarray(np.diff(self.tags.indptr) > 0)


@dataclass(frozen=True, eq=False)
class Taste:
    """The sound a user likes: the weighted mean of the songs heard.

    Attributes:
        features: Mean of the scaled features; None if no song heard has any.
        tags: Weight of each tag, of length 1; None if no song heard has any.
        features_share: Share of the weight of the songs heard that have features.
        tags_share: Share of the weight of the songs heard that have tags.
    """

    features: Floats | None
    tags: Floats | None
    features_share: float
    tags_share: float

    @classmethod
    def of(cls, content: Content, weights: Floats) -> "Taste":
        """The taste that weights of songs express."""
        total = float(weights.sum())
        of_features, of_tags = weights * content.has_features, weights * content.has_tags()
        features = of_features @ content.features / of_features.sum() if of_features.sum() > 0 else None
        tags = np.asarray(content.tags.T @ of_tags).reshape(-1) if of_tags.sum() > 0 else None
        length = 0.0 if tags is None else float(np.linalg.norm(tags))
        return cls(
            features,
            tags / length if tags is not None and length else None,
            float(of_features.sum()) / total if total else 0.0,
            float(of_tags.sum()) / total if total else 0.0,
        )


def content_scores(content: Content, taste: Taste) -> tuple[Floats, Flags, Flags]:
    """How much each song sounds like a taste.

    Returns:
        Cosines in -1..1 (0 where nothing is known); which songs were compared by features; which by tags, because they
        have no features.
    """
    scores = np.zeros(len(content.features))
    by_features = content.has_features & (taste.features is not None)
    if taste.features is not None:
        lengths = np.linalg.norm(content.features, axis=1) * max(float(np.linalg.norm(taste.features)), 1e-12)
        scores = np.where(by_features, content.features @ taste.features / np.maximum(lengths, 1e-12), 0.0)
    by_tags = content.has_tags() & ~by_features & (taste.tags is not None)
    if taste.tags is not None:
        scores = np.where(by_tags, np.asarray(content.tags @ taste.tags).reshape(-1), scores)
    return scores, by_features, by_tags


def _tf_idf(tags: Sequence[Sequence[str]], names: Sequence[str]) -> sparse.csr_array:
    """Songs by tags; rare tags weigh more; rows have length 1."""
    numbers = {name: number for number, name in enumerate(names)}
    cells = [(song, numbers[tag]) for song, each in enumerate(tags) for tag in sorted(set(each))]
    rows = np.array([row for row, _ in cells], dtype=np.int64)
    columns = np.array([column for _, column in cells], dtype=np.int64)
    songs_with = np.bincount(columns, minlength=len(names)) if cells else np.zeros(len(names))
    tagged = max(int((np.bincount(rows) > 0).sum()), 1) if cells else 1
    rarity = np.log((1.0 + tagged) / (1.0 + songs_with)) + 1.0
    values = rarity[columns] if cells else np.zeros(0)
    squares = np.bincount(rows, values**2, minlength=len(tags)) if cells else np.zeros(len(tags))
    values = values / np.sqrt(squares[rows]) if cells else values
    return sparse.csr_array((values, (rows, columns)), shape=(len(tags), len(names)))
