"""Tables are loaded side by side: one whose space is slow holds up no other."""

from __future__ import annotations

from pathlib import Path

from tests.migrating import Migrator


def test_a_slow_space_holds_up_no_other_table(tmp_path: Path, database: str) -> None:
    """The first table has more chunks than there are workers, and a slow space; the second is through before it."""
    migrator = Migrator(tmp_path, database, faults=[{"on": "Remember", "do": "slow", "seconds": 0.05, "about": "a_slow"}])
    try:
        for table in ("a_slow", "z_fast"):
            migrator.sql(f"create table {table} as select n as id, 'row ' || n as text from generate_series(1, 300) n")
            migrator.sql(f"alter table {table} add primary key (id)")
        done = migrator.run("--no-validate", "--parallel-workers", "2", "--batch-size", "25")
        assert done.returncode == 0, done.stderr
        loaded = [line for line in done.stderr.splitlines() if "a table is loaded" in line]
        assert [line.rpartition("public.")[2] for line in loaded] == ["z_fast", "a_slow"]
    finally:
        migrator.close()
