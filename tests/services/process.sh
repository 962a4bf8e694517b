# Processes known by id and start time, ports, waiting, installing. Sourced by `start`, `stop` and `control`; starts nothing by itself.
# shellcheck shell=bash disable=SC2015,SC2034

# Each service is a file of its own here with the same functions; `use_service` reads one.
SERVICES="rabbitmq postgres kafka"
SERVICES_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOOLS=$SERVICES_HOME/../../target/tools

# use_service DIR NAME: its functions, and `home`, its folder, which is made.
use_service() {
  home=$1/$2 service=$2
  mkdir -p "$home" || return
  # shellcheck source=/dev/null
  . "$SERVICES_HOME/$2.sh"
}

# Says why a service is not there and ends the subshell that was to start it.
give_up() {
  echo "$*" >"$home/reason"
  exit 1
}

# When a process started, in ticks since the machine did: an id comes again, the two together do not. Fails for a dead one.
started_at() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
  # The name before the last bracket may hold anything.
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" != Z ] && echo "${fields[19]}"
}

remember() { echo "$2 $(started_at "$2")" >"$1"; }

# The process of a file that `remember` wrote, if it still runs.
running() {
  local pid start
  read -r pid start 2>/dev/null <"$1" && [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

children() { cat "/proc/$1/task/$1/children" 2>/dev/null; }

# launch PID_FILE LOG COMMAND...: in a session of its own, so that Ctrl-C reaches only those who asked for it.
launch() {
  local file=$1 log=$2
  shift 2
  setsid "$@" </dev/null >>"$log" 2>&1 &
  remember "$file" $!
}

# wait_until SECONDS COMMAND...
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

gone() { ! running "$1" >/dev/null; }

# end_process PID_FILE SIGNAL: asks, waits, and kills what does not listen.
end_process() {
  local pid
  pid=$(running "$1") || return 0
  kill "-$2" "$pid" 2>/dev/null
  kill -CONT "$pid" 2>/dev/null
  wait_until 30 gone "$1" || { kill -KILL "$pid" 2>/dev/null; wait_until 10 gone "$1"; }
}

# ask PORT BYTES COUNT: the first bytes of the answer in hex. BYTES as printf takes them.
ask() {
  # shellcheck disable=SC2016
  timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && head -c "$3" <&3 | od -An -v -tx1 | tr -d " \n"' \
    ask "$@" 2>/dev/null
}

# Ports on which nobody listens, below those that the system gives to outgoing connections.
free_ports() {
  local port found=0
  for port in $(shuf -i 20000-29999 -n 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    echo "$port"
    found=$((found + 1))
    [ $found -eq "$1" ] && return
  done
  return 1
}

# debian_package PROGRAM PACKAGE...: installs what is missing, where that can be done. PROGRAM may be a path with a star.
debian_package() {
  local program=$1
  shift
  ! is_installed "$program" || return 0
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || give_up "\`$program\` is missing; on Debian: apt install $*"
  mkdir -p "$TOOLS"
  (
    flock 9
    # The packages would start their services on the usual ports.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap 'rm -f $policy' EXIT
      printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null)" ] || timeout 120 apt-get -q update
    timeout 300 apt-get -q -y --no-install-recommends install "$@"
  ) 9>"$TOOLS/apt.lock" >"$home/install.log" 2>&1
  is_installed "$program" || give_up "\`$program\` cannot be installed: $(tail -n 1 "$home/install.log")"
}

is_installed() {
  case $1 in
    */*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}
