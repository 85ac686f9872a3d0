"""Which rows a caller may see: of a table with a tenant column, those of its own tenant. Pure.

The rule is closed. A table that names a column shows its rows to callers of that tenant only, and none to a caller without one.
Once any table names a column, one that says nothing shows nothing to anybody: it is told apart from a table whose rows are
everybody's by `tenant: "*"`, which somebody has to write. Where no table names one, there are no tenants.

What is not for the caller is not there: 404, as for a row that does not exist, so that nobody can find out which keys others use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge import values

EVERYBODY = "*"
"""In the place of a column: the rows of this table belong to no tenant, and everybody may read them."""


@dataclass(frozen=True, slots=True)
class Tenants:
    """What the configuration says. `columns`: by the table's name as it stands there, None where it says nothing."""

    columns: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def in_use(self) -> bool:
        """Whether any table has a tenant column."""
        return any(column not in (None, EVERYBODY) for column in self.columns.values())

    def column(self, label: str) -> str | None:
        """The tenant column of a table; None when it has none."""
        found = self._said(label)
        return None if found == EVERYBODY else found

    def closed(self, label: str, tenant: str | None) -> bool:
        """Whether the table has no row at all for this caller."""
        said = self._said(label)
        if said == EVERYBODY:
            return False
        return self.in_use if said is None else not tenant

    def sees(self, label: str, tenant: str | None, body: str) -> bool:
        """Whether a row, given as its JSON text, is for this caller."""
        if self.closed(label, tenant):
            return False
        column = self.column(label)
        return column is None or tenant_of(body, column) == tenant

    def _said(self, label: str) -> str | None:
        for name in (label, label.removeprefix("public.")):
            if self.columns.get(name) is not None:
                return self.columns[name]
        return None


def tenant_of(body: str, column: str) -> str | None:
    """Whose row this is: the column's text, None for NULL and for a row without the column.

    A number is its digits. Values of other forms (arrays, JSON) name no tenant.
    """
    try:
        raw = values.split_object(body).get(column, "null")
    except (ValueError, RecursionError):  # json can be nested deeper than Python follows
        return None
    if raw.startswith('"'):
        return str(json.loads(raw))
    return raw if raw[:1] in "-0123456789" and raw else None
