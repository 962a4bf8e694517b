//! What rules would make of recorded events: decided, guarded as far as the events themselves tell, folded and composed, and nothing sent.
//!
//! It asks nobody: where the service would read the issue from Jira first, the answer says so and shows what the event carries. It says what
//! a message would look up, too, and takes for the answer what was recorded with the event. The same input gives the same answer, so
//! that a team can keep it beside its rules.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::context::{self, Known};
use super::enrich;
use super::extras::{Extras, ExtrasRequest};
use super::fold::{self, Candidate};
use super::guard::{self, Facts, Ruling};
use super::route::{Decision, Route, Verdict};
use super::rules::Send;
use crate::event::{Event, EventId, Kind, Restricted};
use crate::setting::SinkName;

/// An event, and what Jira shall have answered about it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub event: Event,
    extras: Extras,
}

impl From<Event> for Recorded {
    fn from(event: Event) -> Self {
        Self { event, extras: Extras::default() }
    }
}

impl Recorded {
    /// `written`: the line that the event was read from, with `lookup`, `watchers` or `parent` beside it.
    pub fn new(event: Event, written: &Value) -> Self {
        let member = |name: &str| written.get(name).cloned().unwrap_or_default();
        let lookup = member("lookup").as_object().cloned().unwrap_or_default();
        Self { event, extras: Extras { lookup, watchers: member("watchers"), parent: member("parent") } }
    }
}

/// An event and what would become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    pub event_id: EventId,
    pub kind: Kind,
    pub subject: String,
    pub deliveries: Vec<RehearsedDelivery>,
}

/// `outcome` is `sent`, `folded`, `filtered`, `withheld` or `dead`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RehearsedDelivery {
    pub sink: SinkName,
    pub target: String,
    pub rule: Option<String>,
    pub outcome: String,
    pub reason: Option<String>,
    /// What would be asked of Jira for the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
    /// What a sink for people would get.
    pub message: Option<RehearsedMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RehearsedMessage {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// In the order of the events; the routes one after another for each.
pub fn rehearse(routes: &[Route], recorded: &[Recorded]) -> Vec<Rehearsed> {
    let blank = |event: &Event| Rehearsed {
        event_id: event.id.clone(),
        kind: event.kind(),
        subject: event.subject.clone(),
        deliveries: Vec::new(),
    };
    let mut all: Vec<Rehearsed> = recorded.iter().map(|recorded| blank(&recorded.event)).collect();
    for route in routes {
        for (number, delivery) in at(route, recorded) {
            if let Some(rehearsed) = all.get_mut(number) {
                rehearsed.deliveries.push(delivery);
            }
        }
    }
    all
}

/// A delivery that would be made, with what the guard would still ask.
struct Passed<'a> {
    number: usize,
    /// Its place among the answers.
    place: usize,
    event: &'a Event,
    extras: &'a Extras,
    decision: Decision,
}

fn at(route: &Route, recorded: &[Recorded]) -> Vec<(usize, RehearsedDelivery)> {
    let mut answers = Vec::new();
    let mut passed: Vec<Passed<'_>> = Vec::new();
    for (number, Recorded { event, extras }) in recorded.iter().enumerate() {
        for decision in route.decide(&known(event), true) {
            let (outcome, reason) = match &decision.verdict {
                Verdict::Filtered(why) => ("filtered", Some(why.clone())),
                Verdict::Send => guarded(route, event, &decision),
                Verdict::Needs => if_matched(guarded(route, event, &decision), &decision),
            };
            if outcome == "sent" {
                passed.push(Passed { number, place: answers.len(), event, extras, decision: decision.clone() });
            }
            answers.push((number, answer(route, &decision, outcome, reason)));
        }
    }
    let send =
        |passed: &Passed<'_>| passed.decision.rule.as_ref().and_then(|rule| route.rules.find(rule, route.name(), &passed.decision.target));
    let candidates: Vec<Candidate<'_>> = passed
        .iter()
        .map(|passed| Candidate {
            event: passed.event,
            rule: passed.decision.rule.as_ref(),
            target: &passed.decision.target,
            settle: send(passed).map_or(Duration::ZERO, |(_, send)| send.settle),
            is_in_doubt: false,
        })
        .collect();
    for group in fold::groups(&candidates) {
        let members: Vec<&Passed<'_>> = group.iter().filter_map(|number| passed.get(*number)).collect();
        let Some(first) = members.first() else { continue };
        for other in members.iter().skip(1) {
            let folded = answer(route, &other.decision, "folded", Some(format!("folded into {}", first.event.id)));
            answers[other.place] = (other.number, folded);
        }
        if let Some((_, send)) = send(first) {
            composed(route, send, &members, &mut answers[first.place].1);
        }
    }
    answers
}

/// As if Jira showed the issue just so.
fn known(event: &Event) -> Known<'_> {
    Known { now: event.data.issue.as_deref().filter(|issue| !issue.partial), ..Known::of(event) }
}

fn guarded(route: &Route, event: &Event, decision: &Decision) -> (&'static str, Option<String>) {
    let rule = decision.rule.as_ref().and_then(|rule| route.rules.find(rule, route.name(), &decision.target)).map(|(rule, _)| rule);
    let facts = Facts { event, sights: None, last_level: None, internal: None, talk: None, privacy: None, rule };
    let asks = match event.restricted() {
        Restricted::Unknown => true,
        Restricted::No => enrich::is_reduced(event) || guard::needs_privacy(event, &route.clearance),
        Restricted::Yes => false,
    };
    match guard::rule_on(&facts, &route.clearance) {
        Ruling::Pass => ("sent", None),
        _ if asks => ("sent", Some("if Jira says that it is not restricted".into())),
        Ruling::Withhold(_, why) | Ruling::Wait(_, why) => ("withheld", Some(why)),
    }
}

/// Of a rule whose JQL Jira would have to answer.
fn if_matched((outcome, reason): (&'static str, Option<String>), decision: &Decision) -> (&'static str, Option<String>) {
    if outcome != "sent" {
        return (outcome, reason);
    }
    let matches = format!("that the JQL of rule `{}` matches", decision.rule.as_deref().unwrap_or_default());
    let reason = reason.map_or_else(|| format!("if Jira says {matches}"), |why| format!("{why}, and {matches}"));
    (outcome, Some(reason))
}

fn answer(route: &Route, decision: &Decision, outcome: &str, reason: Option<String>) -> RehearsedDelivery {
    RehearsedDelivery {
        sink: route.name().clone(),
        target: decision.target.to_string(),
        rule: decision.rule.as_deref().map(str::to_owned),
        outcome: outcome.to_owned(),
        reason,
        asks: Vec::new(),
        message: None,
    }
}

fn composed(route: &Route, send: &Send, members: &[&Passed<'_>], answer: &mut RehearsedDelivery) {
    let Some(templates) = &send.message else { return };
    let stripped: Vec<Arc<Event>> = members
        .iter()
        .map(|member| Arc::new(guard::stripped(member.event, &route.clearance).unwrap_or_else(|| member.event.clone())))
        .collect();
    let events: Vec<&Event> = stripped.iter().map(|event| &**event).collect();
    let ordered = fold::in_order(&events);
    let (Some(sum), false) = (fold::merged(&events), events.is_empty()) else { return };
    let single = events.len() == 1;
    let event = if single { events[0] } else { &sum };
    let shown = Known { folded: if single { &[] } else { &ordered }, ..known(event) };
    let context = context::of_event(&shown, &route.names);
    let request = templates.extras().request(&event.connection, Instant::now(), &context, event.data.issue.as_deref());
    answer.asks = request.as_ref().map(ExtrasRequest::describe).unwrap_or_default();
    let extras = members.last().map(|member| member.extras);
    match templates.render(&context::of_event(&Known { extras, ..shown }, &route.names)) {
        Ok(message) => {
            let crate::sink::Message { text, blocks, attachments, username, icon_url, thread: _ } = message;
            answer.message = Some(RehearsedMessage { text, blocks, attachments, username, icon_url });
        }
        Err(err) => (answer.outcome, answer.reason) = ("dead".into(), Some(format!("the message cannot be composed: {err}"))),
    }
}
