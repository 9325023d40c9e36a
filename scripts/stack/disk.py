"""Says that a disk is too full before a long build finds out."""

import os
import shutil
import tempfile
from pathlib import Path

from . import tools
from .steps import Problem

GIGABYTE = 1 << 30


def check_for_temporary_files():
    _check(Path(tempfile.gettempdir()), 1, "temporary files (TMPDIR moves them)")


def check_for_build():
    target = tools.target_directory()
    # Without what cargo keeps for the next build a whole one takes 3.7 GB, with it 5.7.
    whole = 5 if os.environ.get("CARGO_INCREMENTAL") == "0" else 7
    needed = 2 if (target / "debug").exists() else whole
    existing = next(folder for folder in (target, *target.parents) if folder.exists())
    _check(existing, needed, "the build (CARGO_TARGET_DIR moves it)")


def _check(folder, gigabytes, use):
    free = shutil.disk_usage(folder).free / GIGABYTE
    if free < gigabytes:
        raise Problem(f"{folder} has {free:.1f} GB free; {use} may need {gigabytes} GB")
