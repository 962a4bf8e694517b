//! What others see and may touch: names, headers, what is refused, what finds no queue, what cannot be read.

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer, ExchangeKind};
use ticketwire::event::{Kind, LaneCount};
use ticketwire::queue::amqp::Settings;
use ticketwire::queue::{QueueError, Share};
use ticketwire::setting::{ByteSize, SinkName};
use tokio::sync::watch;

use super::super::stage::sized;
use super::*;

async fn channel(connection: &Connection) -> Channel {
    connection.create_channel().await.expect("a channel")
}

/// A queue of somebody else, bound to our exchange.
async fn foreign(connection: &Connection, broker: &Broker, key: &str) -> Consumer {
    let channel = channel(connection).await;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.expect("a queue").name().clone();
    let exchange = format!("{}.events", broker.name);
    let bound = channel.queue_bind(queue.clone(), exchange.into(), key.into(), QueueBindOptions::default(), FieldTable::default());
    bound.await.expect("bound");
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue, "".into(), options, FieldTable::default()).await.expect("a consumer")
}

async fn next(consumer: &mut Consumer) -> Delivery {
    within(consumer.next()).await.expect("one more").expect("a message")
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> &'a str {
    let value = delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let Some(AMQPValue::LongString(text)) = value else { panic!("no header {name}") };
    std::str::from_utf8(text.as_bytes()).expect("text")
}

#[tokio::test]
async fn another_service_reads_events_in_binary_mode() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let stranger = broker.stranger().await;
    let mut all = foreign(&stranger, &broker, "*.all.#").await;
    let mut archive = lane(&queue, "docs", &event(7, 0)).await;
    let mut sent = sized(7, 0, 0).as_ref().clone();
    sent.raw = r#"{"webhookEvent": "jira:issue_updated"}"#.into();
    let sent = Arc::new(sent);
    publish(&queue, std::slice::from_ref(&sent)).await;

    let seen = next(&mut all).await;
    assert_eq!(seen.routing_key.as_str(), format!("{}.all.issue.updated._", lane_of(&sent)));
    assert_eq!(
        (header(&seen, "cloudEvents:id"), header(&seen, "cloudEvents:type")),
        ("acme:issue:7:change:0", "dev.ticketwire.issue.updated.v1")
    );
    assert_eq!(header(&seen, "cloudEvents:partitionkey"), "acme/issue/7");
    let properties = &seen.properties;
    assert_eq!(properties.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert_eq!(
        (properties.delivery_mode(), properties.message_id().as_ref().map(|id| id.as_str())),
        (&Some(2), Some("acme:issue:7:change:0"))
    );
    let body: serde_json::Value = serde_json::from_slice(&seen.data).expect("JSON");
    assert_eq!(body.as_object().and_then(|members| members.iter().next_back()).map(|(name, _)| name.as_str()), Some("raw"));
    assert_eq!(body["raw"]["webhookEvent"], "jira:issue_updated");
    let ours = take(&mut archive, 1).await;
    assert_eq!(ours[0].envelope, sent);
}

#[tokio::test]
async fn what_is_for_one_sink_reaches_that_and_the_archive() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let mut targeted = event(7, 0).as_ref().clone();
    targeted.target = Some(name("docs"));
    let (targeted, general) = (Arc::new(targeted), event(7, 1));
    let mut docs = lane(&queue, "docs", &targeted).await;
    let mut other = lane(&queue, "other", &targeted).await;
    let mut archive = queue.subscribe(&SinkName::archive()).await.expect("subscribed");
    publish(&queue, &[Arc::clone(&targeted), Arc::clone(&general)]).await;
    assert_eq!(ids(&take(&mut docs, 2).await), ids_of(&[Arc::clone(&targeted), Arc::clone(&general)]));
    assert_eq!(ids(&take(&mut other, 1).await), ids_of(std::slice::from_ref(&general)));
    let mut kept = 0;
    while kept < 2 {
        let mut lane = within(archive.next_lane()).await.expect("a lane");
        if lane.id() == lane_of(&targeted) {
            kept += take(&mut lane, 2).await.len();
        } else {
            std::mem::forget(lane);
        }
    }
}

#[tokio::test]
async fn a_body_above_the_limit_travels_without_its_raw_part() {
    let Some(broker) = Broker::found().await else { return };
    let small = Settings { max_message: ByteSize::mib(1), ..broker.settings.clone() };
    let queue = broker.open_with(&small, lane_count(), watch::channel(Share::All).1).await.expect("opened");
    let sent = sized(7, 0, 2 << 20);
    let mut lane = lane(&queue, "docs", &sent).await;
    publish(&queue, std::slice::from_ref(&sent)).await;
    let seen = take(&mut lane, 1).await;
    assert_eq!((&seen[0].envelope.event, seen[0].envelope.raw.len()), (&sent.event, 0));
}

#[tokio::test]
async fn what_is_not_ours_is_refused_with_the_difference() {
    let Some(broker) = Broker::found().await else { return };
    let stranger = broker.stranger().await;
    let exchange = format!("{}.events", broker.name);
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let made = channel(&stranger).await;
    made.exchange_declare(exchange.clone().into(), ExchangeKind::Fanout, durable, FieldTable::default()).await.expect("made");
    let Err(QueueError::Unusable(why)) = broker.open().await.map(drop) else { panic!("it must be refused") };
    assert!(why.contains(&exchange) && why.contains("fanout") && why.contains("queue.name"), "{why}");
    made.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.expect("deleted");

    let queue = broker.open().await.expect("opened");
    let taken = format!("{}.docs.2", broker.name);
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    made.queue_declare(taken.clone().into(), durable, FieldTable::default()).await.expect("made");
    let Err(QueueError::Unusable(why)) = queue.subscribe(&name("docs")).await.map(drop) else { panic!("it must be refused") };
    assert!(why.contains(&taken) && why.contains("x-single-active-consumer") && why.contains("current is none"), "{why}");
    made.queue_delete(taken.into(), QueueDeleteOptions::default()).await.expect("deleted");
    drop(queue.subscribe(&name("docs")).await.expect("subscribed"));
}

#[tokio::test]
async fn another_number_of_lanes_is_refused() {
    let Some(broker) = Broker::found().await else { return };
    drop(broker.open().await.expect("opened"));
    let refused = broker.open_with(&broker.settings, LaneCount::default(), watch::channel(Share::All).1).await.map(drop);
    assert!(matches!(refused, Err(QueueError::Unusable(why)) if why.contains("set `queue.lanes = 4`")));
    drop(broker.open().await.expect("opened again"));
}

#[tokio::test]
async fn nobody_is_no_fault_and_a_lost_exchange_is_mended() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let sent = events(7, 0..4);
    publish(&queue, &sent[..1]).await;
    let mut lane = lane(&queue, "docs", &sent[0]).await;
    publish(&queue, &sent[1..2]).await;

    // With the exchange goes what was bound to it. What is accepted from now on must arrive all the same.
    let stranger = broker.stranger().await;
    let exchange = format!("{}.events", broker.name);
    channel(&stranger).await.exchange_delete(exchange.clone().into(), ExchangeDeleteOptions::default()).await.expect("deleted");
    assert!(matches!(queue.publish(vec![Arc::clone(&sent[2])]).await, Err(PublishError::Unavailable(_))));
    assert!(matches!(queue.check().await, Err(QueueError::Unavailable(why)) if why.contains(&exchange)));
    publish_at_last(&queue, &sent[2]).await;
    assert_eq!(queue.check().await, Ok(()));

    // Somebody unbinds a queue by hand.
    let key = format!("{}.all.#", lane_of(&sent[0]));
    let unbound = format!("{}.docs.{}", broker.name, lane_of(&sent[0]));
    channel(&stranger).await.queue_unbind(unbound.into(), exchange.into(), key.into(), FieldTable::default()).await.expect("unbound");
    assert!(matches!(queue.publish(vec![Arc::clone(&sent[3])]).await, Err(PublishError::Unavailable(why)) if why.contains("no queue")));
    publish_at_last(&queue, &sent[3]).await;
    assert_eq!(ids(&take(&mut lane, 3).await), ids_of(&sent[1..]));
}

/// While the first sinks are bound again and the last is not, a message would find some queues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_while_bindings_are_made_again_reaches_every_sink() {
    let Some(broker) = Broker::found().await else { return };
    let (queue, sent) = (broker.open().await.expect("opened"), events(7, 0..200));
    for first in ["a", "b", "c", "d"] {
        drop(queue.subscribe(&name(first)).await.expect("subscribed"));
    }
    let mut last = lane(&queue, "z", &sent[0]).await;
    let deleted = async {
        let stranger = broker.stranger().await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let exchange = format!("{}.events", broker.name).into();
            channel(&stranger).await.exchange_delete(exchange, ExchangeDeleteOptions::default()).await.expect("deleted");
        }
    };
    let published = async {
        for event in &sent {
            publish_at_last(&queue, event).await;
        }
    };
    tokio::join!(deleted, published);
    let (mut seen, expected) = (Vec::new(), ids_of(&sent));
    while seen.last() != expected.last() {
        for id in ids(&take(&mut last, 1).await) {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
    }
    let lost: Vec<_> = expected.iter().filter(|id| !seen.contains(id)).collect();
    assert!(lost.is_empty(), "accepted and not seen: {lost:?}");
    assert!(seen == expected, "another order");
}

#[tokio::test]
async fn a_lost_exchange_is_mended_at_the_next_start_too() {
    let Some(broker) = Broker::found().await else { return };
    let sent = events(7, 0..1);
    let queue = broker.open().await.expect("opened");
    drop(queue.subscribe(&name("docs")).await.expect("subscribed"));
    queue.close(Duration::from_secs(10)).await.expect("closed");
    let exchange = format!("{}.events", broker.name);
    channel(&broker.stranger().await).await.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.expect("deleted");
    // As a process that only receives.
    let queue = broker.open().await.expect("opened");
    publish(&queue, &sent).await;
    let mut lane = lane(&queue, "docs", &sent[0]).await;
    assert_eq!(ids(&take(&mut lane, 1).await), ids_of(&sent));
}

#[tokio::test]
async fn what_cannot_be_read_does_not_hold_up_a_lane() {
    let Some(broker) = Broker::found().await else { return };
    let queue = broker.open().await.expect("opened");
    let sent = events(7, 0..2);
    let mut lane = lane(&queue, "docs", &sent[0]).await;
    let stranger = broker.stranger().await;
    let foreign = channel(&stranger).await;
    let put = async |headers: FieldTable| {
        let key = format!("{}.all.odd.thing._", lane_of(&sent[0]));
        let properties = BasicProperties::default().with_headers(headers);
        let published = foreign.basic_publish(
            format!("{}.events", broker.name).into(),
            key.into(),
            BasicPublishOptions::default(),
            b"of later",
            properties,
        );
        published.await.expect("published");
        // Answered after the message was routed.
        foreign
            .queue_declare("".into(), QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() }, FieldTable::default())
            .await
            .expect("answered");
    };
    put(FieldTable::default()).await;
    publish(&queue, &sent[..1]).await;
    put(FieldTable::default()).await;
    let mut later = FieldTable::default();
    for (name, text) in
        [("id", "acme:x:1"), ("twconnection", "acme"), ("source", "https://acme.example"), ("subject", "x"), ("partitionkey", "acme/x/1")]
    {
        later.insert(format!("cloudEvents:{name}").into(), AMQPValue::LongString(text.into()));
    }
    put(later).await;
    put(FieldTable::default()).await;
    publish(&queue, &sent[1..]).await;

    let seen = window_of(&mut lane, 3).await;
    let kinds: Vec<Kind> = seen.iter().map(|seen| seen.envelope.event.kind()).collect();
    assert_eq!(kinds, [Kind::IssueUpdated, Kind::Unrecognized, Kind::IssueUpdated]);
    assert_eq!((seen[1].envelope.event.id.as_str(), seen[1].envelope.raw.as_ref()), ("acme:x:1", b"of later".as_slice()));
    assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position));
    take(&mut lane, 3).await;
    until("nothing is left", async || queue.backlog().await.expect("counted").iter().all(|row| row.waiting == 0)).await;
}

#[tokio::test]
async fn too_much_that_waits_is_full_until_it_is_less() {
    let Some(broker) = Broker::found().await else { return };
    let small = Settings { max_backlog: 5, prefetch: 1, ..broker.settings.clone() };
    let queue = broker.open_with(&small, lane_count(), watch::channel(Share::All).1).await.expect("opened");
    let mut lane = lane(&queue, "docs", &event(7, 0)).await;
    let mut accepted = 0;
    let refused = within(async {
        loop {
            match queue.publish(events(7, accepted..accepted + 1)).await {
                Ok(()) => accepted += 1,
                Err(refused) => return refused,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(matches!(refused.await, PublishError::Full(why) if why.contains("`docs`")));
    assert!(matches!(queue.check().await, Err(QueueError::Full(why)) if why.contains("max_backlog")));
    assert!(accepted >= 5, "{accepted}");
    take(&mut lane, accepted as usize).await;
    until("there is room again", async || queue.check().await.is_ok()).await;
    publish(&queue, &events(7, accepted..accepted + 1)).await;
}
