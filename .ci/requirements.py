"""Prints what the installed csc-fairseq needs for some extras, without the distributions that the Makefile installs alone.

Usage: python .ci/requirements.py EXTRA,... DISTRIBUTION,...
"""

import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

extras, left_out = (argument.split(",") for argument in sys.argv[1:])
for requirement in map(Requirement, requires("csc-fairseq") or []):
    marker, requirement.marker = requirement.marker, None
    wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
    if wanted and requirement.name not in left_out:
        print(requirement)
