"""Write the tables of docs/devices.md from the profiles themselves, so that no figure is typed twice.

    python benchmarks/device_table.py [--write docs/devices.md]

Without --write the tables are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeai_devices.catalog import read_all_rules, read_profiles
from edgeai_devices.profile_table import profile_tables, replace_tables


def main() -> None:
    """Read the shipped profiles and write their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="Markdown page that holds the marks")
    arguments = parser.parse_args()
    nowhere = Path("/dev/null")
    tables = profile_tables(read_profiles(nowhere), read_all_rules(nowhere))
    if arguments.write is None:
        print(tables)
        return
    page = arguments.write.read_text(encoding="utf-8")
    arguments.write.write_text(replace_tables(page, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
