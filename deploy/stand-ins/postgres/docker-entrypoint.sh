#!/usr/bin/env bash
# What docker-compose.yml uses of the published image's entry point: POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD_FILE at
# the first start; the server then listens on all addresses and asks everybody on the network for the password.
set -euo pipefail
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  initdb --username="$user" --pwfile="${POSTGRES_PASSWORD_FILE:?}" --auth-host=scram-sha-256 -D "$PGDATA"
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    createdb --username="$user" --maintenance-db=postgres "${POSTGRES_DB:-$user}"
  fi
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
if [ "${1:-}" = postgres ]; then
  shift
  set -- postgres -c listen_addresses='*' "$@"
fi
exec "$@"
