"""Recommendations, what they rest on, and how the models behind them did."""

from typing import Literal

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

Task = Literal["discover", "rediscover"]
Model = Literal["basket_knn", "hybrid", "content", "own_artists"]
Baseline = Literal["popularity", "recent_popularity", "own_most_played", "random"]
Scorer = Literal[
    "basket_knn",
    "hybrid",
    "content",
    "own_artists",
    "popularity",
    "recent_popularity",
    "own_most_played",
    "spotify_popularity",
    "random",
]
"""A model or a baseline, or Spotify's popularity, for users of whom nothing is known where nobody plays anything."""
Strategy = Literal["hybrid", "collaborative", "own_listening", "content_based", "mood_based", "baseline"]
Source = Literal["other_users", "library", "artist_albums", "similar_tags", "own_history"]
ReasonKind = Literal["collaborative", "own_listening", "features", "tags", "artist", "baseline"]
EvaluationUnit = Literal["users", "sessions"]


class SupportingTrack(Embedded):
    """A track that the user plays and that speaks for a recommended one."""

    spotify_id: str
    name: str
    artist_name: str
    artist_id: str = ""
    """Spotify's id of the primary artist; empty if unknown."""


class RecommendedTrack(Embedded):
    """One track of a list."""

    rank: int
    """Place in the list, from 1."""
    spotify_id: str
    name: str
    artist_name: str
    artist_id: str = ""
    """Spotify's id of the primary artist; empty if unknown."""
    album_name: str = ""
    image_url: str = ""
    score: float
    """Between 0 and 1, comparable within one list only."""
    score_shares: dict[str, float] = Field(default_factory=dict)
    """How much each model adds to the score; the shares sum up to 1."""
    sources: list[Source]
    """Where the track comes from: `other_users` who share their plays, the user's `library`, `artist_albums` that were
    read from Spotify, artists with `similar_tags`, or the user's `own_history`."""
    heard_before: int
    """Plays by this user that count and that the user did not leave early."""
    last_played_at: UtcDatetime | None = None
    """When this user played it last; null if never."""
    reason: str
    """Why it is recommended, in a sentence that is true."""
    reason_kind: ReasonKind
    """What the reason rests on. `collaborative` only if another user has heard it together with a supporting track."""
    supporting: list[SupportingTrack] = Field(default_factory=list)
    """At most two tracks of the user that speak for it."""
    genres: list[str] = Field(default_factory=list)
    """The genres that the reason names."""
    audio_features: dict[str, float] = Field(default_factory=dict)
    """The audio features that were compared; empty if none were."""


class FurtherList(Embedded):
    """Tracks ordered by one model alone, or by their likeness to a mood, for applications that ask for one kind."""

    strategy: Strategy
    """`collaborative`: songs that others play along with the user's; `content_based` by sound; or `mood_based`."""
    mood: str = ""
    """The mood, for example `calm`; empty for the list of a model."""
    targets: dict[str, float] = Field(default_factory=dict)
    """The audio features of the mood."""
    model: Scorer
    """The model that ordered the list."""
    is_active: bool
    """Whether an evaluation has found this model surely better than the baselines; false for moods."""
    confidence: float
    """Between 0 and 1, by how much is known of the user."""
    tracks: list[RecommendedTrack]


class RecommendationList(Document):
    """A user's list of one kind (collection ``recommendations``)."""

    user_id: str
    task: Task
    """`discover`: songs not heard yet; `rediscover`: songs played often, and not for half a year."""
    strategy: Strategy
    """`baseline` if no model is active for this kind of list, or if there is too little to go by."""
    model: Scorer
    """The model or baseline that ordered the list."""
    is_baseline: bool
    """Whether no active model ordered the list: a simple baseline did, or a model for want of one that knows a song."""
    why: str
    """What ordered the list and why, in a sentence."""
    note: str = ""
    """Why the list is shorter than requested; empty if it is not."""
    confidence: float = 0.0
    """Between 0 and 1, by how much is known of the user."""
    plays: int
    """Plays of the user that the list rests on."""
    parameters: dict[str, float] = Field(default_factory=dict)
    """The numbers with which the models were computed."""
    tracks: list[RecommendedTrack]
    further: list[FurtherList] = Field(default_factory=list)
    """Lists of single models and of moods; only for `discover`. Each is left out if nothing fits."""
    created_at: UtcDatetime = Field(default_factory=utc_now)
    expires_at: UtcDatetime
    """Seven days after `created_at`. A newer list replaces this one every night."""


class RecommendationWeek(Document):
    """A user's list in one week, a list that was not shown, and what the user played (``recommendation_weeks``)."""

    user_id: str
    task: Task
    week: str
    """ISO week, for example `2026-W07`."""
    shown_at: UtcDatetime
    """When the list was made; the seven days after it count."""
    model: Scorer
    """What ordered the list."""
    control: Scorer
    """What ordered the list that was not shown."""
    shown_ids: list[str]
    """Songs of the list."""
    control_ids: list[str]
    """As many songs of the other list."""
    in_both: int
    """Songs that both lists have."""
    hits: int | None = None
    """Songs of the list that the user played within seven days; null until these are over."""
    control_hits: int | None = None
    """Songs of the other list that the user played within seven days."""
    counted_at: UtcDatetime | None = None
    """When the plays were counted."""


class TagWeight(Embedded):
    """A tag, and how much of a user's taste it is."""

    tag: str
    weight: float
    """The weights of all tags have length 1 as a vector."""


class TasteVector(Document):
    """How the songs that a user plays sound (collection ``taste_vectors``)."""

    user_id: str
    audio_features: dict[str, float] = Field(default_factory=dict)
    """Mean of the audio features of the songs played lately; empty if none is known."""
    scaled_features: dict[str, float] = Field(default_factory=dict)
    """The same as distances from the catalogue's median in interquartile ranges, times the root of the weight."""
    features_share: float
    """Share of the plays behind it whose songs have audio features, 0 to 1."""
    tags: list[TagWeight] = Field(default_factory=list)
    """The strongest tags of the artists played lately."""
    tags_share: float
    """Share of the plays behind it whose songs have tags, 0 to 1."""
    songs: int
    """Number of songs it rests on."""
    plays: int
    """Number of plays it rests on."""
    computed_at: UtcDatetime = Field(default_factory=utc_now)


class Neighbour(Embedded):
    """A song that is often heard together with another."""

    spotify_id: str
    similarity: float
    """Between 0 and 1."""
    weight: float
    """Weight with which both were heard together."""
    listeners: int
    """How many users have heard both in one session or within 90 days."""


class ItemNeighbours(Document):
    """One song in the plays of users who share them (collection ``item_neighbours``), and those heard with it."""

    spotify_id: str
    name: str
    artist_name: str
    listeners: int
    """How many users have played it in the last two years."""
    plays_28_days: float
    """Plays in the last 28 days."""
    recent_plays: float
    """Plays, each of which weighs half as much for every week that has passed since."""
    weight: float
    """Weight with which the song itself was heard."""
    neighbours: list[Neighbour]
    """The most similar songs, at most 100."""
    computed_at: UtcDatetime = Field(default_factory=utc_now)


class ScorerResult(Embedded):
    """How a model or baseline did in an evaluation."""

    name: Scorer
    """The model or baseline."""
    is_baseline: bool
    """Whether it is a baseline."""
    ndcg: float
    """NDCG@20, the metric that decides."""
    recall: float
    """Recall@20: hits / min(20, songs played later)."""
    coverage: float
    """Share of the songs that is in a list of 20 of at least one user."""
    novelty_bits: float
    """Mean of -log2 of the share of sessions that have the song."""
    most_per_artist: int
    """Most songs of one artist in a list of 20."""


class ModelEvaluation(Document):
    """One comparison of the models with the baselines on the plays of the last weeks (``model_evaluation``)."""

    task: Task
    evaluated_at: UtcDatetime = Field(default_factory=utc_now)
    cut_at: UtcDatetime | None = None
    """Everything is computed from plays before this instant; plays from then on are to be foretold."""
    users: int
    """Users with 5 plays before and one song to foretell after."""
    songs: int
    """Number of songs."""
    unseen_share: float = 0.0
    """Share of the songs played later that this user had not played before."""
    unreachable_share: float = 0.0
    """Share of the songs to foretell that were no candidate, because nobody had heard or saved them before."""
    results: list[ScorerResult] = Field(default_factory=list)
    """Each model and baseline."""
    model: Model | None = None
    """The model that did best before the cut, in a comparison of its own."""
    baseline: Baseline | None = None
    """The best baseline after the cut."""
    unit: EvaluationUnit = "sessions"
    """What was resampled: users, or sessions with fewer than 30 users."""
    units: int = 0
    """How many of these there were."""
    difference: float = 0.0
    """NDCG@20 of the model minus that of the baseline."""
    lower: float = 0.0
    """Lower end of the 95 % confidence interval of the difference."""
    upper: float = 0.0
    """Upper end of the 95 % confidence interval of the difference."""
    coverage_required: float = 0.0
    """Least coverage of the model: five times that of the best baseline, or less where so few users cannot reach it."""
    passed: bool
    """Whether the model may be activated: `lower` is above 0 and its coverage suffices."""
    served: Scorer
    """What orders the lists from now on."""
    fallback: Baseline | None = None
    """The best baseline that may be shown: random order never is. It orders the lists if no model is active."""
    why: str
    """The verdict in a sentence."""


class ModelActivation(Document):
    """A change of what orders the lists of one kind (collection ``model_registry``). The newest one is in force."""

    task: Task
    name: Scorer
    """The model or baseline that orders the lists."""
    version: str
    """Version of the recommender's code."""
    activated_at: UtcDatetime = Field(default_factory=utc_now)
    evaluated_at: UtcDatetime | None = None
    """The evaluation that decided; null if a person did."""
    by: Literal["evaluation", "person"]
    """Who decided. After a person's decision, evaluations go on and change nothing."""
    why: str
    """The reason in a sentence."""


class AlbumTrack(Embedded):
    """A track of an album."""

    spotify_id: str
    name: str
    artist_id: str = ""
    artist_name: str
    duration_ms: int = 0


class AlbumOfArtist(Embedded):
    """An album of an artist, with its tracks once they were read."""

    spotify_id: str
    name: str
    release_date: str = ""
    image_url: str = ""
    read_at: UtcDatetime | None = None
    """When its tracks were read; null until then."""
    tracks: list[AlbumTrack] = Field(default_factory=list)


class ArtistAlbums(Document):
    """Albums of an artist whom users play much (collection ``artist_albums``): songs they may not know."""

    artist_id: str
    name: str = ""
    shared: bool
    """Whether a user who shares their plays plays this artist."""
    albums: list[AlbumOfArtist] = Field(default_factory=list)
    """Albums and singles, newest first."""
    read_at: UtcDatetime | None = None
    """When the list of albums was read."""
