from __future__ import annotations

import os
import warnings

import pytest

from fuseline.validate.quiet import quiet


def test_nothing_is_heard_inside_and_everything_after(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"inside")
        warnings.warn("inside", FutureWarning, stacklevel=1)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
    with pytest.raises(FutureWarning), quiet():
        raise FutureWarning
    with pytest.warns(FutureWarning, match="after"):
        warnings.warn("after", FutureWarning, stacklevel=1)
