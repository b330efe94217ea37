"""Real recordings that lie beside a checkout; their licences keep some of them out of it."""

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "shared" / "data"


def shared_data() -> Path:
    """Return the folder of the recordings, or skip the test where it is absent."""
    if not _FOLDER.is_dir():
        pytest.skip("the real recordings are not in this checkout")
    return _FOLDER
