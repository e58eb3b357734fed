"""Draws the cover of a playlist: a bar for each song, as high as its energy and as warm as it is bright."""

from echostats_pipeline.model.playlists import GeneratedPlaylist

SIZE = 640
QUALITY = 85
MOST_BYTES = 192 * 1024
"""Spotify takes 256 kB of text, in which three bytes are four letters."""
COLD, WARM = 225, 40
"""Hues of the darkest and the brightest song."""


def cover(made: GeneratedPlaylist) -> bytes:
    """The cover as a JPEG; the same playlist always has the same."""
    import vl_convert  # noqa: PLC0415 - it contains a JavaScript engine (decision 0015)

    return bytes(vl_convert.svg_to_jpeg(drawn(made), quality=QUALITY))


def drawn(made: GeneratedPlaylist) -> str:
    """The cover as SVG. Songs without audio features have grey bars of half the height."""
    width = SIZE / max(len(made.tracks), 1)
    bars = []
    for place, track in enumerate(made.tracks):
        height = SIZE * (0.15 + 0.8 * (0.5 if track.energy is None else track.energy))
        shade = "hsl(220,8%,45%)"
        if track.brightness is not None:
            shade = f"hsl({COLD + (WARM - COLD) * track.brightness:.0f},70%,{35 + 25 * track.brightness:.0f}%)"
        bars.append(
            f'<rect x="{place * width:.2f}" y="{SIZE - height:.1f}" width="{width * 0.86:.2f}" height="{height:.1f}" '
            f'fill="{shade}"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}" viewBox="0 0 {SIZE} {SIZE}">'
        f'<rect width="{SIZE}" height="{SIZE}" fill="#15171c"/>{"".join(bars)}</svg>'
    )
