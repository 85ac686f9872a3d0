#!/bin/sh
# Compares a PostgreSQL database with what an Engram server holds of it, and ends with a status that says how that went:
#   0 all is right   3 look into it   4 a rollback is advised   1, 75 it could not be done   2 it was asked for wrongly
#
#   ./scripts/validate_migration.sh postgresql postgresql://reader@host/database http://engram:7432 user_memories
#   ./scripts/validate_migration.sh postgresql postgresql://reader@host/database http://engram:7432 all --sample all
#
# What was expected of Engram stands in the ledger: ENGRAM_BRIDGE_LEDGER, or that of ./bridge.yaml, or ./engram-bridge.db.
# Further arguments are those of `engram-bridge validate`.
set -eu

usage() {
    echo "usage: $0 postgresql SOURCE ENGRAM_URL SPACE|all [options of engram-bridge validate]" >&2
    exit 2
}

[ $# -ge 4 ] || usage
if [ "$1" != postgresql ]; then
    echo "$0: this project migrates from postgresql, not from $1" >&2
    usage
fi
source=$2 target=$3 space=$4
shift 4
[ "$space" = all ] || set -- --space "$space" "$@"
[ -z "${ENGRAM_BRIDGE_LEDGER:-}" ] || set -- --ledger "$ENGRAM_BRIDGE_LEDGER" "$@"
exec engram-bridge validate --source "$source" --target "$target" "$@"
