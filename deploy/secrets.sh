#!/bin/sh
# Makes what docker-compose.yml must not hold: passwords and tokens by chance, one a file, and the `.env` that says where they are.
# What is there already stays. The folder is closed to other users of this machine; the files in it are open, because the
# containers' users, which are not this one, read them through their mounts.
set -eu
cd "$(dirname "$0")/.."
folder=${ENGRAM_BRIDGE_SECRETS:-deploy/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022
for name in postgres_password shop_password bridge_password reader_password ledger_password grafana_password read_token operate_token; do
    [ -s "$folder/$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
done
touch .env
grep -q '^ENGRAM_BRIDGE_SECRETS=' .env || printf 'ENGRAM_BRIDGE_SECRETS=%s\n' "./${folder#./}" >>.env
echo "$folder: $(find "$folder" -type f | wc -l) secrets. The operator's token is in $folder/operate_token, Grafana's password (user admin) in $folder/grafana_password."
