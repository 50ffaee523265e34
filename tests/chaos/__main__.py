"""`python -m tests.chaos [FAULT…] [--json] [--rate 2000] [--seconds …] [--write docs/chaos.md]`."""

import os

# Before LightGBM is imported: its waiting threads would spin on the cores that the workers need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from ..small_model import small_model
from .faults import FAULTS
from .page import write
from .run import Result, end_in_order, run


def main() -> int:
    """0: every claim of every fault holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--rate", type=float, default=2000.0, help="events a second, reports included")
    parser.add_argument("--seconds", type=float, help="of load (default: what the fault needs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page of results")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the logs of what went wrong there")
    options = parser.parse_args()
    end_in_order()
    unknown = set(options.faults) - set(FAULTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    results: list[Result] = []
    with TemporaryDirectory(prefix="vigia-model-") as folder:
        model = small_model(Path(folder) / "pix-fraud")
        for name in options.faults or FAULTS:
            result = run(FAULTS[name], model, rate=options.rate, seconds=options.seconds, keep=options.keep)
            print(result.line(), file=sys.stderr, flush=True)
            results.append(result)
            if options.write:  # each time: a run that is ended has told what it saw
                write(options.write, results, options.rate)
    if options.json:
        print(json.dumps({"rate": options.rate, "faults": [asdict(result) for result in results]}))
    return 0 if all(result.right for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
