"""The checks of all encoders on what they are made with."""


class MissingLibrary(RuntimeError):
    """An encoder was asked for whose library is not installed."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f'expected the library {library!r} for {what}, got none: pip install "container-server[{extra}]"'
        )


def check_level(what: str, level: int, least: int, most: int) -> int:
    """`level`, or ValueError when it is not from `least` to `most`."""
    if isinstance(level, bool) or not isinstance(level, int) or not least <= level <= most:
        raise ValueError(f"expected a level from {least} to {most} for {what}, got {level!r}")
    return level
