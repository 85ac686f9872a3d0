"""`engram-bridge check`."""

from __future__ import annotations

import json

from bridge.cli.options import AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.console import console as make_console


def check(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """Tell now what would go wrong later. Changes nothing in the source."""
    from bridge import preflight

    report = preflight.run(load(config, source, target, ledger))
    if as_json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        report.show(make_console())
    return int(report.exit_code)
