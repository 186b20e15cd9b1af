# SPDX-License-Identifier: Apache-2.0
"""The command line of the benchmark; the README of the figures is docs/performance.rst."""

from __future__ import annotations

import argparse
import compileall
import sys
from collections.abc import Callable
from pathlib import Path

import envgit
from tests.bench import (
    cases_bisect,
    cases_commit,
    cases_graph,
    cases_history,
    cases_packages,
    cases_picks,
    cases_reading,
    cases_run,
    cases_size,
    cases_upkeep,
    cases_verbs,
)
from tests.bench.bench import Bench
from tests.bench.measure import say
from tests.bench.place import KINDS, Place
from tests.bench.report import Table, conditions

# In an order that lets the shallow repository be measured at two commits before it grows to ten.
CASES: dict[str, Callable[[Bench], list[Table]]] = {
    "run": cases_run.run_true,
    "commit": cases_commit.commits,
    "imports": cases_verbs.imports,
    "depth": cases_run.depth,
    "disk": cases_size.disk,
    "moves": cases_verbs.moves,
    "status": cases_verbs.status,
    "memory": cases_size.memory,
    "graph": cases_graph.graph,
    "bisect": cases_bisect.bisect,
    "merges": cases_history.merges,
    "picks": cases_picks.picks,
    "upkeep": cases_upkeep.upkeep,
    "blame": cases_reading.blame,
    "grep": cases_reading.grep,
    "packages": cases_packages.packages,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Time envgit and its peers side by side."
    )
    parser.add_argument("--only", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"changes: {', '.join(KINDS)}")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--depth", type=int, default=1000, help="commits of the long history")
    parser.add_argument("--no-peers", action="store_true", help="neither podman nor buildah")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp/envgit-bench"))
    parser.add_argument("--keep", action="store_true", help="keep the folder for another run")
    parser.add_argument("--write", type=Path, help="write the tables as reStructuredText")
    return parser.parse_args()


def main() -> int:
    """Run the chosen cases and print their tables."""
    chosen = arguments()
    cases = [name for name in CASES if name in chosen.only.split(",")]
    kinds = [kind for kind in KINDS if kind in chosen.kinds.split(",")]
    if not cases:
        print(f"nothing to do: choose from {', '.join(CASES)}", file=sys.stderr)
        return 2
    # Compiled once and for all: PYTHONDONTWRITEBYTECODE would make every start compile envgit anew.
    compileall.compile_dir(str(Path(envgit.__file__).parent), quiet=1)
    place = Place(chosen.dir)
    place.prepare()
    bench = Bench(
        place, repeat=chosen.repeat, depth=chosen.depth, kinds=kinds, peers=not chosen.no_peers
    )
    tables = []
    try:
        for name in cases:
            say(f"== {name}")
            for table in CASES[name](bench):
                tables.append(table)
                print(table.text(), flush=True)
    finally:
        bench.close()
        if not chosen.keep:
            say("tidying up")
            place.clean()
    print(conditions())
    if chosen.write is not None:
        text = "\n".join(table.rst() for table in tables)
        chosen.write.write_text(f"{conditions()}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
