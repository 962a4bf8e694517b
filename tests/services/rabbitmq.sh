# RabbitMQ of the Debian package, one node with an `epmd` of its own. Ports: AMQP, Erlang distribution, epmd.
# shellcheck shell=bash disable=SC2154

service_install() { debian_package /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server; }

service_version() { basename /usr/lib/rabbitmq/lib/rabbitmq_server-* | sed 's/.*-/RabbitMQ /'; }

service_env() { echo "TICKETWIRE_TEST_AMQP=amqp://guest:guest@127.0.0.1:$1"; }

# The same for the node and for `rabbitmqctl`; the wrapper on the PATH would change user and folder.
rabbitmq_settings() {
  export RABBITMQ_NODENAME="ticketwire$1@localhost" RABBITMQ_NODE_PORT=$1 RABBITMQ_DIST_PORT=$2 ERL_EPMD_PORT=$3
  export ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_CONF_ENV_FILE=/dev/null
  export HOME=$home RABBITMQ_CONFIG_FILE=$home/rabbitmq RABBITMQ_MNESIA_BASE=$home/mnesia RABBITMQ_LOG_BASE=$home/logs
  export RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins RABBITMQ_PID_FILE=$home/node.pid
}

service_start() {
  rabbitmq_settings "$@"
  printf 'listeners.tcp.1 = 127.0.0.1:%s\nloopback_users = none\ndisk_free_limit.absolute = 50MB\n' "$1" >"$home/rabbitmq.conf"
  echo '[].' >"$home/plugins"
  # `epmd` outlives the node that starts it; started first, its process is known.
  running "$home/epmd" >/dev/null || launch "$home/epmd" "$home/log" epmd -port "$3"
  # With input allowed the script becomes the node instead of waiting for it, so that the process that is known is the node.
  RABBITMQ_ALLOW_INPUT=yes RABBITMQ_SERVER_START_ARGS=-noinput \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    launch "$home/pid" "$home/log" /usr/lib/rabbitmq/bin/rabbitmq-server
}

# The node opens the connection with a method frame.
service_answers() { [ "$(ask "$1" 'AMQP\0\0\011\001' 1)" = 01 ]; }

service_signal() { kill "-$1" "$2"; }

service_stop() { end_process "$home/pid" TERM; }

service_remove() { end_process "$home/epmd" TERM; }

service_ctl() {
  local ports
  read -ra ports <"$home/ports"
  rabbitmq_settings "${ports[@]}"
  /usr/lib/rabbitmq/bin/rabbitmqctl -q "$@"
}
