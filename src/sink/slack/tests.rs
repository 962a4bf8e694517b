//! The Slack sink against an endpoint that answers like Slack.

use super::super::sample::{self, Answer, Endpoint};
use super::*;

const OK: &str = r##"{"ok":true,"channel":"C1","ts":"1700000000.000001","message":{"text":"x"}}"##;

fn settings(given: serde_json::Value) -> Settings {
    serde_json::from_value(given).expect("settings")
}

fn bot(endpoint: &Endpoint) -> impl Sink + use<> {
    let settings = settings(serde_json::json!({
        "token": "xoxb-hush", "channel": "#docs", "username": "Clerk", "icon_url": "https://acme.example/clerk.png",
        "api_url": format!("{}/api/", endpoint.url),
    }));
    let secrets = Secrets { token: Some(Secret::new("xoxb-hush")), webhook_url: None };
    build("team".parse().unwrap(), &settings, secrets, Clock::system()).unwrap()
}

fn hook(endpoint: &Endpoint) -> impl Sink + use<> {
    let url = format!("{}/services/T1/B1/hush", endpoint.url);
    let settings = Settings { webhook_url: Some(SecretSource::literal(url.clone())), ..Settings::default() };
    let secrets = Secrets { token: None, webhook_url: Some(Secret::new(url)) };
    build("team".parse().unwrap(), &settings, secrets, Clock::system()).unwrap()
}

fn delivery(target: &str, message: Message) -> Enriched {
    Enriched { target: target.into(), message: Some(message), ..sample::enriched(1) }
}

fn saying(text: &str) -> Message {
    Message { text: text.to_owned(), ..Message::default() }
}

#[tokio::test]
async fn a_message_goes_to_its_channel() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let outcomes = bot(&endpoint).deliver(&[delivery("#tea", saying("*TEA-1* &amp; more"))]).await;
    assert_eq!(outcomes, [Ok(Receipt { thread: Some("1700000000.000001".to_owned()), ..Receipt::default() })]);
    let call = endpoint.calls().remove(0);
    assert_eq!((call.path.as_str(), call.header("authorization")), ("/api/chat.postMessage", "Bearer xoxb-hush"));
    assert_eq!(call.header("content-type"), "application/json; charset=utf-8");
    insta::assert_snapshot!(String::from_utf8(call.body).unwrap(), @r##"{"channel":"#tea","text":"*TEA-1* &amp; more","username":"Clerk","icon_url":"https://acme.example/clerk.png","unfurl_links":false,"unfurl_media":false,"mrkdwn":true}"##);
}

#[tokio::test]
async fn a_rule_has_the_last_word_on_name_and_picture() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let message = Message {
        text: "hello".to_owned(),
        blocks: Some(serde_json::json!([{ "type": "divider" }])),
        username: Some("Docs".to_owned()),
        icon_url: Some("https://acme.example/docs.png".to_owned()),
        attachments: Some(serde_json::json!([{ "color": "#36a64f", "text": "green" }])),
        ..Message::default()
    };
    assert!(bot(&endpoint).deliver(&[delivery("C1", message)]).await[0].is_ok());
    let sent = endpoint.calls()[0].json();
    assert_eq!((&sent["username"], &sent["icon_url"]), (&"Docs".into(), &"https://acme.example/docs.png".into()));
    assert_eq!((&sent["text"], &sent["blocks"][0]["type"]), (&"hello".into(), &"divider".into()));
    assert_eq!(sent["attachments"][0]["color"], "#36a64f");
}

#[tokio::test]
async fn a_thread_whose_first_message_is_gone_begins_anew() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let message = || Message { thread: Some("1600000000.000001".to_owned()), ..saying("again") };
    let answered = bot(&endpoint).deliver(&[delivery("C1", message())]).await.remove(0).unwrap();
    assert_eq!(answered.thread.as_deref(), Some("1600000000.000001"), "it stays in its thread");
    endpoint.answer(Answer::new(200, r#"{"ok":false,"error":"thread_not_found"}"#));
    let refused = bot(&endpoint).deliver(&[delivery("C1", message())]).await.remove(0).unwrap_err();
    assert!(refused.to_string().contains("thread_not_found"), "tried without the thread, and told: {refused}");
    let threads: Vec<serde_json::Value> = endpoint.calls().iter().map(|call| call.json()["thread_ts"].clone()).collect();
    assert_eq!(threads, [serde_json::json!("1600000000.000001"), serde_json::json!("1600000000.000001"), serde_json::Value::Null]);
}

fn of_jane(target: &str, text: &str) -> Enriched {
    let mut delivery = delivery(target, saying(text));
    let jane = crate::event::Person {
        id: "5b:1".into(),
        name: Some("Jane Doe".into()),
        email: Some("jane@acme.example".into()),
        kind: crate::event::PersonKind::Person,
    };
    let mut event = (*delivery.event).clone();
    event.data.issue.as_mut().expect("an issue").assignee = Some(jane);
    delivery.event = std::sync::Arc::new(event);
    delivery
}

#[tokio::test]
async fn people_are_found_by_name_and_by_address() {
    let endpoint = Endpoint::start(Answer::new(200, r#"{"ok":true,"user":{"id":"U7"},"ts":"1.2"}"#)).await;
    let sink = bot(&endpoint);
    let mark = "for <@jira:5b:1|Jane Doe> and <@jira:9|Max &amp; Co>, &lt;@jira:5b:1|x&gt;";
    assert!(sink.deliver(&[of_jane("#a", mark), of_jane("@assignee", "yours")]).await.iter().all(Result::is_ok));
    endpoint.answer(Answer::new(200, r#"{"ok":false,"error":"users_not_found"}"#));
    let nobody = sink.deliver(&[of_jane("@reporter", "x")]).await.remove(0).unwrap_err();
    assert!(matches!(&nobody, SinkError::Refused { scope: Scope::Target, reason } if reason.contains("nobody")), "{nobody}");
    let calls = endpoint.calls();
    assert_eq!(calls.len(), 3, "looked up once");
    assert!(calls[0].path.starts_with("/api/users.lookupByEmail"), "{}", calls[0].path);
    assert_eq!(calls[1].json()["text"], "for <@U7> and Max &amp; Co, &lt;@jira:5b:1|x&gt;");
    assert_eq!(calls[2].json()["channel"], "U7");
}

#[tokio::test]
async fn who_cannot_be_looked_up_is_named_and_no_dead_sink() {
    let endpoint = Endpoint::start(Answer::new(200, r#"{"ok":false,"error":"missing_scope","needed":"users:read.email"}"#)).await;
    let sink = bot(&endpoint);
    let refused = sink.deliver(&[of_jane("@assignee", "x")]).await.remove(0).unwrap_err();
    assert!(matches!(&refused, SinkError::Refused { scope: Scope::Target, reason } if reason.contains("users:read.email")), "{refused}");
    let people = serde_json::json!({ "token": "x", "people": { "Jane@acme.example": "U9" } });
    assert!(settings(people).check().is_ok());
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let secrets = Secrets { token: Some(Secret::new("x")), webhook_url: None };
    let given = settings(serde_json::json!({ "token": "x", "api_url": format!("{}/api", endpoint.url), "people": { "5B:1": "U9" } }));
    let sink = build("team".parse().unwrap(), &given, secrets, Clock::system()).unwrap();
    assert!(sink.deliver(&[of_jane("@assignee", "<@jira:5b:1|Jane>")]).await[0].is_ok());
    let sent = endpoint.calls()[0].json();
    assert_eq!((&sent["channel"], &sent["text"]), (&"U9".into(), &"<@U9>".into()));
}

#[tokio::test]
async fn an_incoming_webhook_gets_no_channel() {
    let endpoint = Endpoint::start(Answer::new(200, "ok")).await;
    assert_eq!(hook(&endpoint).deliver(&[delivery("team", saying("hello"))]).await, [Ok(Receipt::default())]);
    let call = endpoint.calls().remove(0);
    assert_eq!((call.path.as_str(), call.header("authorization")), ("/services/T1/B1/hush", ""));
    assert_eq!((&call.json()["text"], call.json().get("channel")), (&"hello".into(), None));
}

#[tokio::test]
async fn a_long_text_is_cut_before_it_is_sent() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    assert!(bot(&endpoint).deliver(&[delivery("C1", saying(&"&amp;".repeat(10_000)))]).await[0].is_ok());
    let sent = endpoint.calls()[0].json();
    let text = sent["text"].as_str().unwrap();
    assert!(text.chars().count() <= cut::TEXT_MAX && text.ends_with("&amp;…"), "{}", text.len());
}

#[tokio::test]
async fn nothing_is_sent_without_a_message() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let outcomes = bot(&endpoint).deliver(&[sample::enriched(1)]).await;
    assert!(
        matches!(&outcomes[..], [Err(SinkError::Refused { scope: Scope::Target, reason })] if reason.contains("no message")),
        "{outcomes:?}"
    );
    assert!(endpoint.calls().is_empty());
}

#[tokio::test]
async fn what_slack_answers_is_told_without_secrets() {
    let endpoint = Endpoint::start(Answer::new(200, OK)).await;
    let told = async |sink: &dyn Sink, answer: Answer| {
        endpoint.answer(answer);
        let err = sink.deliver(&[delivery("#gone", saying("x"))]).await.remove(0).unwrap_err();
        assert!(!err.to_string().contains("hush"), "{err}");
        err
    };
    let (bot, hook) = (bot(&endpoint), hook(&endpoint));
    let gone = told(&bot, Answer::new(200, r#"{"ok":false,"error":"channel_not_found"}"#)).await;
    assert!(matches!(&gone, SinkError::Refused { scope: Scope::Target, reason } if reason.contains("channel_not_found")), "{gone}");
    let limited = told(&bot, Answer::new(429, "{}").with("retry-after", "30")).await;
    assert!(matches!(limited, SinkError::Unavailable { scope: Scope::Target, retry_after: Some(span), .. } if span.as_secs() == 30));
    let redirect = told(&bot, Answer::new(302, "").with("location", "https://hush.example/")).await;
    assert!(matches!(redirect, SinkError::Refused { scope: Scope::Sink, .. }), "{redirect}");
    let dead = told(&hook, Answer::new(404, "no_service")).await;
    assert!(matches!(&dead, SinkError::Refused { scope: Scope::Sink, reason } if reason.contains("no_service")), "{dead}");
    assert_eq!(endpoint.calls().len(), 4);
}

#[tokio::test]
async fn a_closed_door_is_waited_for() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).unwrap();
    let url = Secret::new(format!("http://{free}/services/hush"));
    let settings = Settings { webhook_url: Some(SecretSource::literal("x")), ..Settings::default() };
    let sink = build("team".parse().unwrap(), &settings, Secrets { token: None, webhook_url: Some(url) }, Clock::system()).unwrap();
    let err = sink.deliver(&[delivery("team", saying("x"))]).await.remove(0).unwrap_err();
    assert!(matches!(&err, SinkError::Unavailable { scope: Scope::Sink, reason, .. } if !reason.contains("hush")), "{err}");
}

#[tokio::test]
async fn a_check_posts_nothing() {
    let endpoint = Endpoint::start(Answer::new(200, r#"{"ok":true,"team":"Acme","user":"clerk"}"#)).await;
    assert_eq!(bot(&endpoint).check().await, Ok(()));
    endpoint.answer(Answer::new(200, r#"{"ok":false,"error":"token_revoked"}"#));
    assert!(bot(&endpoint).check().await.unwrap_err().to_string().contains("token_revoked"));
    endpoint.answer(Answer::new(400, "no_text"));
    assert_eq!(hook(&endpoint).check().await, Ok(()));
    endpoint.answer(Answer::new(404, "no_service"));
    assert!(hook(&endpoint).check().await.is_err());
    let calls = endpoint.calls();
    assert!(calls[..2].iter().all(|call| call.path == "/api/auth.test"));
    assert!(calls[2..].iter().all(|call| call.json() == serde_json::json!({})));
}

#[test]
fn settings_are_checked() {
    let check = |given: serde_json::Value, wrong: Option<&str>| {
        let found = settings(given.clone()).check().err();
        let setting = found.as_ref().map(|err| match err {
            BuildError::Setting { setting, .. } => *setting,
            BuildError::Surroundings { .. } => "",
        });
        assert_eq!(setting, wrong, "{given}");
    };
    check(serde_json::json!({}), Some("token"));
    check(serde_json::json!({ "token": "x", "webhook_url": "https://hooks.example/x" }), Some("webhook_url"));
    check(serde_json::json!({ "webhook_url": "https://hooks.example/x", "channel": "#docs" }), Some("channel"));
    check(serde_json::json!({ "webhook_url": { "env": "HOOK" } }), None);
    check(serde_json::json!({ "token": "x", "people": { "jane@acme.example": "@jane" } }), Some("people"));
    check(serde_json::json!({ "token": { "file": "/run/secrets/x" }, "channel": "#docs" }), None);
    assert!(serde_json::from_str::<Settings>(r#"{"token":"x","chanel":"y"}"#).is_err());

    let built = |secrets: Secrets| {
        let settings = settings(serde_json::json!({ "token": "x" }));
        build("team".parse().unwrap(), &settings, secrets, Clock::system()).err().map(|err| err.to_string())
    };
    for secrets in [
        Secrets::default(),
        Secrets { token: Some(Secret::new("")), webhook_url: None },
        Secrets { token: Some(Secret::new("xoxb-hush\n")), webhook_url: None },
        Secrets { token: None, webhook_url: Some(Secret::new("hush")) },
    ] {
        let err = built(secrets).expect("refused");
        assert!(!err.contains("hush"), "{err}");
    }
}
