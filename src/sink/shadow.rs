//! Shadow mode: stands before a sink of any type and records what that would have sent. Nothing is ever handed to the sink itself.
//!
//! The record is written before the answer, and is the same however often it is written. The journal's row is the window's: a message may tell
//! of several deliveries, of which a sink sees one. A crash between the two writes the record once more, and sends nothing.
//!
//! Not known here is what only the other side could say: whom a mention means there, what a thread that would begin is called.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{Enriched, Message, Receipt, Scope, Sink, SinkError, Traits};
use crate::clock::Clock;
use crate::event::Event;
use crate::setting::SinkName;
use crate::store::{DeliveryKey, ShadowRow, Store, StoreError, Write};

pub fn build(inner: Arc<dyn Sink>, store: Store, clock: Clock) -> impl Sink {
    Shadow { inner, store, clock }
}

struct Shadow {
    inner: Arc<dyn Sink>,
    store: Store,
    clock: Clock,
}

#[async_trait]
impl Sink for Shadow {
    fn name(&self) -> &SinkName {
        self.inner.name()
    }

    /// The batch stays the sink's own: what goes one by one there goes into threads and is folded as it would be.
    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, ..self.inner.traits() }
    }

    fn takes(&self, event: &Event) -> Result<(), &'static str> {
        self.inner.takes(event)
    }

    fn is_shadow(&self) -> bool {
        true
    }

    fn completed(&self, message: &Message) -> Message {
        self.inner.completed(message)
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let shadows = batch.iter().map(|delivery| self.row(delivery)).collect();
        // A receipt without a thread: one that was never begun must not be answered to once the sink sends.
        let unavailable = |err: StoreError| SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason: err.to_string() };
        let answer = self.store.write(Write { shadows, ..Write::default() }).await.map(|()| Receipt::default()).map_err(unavailable);
        vec![answer; batch.len()]
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.inner.check().await
    }
}

impl Shadow {
    fn row(&self, delivery: &Enriched) -> ShadowRow {
        ShadowRow {
            key: DeliveryKey {
                sink: self.inner.name().clone(),
                event_id: delivery.event.id.clone(),
                target: delivery.target.clone(),
                generation: delivery.generation,
            },
            rule: delivery.rule.clone(),
            at: self.clock.now(),
            message: delivery.message.as_ref().map(|message| written(&self.inner.completed(message))),
        }
    }
}

/// All members are there, null where the message has none.
fn written(message: &Message) -> String {
    let Message { text, blocks, username, icon_url, attachments, thread } = message;
    json!({
        "text": text,
        "username": username,
        "icon_url": icon_url,
        "blocks": blocks,
        "attachments": attachments,
        "thread": thread,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{sample, slack};
    use super::*;
    use crate::setting::Secret;
    use crate::shutdown::Tasks;
    use crate::store::{Settings, ShadowFilter};

    #[tokio::test]
    async fn what_would_be_sent_is_recorded_once_and_nobody_is_asked() {
        let endpoint = sample::Endpoint::start(sample::Answer::new(200, r#"{"ok":true,"ts":"1.1"}"#)).await;
        let settings = json!({ "token": "xoxb-1", "api_url": endpoint.url, "username": "Docs bot" });
        let settings: slack::Settings = serde_json::from_value(settings).expect("settings");
        let secrets = slack::Secrets { token: Some(Secret::new("xoxb-1")), webhook_url: None };
        let inner = slack::build("team".parse().expect("a name"), &settings, secrets, Clock::system()).expect("it is built");
        let (dir, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let store = Store::open(&Settings::default(), dir.path(), &tasks).await.expect("it opens");
        let sink = build(Arc::new(inner), store.clone(), Clock::system());
        assert_eq!(
            (sink.name().as_str(), sink.is_shadow(), sink.traits().for_people, sink.traits().repeatable),
            ("team", true, true, true)
        );

        let message = Message { text: "*TEA-1* whistles".into(), ..Message::default() };
        let delivery = Enriched { message: Some(message), target: "#docs".into(), ..sample::enriched(1) };
        let batch = [delivery.clone(), Enriched { message: None, ..sample::enriched(2) }, delivery];
        for _ in 0..2 {
            assert_eq!(sink.deliver(&batch).await, vec![Ok(Receipt::default()); 3]);
        }
        let rows = store.shadows(sink.name(), &ShadowFilter::default(), None, 9).await.expect("rows");
        let told: Vec<_> = rows.iter().map(|(_, row)| (&*row.key.target, row.message.as_deref())).collect();
        let expected =
            r##"{"text":"*TEA-1* whistles","username":"Docs bot","icon_url":null,"blocks":null,"attachments":null,"thread":null}"##;
        assert_eq!(told, [("out", None), ("#docs", Some(expected))]);
        assert!(endpoint.calls().is_empty(), "Slack was spoken to");
        store.close(std::time::Duration::from_secs(5)).await;
        let [Err(SinkError::Unavailable { scope: Scope::Sink, .. })] = &sink.deliver(&[sample::enriched(3)]).await[..] else {
            panic!("a record that could not be written was answered for");
        };
    }
}
