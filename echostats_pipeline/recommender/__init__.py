"""The recommender: what a user may like to hear, why, and whether a model is better than a simple baseline.

The core of the pipeline does not know this package. Its pure part computes with numpy and scipy: `listening`,
`baskets`, `neighbours`, `content`, `scoring`, `lists`, `metrics`, `evaluation`. `reading`, `building`, `models` and
`albums` connect it to the database and to Spotify.
"""
