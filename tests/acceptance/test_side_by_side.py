"""Tables are loaded side by side: one whose space is slow holds up no other."""

from __future__ import annotations

from pathlib import Path

from tests.migrating import Migrator


def test_a_slow_space_holds_up_no_other_table(tmp_path: Path, database: str) -> None:
    """The first table has more chunks than there are workers, and a space that hangs; the second is through all the same.

    It is the larger one, so that the chunks of the first are planned before its own are.
    """
    migrator = Migrator(tmp_path, database, faults=[{"on": "Remember", "do": "slow", "seconds": 20, "about": "a_slow"}])
    try:
        for table, rows in (("a_slow", 200), ("z_fast", 600)):
            migrator.sql(f"create table {table} as select n as id, 'row ' || n as text from generate_series(1, {rows}) n")
            migrator.sql(f"alter table {table} add primary key (id)")
        process = migrator.start("--no-validate", "--parallel-workers", "2", "--batch-size", "25")
        migrator.until(process, lambda: "public.z_fast" in migrator.loaded())
        assert migrator.loaded() == ["public.z_fast"]
        process.kill()
        process.wait()
    finally:
        migrator.close()
