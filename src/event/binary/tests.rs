//! What is written is read back exactly; what is too long still fits; what is not ours is told apart.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::super::{Comment, Issue, Members, Property, Value as Side, structured};
use super::*;
use crate::setting::{ConnectionName, SinkName};

const MIB: usize = 1 << 20;

fn envelope(raw: impl Into<Bytes>) -> Envelope {
    let acme: ConnectionName = "acme".parse().expect("a name");
    let mut issue = Issue::only_id("10012");
    issue.partial = false;
    issue.key = Some("DOCS-41".into());
    let at = Timestamp::from_ms(1_765_441_200_120);
    let data = Data {
        kind: Kind::IssueUpdated,
        origin: Origin::Import,
        occurred_at: at,
        received_at: Timestamp::from_ms(at.ms() + 7),
        jira: Delivered { event: Some("jira:issue_updated".into()), identifier: Some("1-2".into()), retry: 3, ..Delivered::default() },
        actor: None,
        project: None,
        issue: Some(Box::new(issue)),
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: None,
    };
    let event = Event {
        id: EventId::new(&acme, &["issue", "10012", "change", "10508"]),
        connection: acme.clone(),
        source: "https://acme.example/jira".parse().expect("a base URL"),
        subject: "DOCS-41".into(),
        partition_key: PartitionKey::issue(&acme, "10012"),
        secrecy: Secrecy::default(),
        data,
    };
    Envelope { event, raw: raw.into(), target: None, traceparent: None, received: None, renewable: false }
}

fn comment(text: &str) -> Entity {
    Entity::Comment(Comment {
        id: "70001".into(),
        author: None,
        editor: None,
        body: Some(text.into()),
        created_at: None,
        updated_at: None,
        visibility: None,
        internal: None,
    })
}

fn members(written: &[String]) -> Members {
    serde_json::from_str(&format!("{{{}}}", written.join(","))).expect("an object")
}

fn read(message: &Binary) -> Result<Envelope, BinaryError> {
    let find = |list: &'_ [(&'static str, String)], name: &str| list.iter().position(|(known, _)| *known == name);
    read_binary(
        |name| find(&message.attributes, name).map(|at| message.attributes[at].1.as_str()),
        |name| find(&message.ours, name).map(|at| message.ours[at].1.as_str()),
        &Bytes::from(message.body.clone()),
    )
}

fn last_member(message: &Binary) -> String {
    let body: Value = serde_json::from_slice(&message.body).expect("the body is JSON");
    body.as_object().and_then(|members| members.keys().next_back().cloned()).expect("a member")
}

#[test]
fn the_raw_body_is_the_last_member_and_comes_back_byte_for_byte() {
    for (raw, member) in [
        ("", "degraded"),
        (r#"{"webhookEvent":"x"}"#, "raw"),
        ("{\"a\": [1,\r\n 2.50, \"\\u0041\"]}", "raw"),
        ("null", "raw"),
        ("true", "raw"),
        (" {} ", "raw_base64"),
        ("{}\n", "raw_base64"),
        ("not JSON", "raw_base64"),
        ("\u{feff}{}", "raw_base64"),
        (r#"{"raw":{"raw_base64":"}"},"a":"\"raw\":"}"#, "raw"),
    ] {
        let sent = envelope(raw.as_bytes().to_vec());
        let message = binary(&sent, MIB);
        assert_eq!(last_member(&message), member, "{raw}");
        assert_eq!(read(&message).expect("it can be read"), sent, "{raw}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let sent = envelope(deep);
    assert_eq!(read(&binary(&sent, MIB)).expect("it can be read"), sent);
}

#[test]
fn attributes_are_those_of_the_structured_form() {
    let mut sent = envelope(r#"{"a":1}"#);
    sent.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let line: Value = serde_json::from_slice(&structured(&sent, &sent.event, true)).expect("JSON");
    let message = binary(&sent, MIB);
    let mut found: BTreeMap<&str, Value> = message.attributes.iter().map(|(name, text)| (*name, text.as_str().into())).collect();
    found.insert("data", serde_json::from_slice(&message.body).expect("JSON"));
    let expected: BTreeMap<&str, Value> =
        line.as_object().expect("an object").iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_too_long_is_cut_and_marked_and_still_read() {
    let long = "ä".repeat(2 * MIB);
    let mut with_body = envelope(long.clone());
    with_body.event.data.issue.as_mut().expect("an issue").body = Some(long.clone());
    let mut with_comment = envelope("");
    with_comment.event.data.entity = Some(comment(&long));
    let mut with_custom = envelope("");
    let nested = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    let custom = |n: u32| format!("\"customfield_{n}\":{}", if n == 0 { &nested } else { "\"0123456789\"" });
    with_custom.event.data.issue.as_mut().expect("an issue").custom = members(&(0..400).map(custom).collect::<Vec<_>>());
    with_custom.event.data.issue.as_mut().expect("an issue").summary = Some(long.clone());
    let mut with_changes = envelope("");
    let side = |n: u32| Some(Side { id: Some(n.to_string()), text: Some("x".repeat(200)) });
    let change = |n: u32| super::super::Change { field: n.to_string(), name: None, custom: false, from: side(n), to: side(n) };
    with_changes.event.data.changes = (0..20_000).map(change).collect();
    let mut with_value = envelope("");
    with_value.event.data.entity = Some(Entity::Property(Property { key: "k".into(), value: serde_json::json!([long, [long]]) }));
    for sent in [with_body, with_comment, with_custom, with_changes, with_value] {
        let message = binary(&sent, MIB);
        assert!(message.body.len() <= MIB, "{}", message.body.len());
        assert_eq!(last_member(&message), "raw_omitted");
        let back = read(&message).expect("it can be read");
        assert!(back.raw.is_empty());
        assert!(back.event.data.issue.as_ref().is_some_and(|issue| issue.partial), "it is read from Jira again");
        assert_eq!(
            (back.event.id, back.event.partition_key, back.event.data.kind),
            (sent.event.id, sent.event.partition_key, sent.event.data.kind)
        );
    }
    // Where the raw body alone is too long, the data stay whole.
    let sent = envelope("7".repeat(2 * MIB));
    let back = read(&binary(&sent, MIB)).expect("it can be read");
    assert_eq!((back.event, back.raw.len()), (sent.event, 0));
}

#[test]
fn a_cut_text_says_so() {
    let mut sent = envelope("");
    sent.event.data.entity = Some(comment(&"ä".repeat(MIB)));
    let back = read(&binary(&sent, MIB)).expect("it can be read");
    let Some(Entity::Comment(comment)) = back.event.data.entity else { panic!("no comment") };
    let text = comment.body.expect("a body");
    assert!(text.ends_with("ä… [cut]") && text.len() < MIB, "{}", text.len());
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let good = binary(&envelope(r#"{"a":1}"#), MIB);
    let without = |name: &str| {
        let keep = |list: &[(&'static str, String)]| list.iter().filter(|(known, _)| *known != name).cloned().collect();
        Binary { attributes: keep(&good.attributes), ours: keep(&good.ours), body: good.body.clone() }
    };
    for name in ["id", "twconnection", "source", "subject", "partitionkey", LEVEL_KNOWN] {
        assert!(matches!(read(&without(name)), Err(BinaryError::Attribute(missing)) if missing == name), "{name}");
    }
    let with_body = |body: &str| Binary { body: body.into(), ..good.clone() };
    let text = String::from_utf8(good.body.clone()).expect("text");
    for body in [
        "",
        "{}",
        "[]",
        "no JSON",
        r#"{"raw":1}"#,
        &text.replace(r#""raw":"#, r#""raw":2,"raw_omitted":"#),
        &text.replace(r#","raw":{"a":1}}"#, r#","raw":1,"a":1}"#),
    ] {
        assert!(read(&with_body(body)).is_err(), "{body}");
    }

    let attribute = |name: &str| good.attributes.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
    let later = Bytes::from_static(b"of a later version");
    let kept = read_unrecognized(attribute, &later, &BinaryError::Raw).expect("an event of ours");
    assert_eq!((kept.event.id.as_str(), kept.event.kind(), &kept.raw), ("acme:issue:10012:change:10508", Kind::Unrecognized, &later));
    assert!(read_unrecognized(|_| None, &later, &BinaryError::Raw).is_none());
}

proptest! {
    #[test]
    fn envelopes_come_back_as_they_were(
        raw in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), "\\PC*".prop_map(|text| Value::String(text).to_string().into_bytes())],
        text in "\\PC*",
        target in proptest::option::of("[a-z0-9][a-z0-9-]{0,20}"),
        secrecy in any::<(bool, bool)>(),
        subject in "\\PC+",
        id in "\\PC+",
    ) {
        let mut sent = envelope(raw);
        sent.target = target.map(|name| name.parse::<SinkName>().expect("a name"));
        sent.event.secrecy = Secrecy { level_known: secrecy.0, project_private: secrecy.1 };
        sent.event.id = EventId::new(&sent.event.connection, &["comment", &id]);
        sent.event.subject = subject;
        sent.event.data.entity = Some(comment(&text));
        sent.event.data.issue.as_mut().expect("an issue").custom = members(&[format!("{0}:{0}", Value::String(text))]);
        prop_assert_eq!(read(&binary(&sent, MIB)).expect("it can be read"), sent);
    }
}
