# Apache Kafka in KRaft mode, one node, from Maven Central into target/tools/kafka. Ports: clients, controller.
# shellcheck shell=bash disable=SC2154

KAFKA_JARS=$TOOLS/kafka

service_install() {
  debian_package java openjdk-17-jre-headless
  [ -e "$KAFKA_JARS/complete" ] && cmp -s "$KAFKA_JARS/complete" "$SERVICES_HOME/kafka.pom.xml" && return
  debian_package mvn maven
  mkdir -p "$TOOLS"
  (
    flock 9
    rm -rf "$KAFKA_JARS"
    timeout 300 mvn -q -B -f "$SERVICES_HOME/kafka.pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
      "-DoutputDirectory=$KAFKA_JARS" && cp "$SERVICES_HOME/kafka.pom.xml" "$KAFKA_JARS/complete"
  ) 9>"$TOOLS/kafka.lock" >"$home/install.log" 2>&1
  [ -e "$KAFKA_JARS/complete" ] || give_up "its jars cannot be fetched: $(grep -m 1 ERROR "$home/install.log" | cut -c 1-200)"
}

service_version() { basename "$KAFKA_JARS"/kafka_2.13-*.jar .jar | sed 's/.*-/Apache Kafka /'; }

service_env() { echo "TICKETWIRE_TEST_KAFKA=127.0.0.1:$1"; }

kafka_java() { echo "java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=$SERVICES_HOME/kafka.log4j2.xml"; }

service_start() {
  local java
  read -ra java <<<"$(kafka_java)"
  if [ ! -e "$home/kraft.properties" ]; then
    kafka_properties "$@" >"$home/kraft.properties"
    # The id is any sixteen bytes.
    "${java[@]}" -cp "$KAFKA_JARS/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$home/kraft.properties" \
      >>"$home/log" 2>&1 || return
  fi
  launch "$home/pid" "$home/log" "${java[@]}" -cp "$KAFKA_JARS/*" kafka.Kafka "$home/kraft.properties"
}

# Small where Kafka is made for many machines: it starts faster.
kafka_properties() {
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$2
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$home/data
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
END
}

# A request for metadata about no topics; the answer counts the brokers that serve.
service_answers() {
  local answer
  answer=$(ask "$1" '\0\0\0\016\0\003\0\0\0\0\0\001\377\377\0\0\0\0' 12)
  [ ${#answer} -eq 24 ] && [ "${answer: -8}" = 00000001 ]
}

service_signal() { kill "-$1" "$2"; }

service_stop() { end_process "$home/pid" TERM; }

service_remove() { :; }

# ctl CLASS ARGUMENTS...: a command of Kafka's own, as `ctl org.apache.kafka.tools.TopicCommand --list`.
service_ctl() {
  local class=$1 ports java
  shift
  read -ra ports <"$home/ports"
  read -ra java <<<"$(kafka_java)"
  "${java[@]}" -cp "$KAFKA_JARS/*" "$class" --bootstrap-server "127.0.0.1:${ports[0]}" "$@"
}
