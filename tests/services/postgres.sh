# PostgreSQL of the Debian package: user `ticketwire` without a password, nothing but TCP on 127.0.0.1. It refuses to run as root, so
# its data lie in a folder of user `postgres` under /tmp, whose name stands in `data`. Without fsync: no test pulls the plug, and what
# a process has written outlives it all the same.
# shellcheck shell=bash disable=SC2154,SC2086

postgres_programs() { find /usr/lib/postgresql -path '*/bin/pg_ctl' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }

service_install() { debian_package '/usr/lib/postgresql/*/bin/pg_ctl' postgresql; }

service_version() { "$(postgres_programs)/postgres" --version | sed 's/.*(PostgreSQL) \([^ ]*\).*/PostgreSQL \1/'; }

service_env() { echo "TICKETWIRE_TEST_POSTGRES=postgres://ticketwire@127.0.0.1:$1/postgres"; }

as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

service_start() {
  local data programs
  programs=$(postgres_programs)
  if [ ! -e "$home/data" ]; then
    data=$(mktemp -d /tmp/ticketwire-postgres.XXXXXX) || return
    echo "$data" >"$home/data"
    [ "$(id -u)" -ne 0 ] || chown postgres "$data"
    as_postgres "$programs/initdb" -D "$data/cluster" -A trust -U ticketwire -E UTF8 --locale=C.UTF-8 >>"$home/log" 2>&1 || return
  fi
  data=$(cat "$home/data")/cluster
  # What was killed may be a zombie for a while, and PostgreSQL takes that for a server.
  rm -f "$data/postmaster.pid"
  as_postgres "$programs/pg_ctl" -D "$data" -w -t 30 start \
    -o "-p $1 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 -c fsync=off" \
    >>"$home/log" 2>&1 </dev/null || return
  remember "$home/pid" "$(head -n 1 "$data/postmaster.pid")"
}

service_answers() { timeout 5 "$(postgres_programs)/psql" -XAtqc 'select 1' "postgres://ticketwire@127.0.0.1:$1/postgres" >/dev/null 2>&1; }

# Each connection is a process. The first one is stopped before the others are counted, or it would have more meanwhile.
service_signal() {
  local pids
  kill -STOP "$2"
  pids=$(children "$2")
  kill "-$1" $pids "$2" 2>/dev/null
  [ "$1" != KILL ] || wait_until 10 ended $pids
}

ended() {
  local pid
  for pid in "$@"; do ! started_at "$pid" >/dev/null || return; done
}

# INT does not wait for those who are connected.
service_stop() { end_process "$home/pid" INT; }

service_remove() {
  local data
  data=$(cat "$home/data" 2>/dev/null) && case $data in /tmp/ticketwire-postgres.*) rm -rf "$data" ;; esac
}
