//! Bodies that nobody would write by intent: whatever comes, nothing panics and nothing is lost.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use ticketwire::event::{Entity, Kind};

use super::{events_of, events_through, own_bodies, published, schema};

fn kinds(body: &[u8]) -> Vec<Kind> {
    events_of(body).iter().map(|event| event.kind()).collect()
}

#[test]
fn what_cannot_be_read_is_unrecognized() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let bodies: &[&[u8]] = &[
        b"not json at all",
        b"{\"webhookEvent\":\"jira:issue_created\"",
        b"null",
        b"17",
        b"\"x\"",
        b"[]",
        b"{}",
        b"{\"webhookEvent\":\"jira:issue_created\",\"x\":\"\xff\xfe\xc3(\"}",
        &[0; 64],
        &deep,
        b"{\"webhookEvent\":17,\"issue\":[]}",
        b"payload=%7B%7D&x=1",
        b" \n\t ",
        b"\xef\xbb\xbf[1]",
        b"{\"webhookEvent\":\"comment_created\",\"comment\":{\"id\":0}}",
        b"{\"accountId\":\"a\",\"username\":\"b\",\"more\":1}",
    ];
    for body in bodies {
        let text = String::from_utf8_lossy(body.get(..40).unwrap_or(body));
        let events = events_of(body);
        assert_eq!(kinds(body), [Kind::Unrecognized], "{text}");
        let again = events_of(body);
        assert_eq!(events[0].id, again[0].id, "{text}: the id is made from the body");
    }
}

#[test]
fn an_empty_body_is_told_each_time_unless_jira_names_the_delivery() {
    let id = |identifier: Option<&str>| events_through("acme", b"", identifier.map(str::to_owned))[0].id.clone();
    assert_ne!(id(None), id(None));
    assert_ne!(id(Some("")), id(Some("")));
    assert_eq!(id(Some("a.b")).as_str(), "acme:unrecognized:a%2Eb");
}

#[test]
fn an_id_that_no_store_could_index_is_unrecognized() {
    let (long, longer) = ("1".repeat(256), ".".repeat(510));
    let bodies = [
        format!(r#"{{"webhookEvent":"jira:issue_created","issue":{{"id":"{long}"}}}}"#),
        format!(r#"{{"webhookEvent":"jira:issue_updated","issue":{{"id":"7"}},"changelog":{{"id":"{long}","items":[]}}}}"#),
        format!(r#"{{"webhookEvent":"comment_created","comment":{{"id":"{long}"}}}}"#),
        format!(r#"{{"webhookEvent":"comment_created","comment":{{"id":"7"}},"issue":{{"id":"{long}"}}}}"#),
        format!(r#"{{"webhookEvent":"sprint_created","sprint":{{"id":"{long}"}}}}"#),
        format!(r#"{{"webhookEvent":"project_created","project":{{"id":"{long}"}}}}"#),
        format!(r#"{{"webhookEvent":"option_{long}_changed"}}"#),
        format!(r#"{{"webhookEvent":"issue_property_set","issue":{{"id":"7"}},"property":{{"key":"{longer}"}}}}"#),
    ];
    for body in bodies {
        let events = events_of(body.as_bytes());
        assert_eq!(kinds(body.as_bytes()), [Kind::Unrecognized], "{body}");
        assert!(events[0].id.as_str().len() < 128, "{}", events[0].id);
        let Some(Entity::Unrecognized(told)) = &events[0].data.entity else { panic!("it says what it is") };
        assert_eq!(told.reason, "an id is longer than 255 bytes");
    }
    let longest = format!(r#"{{"webhookEvent":"issue_property_set","issue":{{"id":"7"}},"property":{{"key":"{}"}}}}"#, ".".repeat(255));
    assert_eq!(kinds(longest.as_bytes()), [Kind::PropertySet]);
}

#[test]
fn a_key_that_no_issue_could_have_is_left_out() {
    let body = format!(r#"{{"webhookEvent":"jira:issue_created","issue":{{"id":"7","key":"{}-1"}}}}"#, "K".repeat(255));
    let event = events_of(body.as_bytes()).remove(0);
    let issue = event.data.issue.expect("an issue");
    assert_eq!((event.data.kind, event.subject.as_str(), issue.key, issue.url), (Kind::IssueCreated, "issue:7", None, None));
}

#[test]
fn what_can_be_read_in_spite_of_oddities_is() {
    let whole = String::from_utf8(own_bodies()["issue-created-cloud"].clone()).expect("text");
    let with = |more: &str| format!("{},{more}}}", whole.trim_end().strip_suffix('}').expect("an object"));
    let nested = format!("\"deep\":{}1{}", r#"{"a":"#.repeat(400), "}".repeat(400));
    for (name, body) in [
        ("deep member", with(&nested)),
        ("duplicate members", with(r#""timestamp":1,"webhookEvent":"jira:issue_created""#)),
        ("huge number", with(&format!("\"n\":{}", "9".repeat(5000)))),
        ("huge exponent", with("\"n\":1e999999")),
        ("huge timestamp", whole.replacen("\"timestamp\":", "\"timestamp\":99999999", 1)),
        ("negative timestamp", whole.replacen("\"timestamp\":", "\"timestamp\":-", 1)),
        ("NUL in the summary", whole.replacen("\"summary\":\"", "\"summary\":\"a\\u0000b", 1)),
        ("half a surrogate", whole.replacen("\"summary\":\"", "\"summary\":\"\\ud800", 1)),
        ("half a surrogate in the description", whole.replacen("\"description\":\"", "\"description\":\"\\udc00", 1)),
    ] {
        let events = events_of(body.as_bytes());
        assert_eq!(kinds(body.as_bytes()), [Kind::IssueCreated], "{name}");
        let issue = events[0].data.issue.as_ref().expect("an issue");
        assert!(!issue.partial && issue.body.is_some(), "{name}: {issue:?}");
    }
}

#[test]
fn what_restricts_is_never_repaired_away() {
    for level in [r#"{"name":[],"id":{}}"#, "17", "true", "[]", r#""Staff""#] {
        let body = format!(r#"{{"webhookEvent":"jira:issue_created","issue":{{"id":"7","fields":{{"summary":[],"security":{level}}}}}}}"#);
        let events = events_of(body.as_bytes());
        let restricted = events[0].restricted();
        assert_ne!(restricted, ticketwire::event::Restricted::No, "{level}");
    }
}

#[test]
fn many_faults_are_repaired_and_too_many_give_up() {
    let body = |faults: usize| {
        let labels = vec!["7"; faults].join(",");
        format!(r#"{{"webhookEvent":"jira:issue_created","issue":{{"id":"7","fields":{{"labels":["a",{labels}]}}}}}}"#)
    };
    assert_eq!(kinds(body(60).as_bytes()), [Kind::IssueCreated]);
    assert_eq!(kinds(body(70).as_bytes()), [Kind::Unrecognized]);
}

static BODIES: LazyLock<Vec<Value>> =
    LazyLock::new(|| own_bodies().values().filter_map(|body| serde_json::from_slice(body).ok()).collect());

#[derive(Debug, Clone)]
enum Fault {
    Remove,
    Put(Value),
    Wrap,
}

fn fault() -> impl Strategy<Value = Fault> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[1], "x"])),
        Just(json!({ "id": {} })),
    ];
    prop_oneof![Just(Fault::Remove), scalar.prop_map(Fault::Put), Just(Fault::Wrap)]
}

/// Walks down by the numbers and does it there.
fn spoil(value: &mut Value, way: &[usize], fault: &Fault) {
    let (step, rest) = match way {
        [step, rest @ ..] => (*step, rest),
        [] => return,
    };
    let members = match value {
        Value::Object(members) if !members.is_empty() => {
            let key = members.keys().nth(step % members.len()).cloned().expect("a member");
            if matches!(fault, Fault::Remove) && rest.is_empty() {
                members.remove(&key);
                return;
            }
            members.get_mut(&key).expect("a member")
        }
        Value::Array(list) if !list.is_empty() => {
            let place = step % list.len();
            &mut list[place]
        }
        _ => return,
    };
    if !rest.is_empty() && (members.is_object() || members.is_array()) {
        return spoil(members, rest, fault);
    }
    match fault {
        Fault::Remove => *members = Value::Null,
        Fault::Put(other) => *members = other.clone(),
        Fault::Wrap => *members = json!([members.take()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_spoiled_still_becomes_events(
        which in any::<prop::sample::Index>(),
        faults in prop::collection::vec((prop::collection::vec(0_usize..64, 1..6), fault()), 1..6),
    ) {
        let mut body = which.get(&BODIES).clone();
        for (way, fault) in &faults {
            spoil(&mut body, way, fault);
        }
        let events = events_of(body.to_string().as_bytes());
        prop_assert!(!events.is_empty());
        for event in events {
            prop_assert!(event.id.as_str().starts_with("acme:"));
            prop_assert!(!event.id.as_str().contains('.'));
            let wrong = schema::mismatches(&published(event));
            prop_assert!(wrong.is_empty(), "{wrong:?}\n{body}");
        }
    }

    #[test]
    fn bytes_that_are_cut_or_changed_still_become_events(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut body = which.get(&BODIES).to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if cut {
            body.truncate(end.index(body.len()));
        }
        let events = events_of(&body);
        prop_assert!(!events.is_empty());
        let key = &events[0].partition_key;
        prop_assert!(events.iter().all(|event| event.partition_key == *key));
    }
}
