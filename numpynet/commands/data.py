"""``numpynet data``: which data sets there are; fetch MNIST."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser("data", help="list the data sets; fetch MNIST", description="List or fetch data sets.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="which data sets there are, and where")
    listing.set_defaults(run=_run_data_list)
    fetch = actions.add_parser("fetch", help="download a data set and verify it")
    fetch.add_argument("name", choices=("mnist",))
    fetch.add_argument("--folder", type=Path, help="where to put it (default: NUMPYNET_DATA, then the cache)")
    fetch.add_argument("--url", help="of the folder that holds the four files, instead of the known mirrors")
    fetch.set_defaults(run=_run_data_fetch)


def _run_data_list(options: argparse.Namespace) -> int:
    from numpynet.data import data_folder

    print("digits   1797 handwritten digits, 8x8, shipped with numpynet")
    print("mnist1d  5000 sequences of 40 numbers in 10 classes, generated in a second")
    print(
        f"mnist    70000 handwritten digits, 28x28; looked for in {data_folder()}, fetched by: numpynet data fetch mnist"
    )
    return 0


def _run_data_fetch(options: argparse.Namespace) -> int:
    from numpynet.data import fetch_mnist
    from numpynet.progress import Progress

    bars: dict[str, Progress] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if total:
            bars.setdefault(name, Progress(name, total)).show(done)

    mirror = {} if options.url is None else {"base_url": options.url}
    folder = fetch_mnist(options.folder, progress=show, **mirror)
    for bar in bars.values():
        bar.close()
    print(f"MNIST is complete and verified in {folder}")
    return 0
