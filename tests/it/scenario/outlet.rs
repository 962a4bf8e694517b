//! Events for other services: the sinks `amqp` and `kafka` on real brokers, and what `enrich` adds to an event.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Scene, Server, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(60);
const STORIES: u64 = 8;
const STEPS: u64 = 5;

/// What came out at the other end: attributes by their names in CloudEvents, and the data.
struct Came {
    attributes: HashMap<String, String>,
    data: Value,
}

/// Every issue's events, in the order in which they were accepted.
async fn happen(stage: &Stage) -> BTreeMap<u64, Vec<String>> {
    let mut accepted: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for number in 0..STORIES {
        let mut story = Story::new(number, "OPS");
        for step in 0..STEPS {
            let body = if step == 0 { story.created() } else { story.renamed(&format!("step {step}")) };
            accepted.entry(number).or_default().extend(stage.post("acme", &body, &format!("{number}-{step}")).await);
        }
    }
    accepted
}

fn assert_all_in_order(accepted: &BTreeMap<u64, Vec<String>>, came: &[Came]) {
    for ids in accepted.values() {
        let of_issue: Vec<&str> =
            came.iter().map(|came| came.attributes["id"].as_str()).filter(|id| ids.iter().any(|own| own == id)).collect();
        let all = || came.iter().map(|came| came.attributes["id"].as_str()).collect::<Vec<_>>();
        assert_eq!(of_issue, ids.iter().map(String::as_str).collect::<Vec<_>>(), "all {} that came: {:#?}", came.len(), all());
    }
    for came in came {
        let data = came.data.as_object().expect("an object");
        assert!(!data.contains_key("raw") && !data.contains_key("raw_omitted"), "{data:?}");
        assert_eq!((data["issue"]["partial"].as_bool(), came.attributes["specversion"].as_str()), (Some(false), "1.0"));
        assert!(!came.attributes.keys().any(|name| name.starts_with("ticketwire")), "{:?}", came.attributes);
    }
}

/// The reason why the sink is paused, once it is.
async fn paused(stage: &Stage) -> String {
    until("the sink is paused", LIMIT, async || {
        let sinks = stage.cli_json(&["sink", "list"]).await;
        let out = sinks.as_array()?.iter().find(|sink| sink["name"] == "out")?;
        (out["state"] == "paused").then(|| out["reason"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

async fn resumed(stage: &Stage) {
    assert_eq!(stage.cli(&["sink", "resume", "out"]).await.code, 0);
}

#[cfg(feature = "amqp")]
mod amqp {
    use futures_util::StreamExt;
    use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
    use lapin::types::{AMQPValue, FieldTable};
    use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

    use super::*;

    async fn declare(channel: &Channel) -> Consumer {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare("others".into(), ExchangeKind::Topic, durable, FieldTable::default()).await.expect("declared");
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("theirs".into(), durable, FieldTable::default()).await.expect("declared");
        let key = "issue.*.OPS".into();
        channel.queue_bind("theirs".into(), "others".into(), key, QueueBindOptions::default(), FieldTable::default()).await.expect("bound");
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        channel.basic_consume("theirs".into(), "".into(), options, FieldTable::default()).await.expect("a consumer")
    }

    async fn next(consumer: &mut Consumer) -> Came {
        let message = tokio::time::timeout(LIMIT, consumer.next()).await.expect("in time").expect("one more").expect("a message");
        let text = |value: &AMQPValue| match value {
            AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).expect("text"),
            other => panic!("{other:?}"),
        };
        let name = |name: &str| name.strip_prefix("cloudEvents:").unwrap_or(name).to_owned();
        let headers = message.properties.headers().clone().unwrap_or_default();
        let attributes = headers.inner().iter().map(|(header, value)| (name(header.as_str()), text(value))).collect();
        Came { attributes, data: serde_json::from_slice(&message.data).expect("JSON") }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_leave_for_an_exchange_of_somebody_elses() {
        let Some(broker) = Server::start("rabbitmq") else { return };
        let stage = Stage::new();
        let (host, password) =
            broker.address.split_once('@').map_or(("", ""), |(user, host)| (host, user.rsplit(':').next().unwrap_or("")));
        let user = broker.address.trim_start_matches("amqp://").split(':').next().unwrap_or_default();
        stage.configure(&format!(
            "{}[sink.out]\ntype = \"amqp\"\nurl = \"amqp://{host}\"\nusername = {user:?}\npassword = {password:?}\nexchange = \"others\"\n",
            Scene::listening("acme")
        ));
        let service = stage.serve().await;
        let mut accepted = happen(&stage).await;
        let reason = paused(&stage).await;
        assert!(reason.starts_with("the exchange `others` is not there: declare it ("), "{reason}");

        let stranger = Connection::connect(&broker.address, ConnectionProperties::default()).await.expect("a connection");
        let channel = stranger.create_channel().await.expect("a channel");
        let mut consumer = declare(&channel).await;
        resumed(&stage).await;
        let mut came = Vec::new();
        for _ in 0..STORIES * STEPS {
            came.push(next(&mut consumer).await);
        }
        assert_all_in_order(&accepted, &came);
        assert_eq!(came[0].data["kind"], "issue.created");

        // Nobody is bound for that project: that is told, and not lost.
        let unheard = stage.post("acme", &Story::new(1_000, "WEB").created(), "unheard").await;
        let dead = until("a dead letter", LIMIT, async || {
            let dead = stage.cli_json(&["dead", "list"]).await;
            dead.as_array().filter(|dead| !dead.is_empty()).cloned()
        })
        .await;
        assert_eq!((dead.len(), &dead[0]["event_id"]), (1, &json!(unheard[0])));
        let reason = "no queue is bound to `others` for `issue.created.WEB`: bind one, or set `mandatory = false`";
        assert_eq!(dead[0]["reason"], reason);

        // The broker goes away in the middle and comes back: what waited follows in order.
        broker.control("stop").await;
        accepted.insert(2_000, stage.post("acme", &Story::new(2_000, "OPS").created(), "while it is away").await);
        broker.control("start").await;
        let stranger = Connection::connect(&broker.address, ConnectionProperties::default()).await.expect("a connection");
        let mut consumer = declare(&stranger.create_channel().await.expect("a channel")).await;
        let late = next(&mut consumer).await;
        assert_eq!(late.attributes["id"], accepted[&2_000][0]);
        assert_eq!(service.terminate().await.1, 0);
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    use rdkafka::ClientConfig;
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::{Headers, Message};

    use super::*;

    fn client(servers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("group.id", "others").set("auto.offset.reset", "earliest");
        config
    }

    fn read(servers: &str, topic: &str, count: usize) -> Vec<(i32, Came)> {
        let consumer: BaseConsumer = client(servers).create().expect("a client");
        consumer.subscribe(&[topic]).expect("subscribed");
        let mut came = Vec::new();
        for _ in 0..600 {
            if came.len() == count {
                break;
            }
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
            let name = |name: &str| name.strip_prefix("ce_").unwrap_or(name).to_owned();
            let headers = message.headers().expect("headers");
            let attributes = headers.iter().map(|header| (name(header.key), text(header.value))).collect::<HashMap<_, _>>();
            assert_eq!(text(message.key()), attributes["partitionkey"]);
            let data = serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
            came.push((message.partition(), Came { attributes, data }));
        }
        came
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_leave_for_a_topic_of_somebody_elses() {
        let Some(broker) = Server::start("kafka") else { return };
        let (stage, servers) = (Stage::new(), broker.address.clone());
        let sink = format!("[sink.out]\ntype = \"kafka\"\nurl = \"kafka://{servers}\"\ntopic = \"others\"\n");
        stage.configure(&format!("{}{sink}", Scene::listening("acme")));
        let service = stage.serve().await;
        let accepted = happen(&stage).await;
        let reason = paused(&stage).await;
        assert!(reason.starts_with("the topic `others` is not there: make it ("), "{reason}");

        let admin: AdminClient<DefaultClientContext> = client(&servers).create().expect("a client");
        let topic = NewTopic::new("others", 5, TopicReplication::Fixed(1));
        admin.create_topics(&[topic], &AdminOptions::new()).await.expect("an answer")[0].clone().expect("a topic");
        resumed(&stage).await;
        let count = usize::try_from(STORIES * STEPS).expect("a few");
        let came = tokio::task::spawn_blocking(move || read(&servers, "others", count)).await.expect("no panic");
        let partitions: std::collections::BTreeSet<i32> = came.iter().map(|(partition, _)| *partition).collect();
        assert!(partitions.len() > 1, "{partitions:?}");
        let came: Vec<Came> = came.into_iter().map(|(_, came)| came).collect();
        assert_all_in_order(&accepted, &came);
        assert_eq!(service.terminate().await.1, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enriching_sink_writes_whole_issues_and_waits_for_jira() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let sink = |name: &str, more: &str| format!("[sink.{name}]\ntype = \"file\"\npath = \"../{name}.jsonl\"\n{more}");
    stage.configure(&format!("{}{}{}", scene.asking(), sink("whole", "enrich = true\n"), sink("plain", "")));
    let service = stage.serve().await;
    scene.jira.shut().await;
    let mut comments = Vec::new();
    for _ in 0..400 {
        for body in scene.simulation.act().await.bodies.into_iter().filter(|body| body.event == "comment_created") {
            comments.extend(stage.post("acme", &body.json, &comments.len().to_string()).await);
        }
        if comments.len() >= 3 {
            break;
        }
    }
    assert!(comments.len() >= 3, "people commented {} times", comments.len());
    until("the plain file has them", LIMIT, async || (stage.ids("plain.jsonl").len() == comments.len()).then_some(())).await;
    assert!(stage.lines("plain.jsonl").iter().all(|line| line["data"]["issue"]["partial"] == true));
    assert_eq!(stage.ids("whole.jsonl"), Vec::<String>::new(), "it does not wait for Jira");
    scene.jira.open().await;
    until("the enriched file has them", LIMIT, async || (stage.ids("whole.jsonl").len() == comments.len()).then_some(())).await;
    for line in stage.lines("whole.jsonl") {
        let issue = &line["data"]["issue"];
        assert_eq!((&issue["partial"], &line["data"]["degraded"]), (&json!(false), &json!([])), "{line}");
        assert!(issue["created_at"].is_string() && issue["reporter"].is_object(), "{issue}");
    }
    assert_eq!(service.terminate().await.1, 0);
}
