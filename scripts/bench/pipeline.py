"""Runs scripts/bench/pipelining.py: the whole pipeline, beside datatrove. `--help` says more.

Python puts a script's own folder first in its path, where the scripts beside this file would take it for the package
`pipeline`: so whoever imports it is handed the package instead.
"""

import os
import sys
from importlib import import_module

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  a light launcher, as tokenize.py beside it

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-P", os.path.join(HERE, "pipelining.py"), *sys.argv[1:]])  # noqa: PTH118

del sys.modules["pipeline"]
_path = sys.path[:]
sys.path[:] = [folder for folder in _path if os.path.abspath(folder) != HERE]  # noqa: PTH100
import_module("pipeline")
sys.path[:] = _path
