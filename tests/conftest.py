from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.golden import UPDATE

# Shared machines stall: a slow draw is no failure. The seed is fixed so that a run repeats.
settings.register_profile("fuseline", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("fuseline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew, then look at them",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden"):
        os.environ[UPDATE] = "1"
    # Where torchvision was built for another torch, fuseline says so once, with a warning that is
    # not a fault of the code under test. Matched by text: its class would import torch here.
    config.addinivalue_line(
        "filterwarnings", "ignore:torchvision does not match this torch:UserWarning"
    )
    # GoogLeNet's and Inception's constructors announce a change of initialisation; no weight here
    # ever has a value.
    config.addinivalue_line(
        "filterwarnings", "ignore:The default weight initialization of:FutureWarning"
    )
