//! Texts of tickets in every dialect, and what authors write: templates, blocks and rules, over events that somebody forged.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::{Value, json};
use ticketwire::deliver::{Names, Recorded, Rehearsed, Route, RuleSettings, Rules, SendSettings, SinkTraits, rehearse};
use ticketwire::event::{Event, Markup};
use ticketwire::render::{Dialect, MAX_BYTES, default, read, to_markdown};
use ticketwire::setting::SinkName;
use ticketwire::sink::{Clearance, Enriched, Receipt, Sink, SinkError, Traits};

use super::live::live;
use super::readers::{events_of, promise};

static NAMES: LazyLock<Arc<Names>> = LazyLock::new(|| Arc::new(Names::of_events()));
static FORGED: LazyLock<Vec<Event>> = LazyLock::new(|| forged("a *b* <!channel> [x|https://a.invalid] & | \u{202e}é"));

pub fn document(json: &[u8], choice: u64) -> Result<(), String> {
    shown(Markup::Document(&String::from_utf8_lossy(json)), choice)
}

pub fn wiki(text: &[u8], choice: u64) -> Result<(), String> {
    shown(Markup::Wiki(&String::from_utf8_lossy(text)), choice)
}

/// Bounded in every dialect, and nothing in it lives, cut or whole.
fn shown(markup: Markup<'_>, choice: u64) -> Result<(), String> {
    let markdown = to_markdown(markup);
    let mrkdwn = [Dialect::SlackMrkdwn.write(&read(markup)), Dialect::SlackMrkdwn.convert(&markdown)];
    let most = usize::try_from(choice % 200).unwrap_or_default();
    for text in &mrkdwn {
        is_dead(text)?;
        let cut = Dialect::SlackMrkdwn.truncate(text, most);
        is_dead(&cut)?;
        promise(cut.chars().count() <= most, "a cut text is too long")?;
    }
    let plain = Dialect::Plain.convert(&markdown);
    promise([&markdown, &plain, &mrkdwn[0], &mrkdwn[1]].iter().all(|text| text.len() <= MAX_BYTES), "a text is too long")
}

/// Every place of an event holds the text; templates of all kinds show it, and it stays dead.
pub fn values(text: &[u8], choice: u64) -> Result<(), String> {
    const SHOWING: &[&str] = &[
        default::MESSAGE,
        "{{ issue.summary | link(issue.url) }} {{ issue.body }} {{ comment.body | quote }} {{ actor.name | bold }}",
        "{{ issue.summary | upper | replace('&', '<') }}{{ issue.labels | join('|') }}{{ issue.summary[1:9] }}{{ issue.body | truncate(30) }}",
        "{% for c in event.changes %}{{ c.name | bold }}: {{ c.to.text | lines | first | link(issue.summary) }}{% endfor %}{{ event.issue }}",
        "{% set x %}{{ comment.body }}{% endset %}{{ x ~ issue.status.name ~ (issue.summary | reverse) }}{{ [x, issue.summary] }}",
    ];
    let events = forged(&String::from_utf8_lossy(text));
    let source = SHOWING[usize::try_from(choice).unwrap_or(usize::MAX) % SHOWING.len()];
    let blocks = json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "{{ issue.summary }} {{ comment.body }}" } }]);
    let send = SendSettings { template: Some(source.to_owned()), blocks: Some(blocks), ..blank() };
    for message in rehearsed("true", send, &events)?.into_iter().flat_map(|event| event.deliveries).filter_map(|delivery| delivery.message)
    {
        is_dead(&message.text)?;
        let mut texts = message.blocks.iter().filter_map(|blocks| blocks.pointer("/0/text/text")?.as_str());
        texts.try_for_each(is_dead)?;
    }
    Ok(())
}

/// Its author may ping whom he likes: it ends, and is bounded.
pub fn template(source: &[u8], _: u64) -> Result<(), String> {
    let send = SendSettings { template: Some(String::from_utf8_lossy(source).into_owned()), ..blank() };
    bounded(rehearsed("true", send, &FORGED))
}

pub fn blocks(json: &[u8], _: u64) -> Result<(), String> {
    bounded(rehearsed("true", SendSettings { blocks: Some(Value::String(String::from_utf8_lossy(json).into_owned())), ..blank() }, &FORGED))
}

pub fn rule(when: &[u8], _: u64) -> Result<(), String> {
    bounded(rehearsed(&String::from_utf8_lossy(when), SendSettings { template: Some("x".to_owned()), ..blank() }, &FORGED))
}

/// Neither compiling nor evaluating may exhaust the stack of a thread, which would end the process.
#[test]
fn rules_as_deep_as_the_limits_admit_end_like_others() {
    for (start, piece, end) in [
        ("", "!", "true"),
        ("1 == ", "-", "1"),
        ("true", " && true", ""),
        ("false", " || false", ""),
        ("1", "+1", " > 0"),
        ("issue", ".key", " == null"),
        ("issue.labels", "[0]", " == null"),
        ("", "true ? true : ", "true"),
        ("issue.labels", ".map(x,x)", ".size() >= 0"),
        ("\"\"", "+\"a\"", " == \"\""),
        ("1", " in [1]", ""),
        ("size(", "[1]+", "[1]) > 0"),
    ] {
        let source = move |times: usize| format!("{start}{}{end}", piece.repeat(times));
        for times in [90, 400, (4_000 - start.len() - end.len()) / piece.len()] {
            // Half of what a thread of the runtime has: some is used already where a rule is evaluated.
            let tried = || std::thread::Builder::new().stack_size(1 << 20).spawn(move || rule(source(times).as_bytes(), 0));
            let ended = tried().expect("a thread").join().expect("no panic");
            ended.unwrap_or_else(|why| panic!("{start}{piece}...{end} {times} times: {why}"));
        }
    }
}

/// What is refused at load is well.
fn bounded(rehearsed: Result<Vec<Rehearsed>, String>) -> Result<(), String> {
    let mut messages = match rehearsed {
        Err(refused) if refused.contains("panicked") => return Err(refused),
        Err(_) => return Ok(()),
        Ok(events) => events.into_iter().flat_map(|event| event.deliveries).filter_map(|delivery| delivery.message),
    };
    messages.try_for_each(|message| promise(message.text.len() <= MAX_BYTES, "a message is too long"))
}

fn is_dead(text: &str) -> Result<(), String> {
    live(text).map_or(Ok(()), |living| Err(format!("this is alive: {living:?}")))
}

fn blank() -> SendSettings {
    SendSettings { channel: Some("#team".to_owned()), ..SendSettings::to(name()) }
}

fn name() -> SinkName {
    "team".parse().expect("a name")
}

fn rehearsed(when: &str, send: SendSettings, events: &[Event]) -> Result<Vec<Rehearsed>, String> {
    let settings = RuleSettings::new(when, vec![send]);
    let traits = |_: &SinkName| Some(SinkTraits { dialect: Some(Dialect::SlackMrkdwn), target: None, has_threads: true, is_cleared: true });
    let rules = Rules::compile(&[("fuzz".to_owned(), settings)], &traits, &NAMES);
    let rules =
        rules.map_err(|errors| errors.iter().map(|error| format!("{}; {}", error.message, error.hint)).collect::<Vec<_>>().join("\n"))?;
    let (sink, clearance) = (Arc::new(Understudy(name())), Clearance::everything());
    let recorded: Vec<Recorded> = events.iter().cloned().map(Recorded::from).collect();
    Ok(rehearse(&[Route { sink, clearance, enrich: false, rules: Arc::new(rules), names: Arc::clone(&NAMES) }], &recorded))
}

/// An issue that was changed and commented on, with this text wherever there is text.
fn forged(text: &str) -> Vec<Event> {
    let person = json!({ "accountId": text, "displayName": text, "emailAddress": text });
    let body = json!({ "timestamp": 1_765_441_200_000_i64, "webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_updated", "user": person,
        "issue": { "id": "10001", "key": "DOCS-1", "self": format!("https://acme.atlassian.net/{text}"), "fields": {
            "summary": text, "description": text, "labels": [text, "a"], "assignee": person, "environment": text, "customfield_10001": text,
            "status": { "id": "1", "name": text }, "issuetype": { "id": "2", "name": text }, "priority": { "id": "3", "name": text },
            "project": { "id": "4", "key": "DOCS", "name": text } } },
        "changelog": { "id": "7", "items": [{ "field": "status", "fieldId": "status", "from": "1", "fromString": text, "to": "2", "toString": text },
            { "field": text, "from": null, "fromString": text, "to": null, "toString": text }] },
        "comment": { "id": "8", "author": person, "body": text, "created": "2025-12-11T08:20:00.000+0000", "updated": "2025-12-11T08:20:00.000+0000" } });
    events_of(body.to_string().as_bytes())
}

/// Stands in for a sink and takes nothing.
struct Understudy(SinkName);

#[async_trait]
impl Sink for Understudy {
    fn name(&self) -> &SinkName {
        &self.0
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 1, for_people: true }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        batch.iter().map(|_| Err(SinkError::Failed { reason: "nothing is sent here".into() })).collect()
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
