"""The small database whose ledger is kept for each schema version, told as statements: whoever runs them has the same rows."""

from __future__ import annotations

from typing import Any

TABLES: dict[str, Any] = {"tables": {"orders": {"shards": 2}}}
"""What stands in the configuration."""

BEGINNING = (
    "create table customers (id int primary key, email text not null unique, name text)",
    "create table orders (id int primary key, customer text references customers (email) on update cascade, note text)",
    "create table lines (order_id int references orders, number int, item text, primary key (order_id, number))",
    "create table notes (id int primary key, after int references notes, body text)",
    "insert into customers select n, 'c' || n || '@example.org', 'customer ' || n from generate_series(1, 30) n",
    "insert into customers values (31, 'large@example.org', repeat(md5(0::text), 140000))",
    "insert into orders select n, 'c' || (n % 30 + 1) || '@example.org', 'order ' || n from generate_series(1, 60) n",
    "insert into orders values (61, 'large@example.org', 'of one that is parked')",
    "insert into lines select n, m, 'item ' || m from generate_series(1, 60) n, generate_series(1, 2) m",
    "insert into notes select n, nullif(n / 2, 0), 'note ' || n from generate_series(1, 25) n",
)
"""Before the first start. Customer 31 is too large for the target, and order 61 refers to a value of it."""

CHANGES = (
    "update customers set email = 'moved@example.org' where id = 3",
    "update customers set name = name || '!' where id % 5 = 0 and id < 31",
    "delete from lines where order_id between 20 and 30",
    "delete from orders where id between 20 and 30",
    "update notes set id = 1001 where id = 25",
    "truncate lines",
    "insert into lines select n, 1, 'again' from generate_series(1, 10) n",
)
"""While it streams: a key of others moves, rows die, a key changes, a table is truncated."""
