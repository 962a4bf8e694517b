//! One sink as delivery sees it, and what it decides for an event before anything is fetched or sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::context::{self, Known};
use super::fields;
use super::jql::Evaluation;
use super::names::Names;
use super::rules::{Answer, MessageTemplates, Rule, Rules, Send};
use super::work::Work;
use crate::jira::Jira;
use crate::setting::{ConnectionName, SinkName};
use crate::sink::{Clearance, Sink};

/// The Jira of each connection that has a credential.
pub type Jiras = BTreeMap<ConnectionName, Arc<Jira>>;

/// A sink, its clearance and its rules.
pub struct Route {
    pub sink: Arc<dyn Sink>,
    pub clearance: Clearance,
    /// Writes events with their issues made whole.
    pub enrich: bool,
    pub rules: Arc<Rules>,
    pub names: Arc<Names>,
}

/// What one rule (or none, for a sink that gets everything) says about an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) target: Arc<str>,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Send,
    Filtered(String),
    /// The reduced issue of the webhook does not say, or Jira must answer a JQL: it must be asked first.
    Needs,
}

impl Route {
    pub(crate) fn name(&self) -> &SinkName {
        self.sink.name()
    }

    /// It records what it would send, and sends nothing.
    pub(crate) fn is_shadow(&self) -> bool {
        self.sink.is_shadow()
    }

    /// Whether a rule or message for the sink calls a field by its name.
    pub(crate) fn names_fields(&self) -> bool {
        let named = |(rule, send): (&Rule, &Send)| {
            let message = send.message.as_ref().map(MessageTemplates::references).unwrap_or_default();
            fields::are_named(rule.when.references().iter().chain(message))
        };
        self.sink.traits().for_people && self.rules.of_sink(self.name()).any(named)
    }

    /// A sink that writes events decides on the event as it came; only messages are worth a read.
    fn unread(&self, known: &Known<'_>) -> Unread {
        match &known.event.data.issue {
            Some(issue) if self.sink.traits().for_people && issue.partial => Unread::Issue,
            Some(_) if self.sink.traits().for_people && known.now.is_none() => Unread::Now,
            _ => Unread::Nothing,
        }
    }

    /// Whether a message that was decided on before shows what its event does not carry.
    pub(crate) fn shows_unread(&self, known: &Known<'_>, rule: Option<&Arc<str>>, target: &str) -> bool {
        let unread = self.unread(known);
        let Some((_, send)) = rule.and_then(|rule| self.rules.find(rule, self.name(), target)) else { return false };
        let context = || context::without_unknown(context::of_event(known, &self.names), unread == Unread::Issue);
        unread != Unread::Nothing && shows_unknown(send, &context())
    }

    /// Why a delivery that was decided on before cannot be made by the rules of today; waiting does not help.
    pub(crate) fn lacks_rule(&self, work: &Work) -> Option<&'static str> {
        let rule = work.rule.as_ref()?;
        if self.rules.find(rule, self.name(), &work.key.target).is_some() {
            return None;
        }
        let is_there = self.rules.of_sink(self.name()).any(|(known, _)| known.name == *rule);
        Some(if is_there { "its rule sends to another target now" } else { "its rule is no longer in the configuration" })
    }

    /// Decides for every rule that names the sink. `whole`: nothing more will be learnt about the event, so every rule must be decided now,
    /// but those whose JQL was not asked.
    pub(crate) fn decide(&self, known: &Known<'_>, whole: bool) -> Vec<Decision> {
        let event = known.event;
        let everything = || -> Arc<str> { self.name().as_str().into() };
        if let Err(why) = self.sink.takes(event) {
            return vec![Decision { rule: None, target: everything(), verdict: Verdict::Filtered(why.to_owned()) }];
        }
        let mut rules = self.rules.of_sink(self.name()).peekable();
        if rules.peek().is_none() {
            let verdict = if self.sink.traits().for_people { Verdict::Filtered("no rule names this sink".into()) } else { Verdict::Send };
            return vec![Decision { rule: None, target: everything(), verdict }];
        }
        let unknown = self.unread(known);
        let unread = if whole { Unread::Nothing } else { unknown };
        let full = context::of_event(known, &self.names);
        let asked = if unread == Unread::Nothing { full } else { context::without_unknown(full, unread == Unread::Issue) };
        let (mut decisions, mut missed): (Vec<Decision>, Vec<(Miss, Decision)>) = (Vec::new(), Vec::new());
        for (rule, send) in rules {
            let taken = decisions.iter().find(|earlier| earlier.target == send.target && earlier.verdict == Verdict::Send);
            let taken = taken.and_then(|earlier| earlier.rule.clone());
            let decided = |verdict| Decision { rule: Some(rule.name.clone()), target: send.target.clone(), verdict };
            match verdict(rule, send, (known, &asked), unread, taken.as_deref()) {
                Ok(verdict) => decisions.push(decided(verdict)),
                // What the webhook did not carry is no error of the rule.
                Err(missing) if missing.miss == Miss::Told && asks(rule, unknown) => {
                    missed.push((Miss::ToldAlone, decided(Verdict::Filtered(missing.why))));
                }
                Err(missing) => missed.push((missing.miss, decided(Verdict::Filtered(missing.why)))),
            }
        }
        if !decisions.is_empty() {
            decisions.extend(missed.into_iter().filter(|(miss, _)| *miss == Miss::Told).map(|(_, decision)| decision));
            return decisions;
        }
        // Many quiet misses are one line.
        let told = missed.iter().any(|(miss, _)| *miss != Miss::Quiet);
        let missed: Vec<Decision> =
            missed.into_iter().filter(|(miss, _)| !told || *miss != Miss::Quiet).map(|(_, decision)| decision).collect();
        if told || missed.len() == 1 {
            return missed;
        }
        vec![Decision { rule: None, target: everything(), verdict: Verdict::Filtered("no rule matches".into()) }]
    }
}

/// What of the issue a rule could ask for is not there yet, and could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    Nothing,
    /// The issue is whole, but nobody has looked at it as it is now.
    Now,
    /// The webhook carried a reduced issue.
    Issue,
}

/// The rule does not want it.
struct Missing {
    why: String,
    miss: Miss,
}

/// Whether `trace` names the rule that does not want an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// Only where no other miss is told.
    Quiet,
    /// Where no rule takes the event.
    ToldAlone,
    /// Whatever the other rules say.
    Told,
}

fn verdict(
    rule: &Rule,
    send: &Send,
    (known, context): (&Known<'_>, &Value),
    unread: Unread,
    taken: Option<&str>,
) -> Result<Verdict, Missing> {
    if !rule.is_enabled() {
        return Err(Missing { why: format!("rule `{}` is muted", rule.name), miss: Miss::ToldAlone });
    }
    match rule.when.evaluate(context) {
        Answer::Yes if taken.is_some() => Ok(Verdict::Filtered(format!("same target as rule {}", taken.unwrap_or_default()))),
        Answer::Yes => match rule.jql.as_ref().map_or(Evaluation::Yes, |jql| jql.evaluate(&rule.name, known)) {
            Evaluation::Unasked => Ok(Verdict::Needs),
            Evaluation::No(why) => Err(Missing { why, miss: Miss::Told }),
            Evaluation::Never(why) => Err(Missing { why, miss: Miss::ToldAlone }),
            Evaluation::Yes if unread != Unread::Nothing && shows_unknown(send, context) => Ok(Verdict::Needs),
            Evaluation::Yes => {
                match send.whom.filter(|path| path.iter().try_fold(context, |place, name| place.get(name)).is_none_or(Value::is_null)) {
                    Some(path) => Ok(Verdict::Filtered(format!("there is no {} to write to", path.last().unwrap_or(&"person")))),
                    None => Ok(Verdict::Send),
                }
            }
        },
        Answer::No => Err(Missing { why: format!("rule `{}` does not match", rule.name), miss: Miss::Quiet }),
        Answer::Absent(_) | Answer::Error(_) if asks(rule, unread) => Ok(Verdict::Needs),
        // What did not change is no error.
        Answer::Absent(path) => {
            let miss = if path.starts_with("change.") { Miss::Quiet } else { Miss::Told };
            Err(Missing { why: format!("rule `{}` does not match: the event has no `{path}`", rule.name), miss })
        }
        Answer::Error(why) => Err(Missing { why: format!("rule `{}` does not match: {why}", rule.name), miss: Miss::Told }),
    }
}

/// Whether its condition names something that is not there yet.
fn asks(rule: &Rule, unread: Unread) -> bool {
    let mut references = rule.when.references().iter();
    match unread {
        Unread::Nothing => false,
        Unread::Now => references.any(|path| is_of_now(path)) || fields::are_named(rule.when.references().iter()),
        Unread::Issue => references.any(|path| is_of_issue(path)),
    }
}

fn is_of_now(path: &[String]) -> bool {
    path.first().is_some_and(|root| root == "now")
}

fn is_of_issue(path: &[String]) -> bool {
    let first = path.first().map(String::as_str);
    let second = path.get(1).map(String::as_str);
    matches!(first, Some("issue" | "now" | "project" | "field")) || (first == Some("event") && matches!(second, Some("issue" | "project")))
}

/// Whether a message shows a member of the issue that the webhook did not carry.
fn shows_unknown(send: &Send, context: &Value) -> bool {
    let Some(message) = &send.message else { return false };
    let whom = send.whom.map(|path| path.iter().map(ToString::to_string).collect::<Vec<String>>());
    message.references().iter().chain(&whom).filter(|path| is_of_issue(path)).any(|path| {
        let (mut place, mut missing) = (context, false);
        // The first two members decide: below them null is an answer.
        for name in path.iter().take(if path.first().map(String::as_str) == Some("event") { 3 } else { 2 }) {
            match place.get(name) {
                Some(value) => place = value,
                None => missing = true,
            }
        }
        missing
    })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::deliver::jql;
    use crate::deliver::{RuleSettings, SendSettings, SinkTraits};
    use crate::event::{Event, EventId, Issue, Kind, PartitionKey};
    use crate::render::Dialect;
    use crate::sink::{Enriched, Receipt, SinkError, Traits};

    struct Quiet {
        name: SinkName,
        for_people: bool,
    }

    #[async_trait]
    impl Sink for Quiet {
        fn name(&self) -> &SinkName {
            &self.name
        }

        fn traits(&self) -> Traits {
            Traits { repeatable: true, records_itself: false, batch: 1, for_people: self.for_people }
        }

        fn takes(&self, event: &Event) -> Result<(), &'static str> {
            if event.kind() == Kind::IssueDeleted { Err("no place for it") } else { Ok(()) }
        }

        async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
            batch.iter().map(|_| Ok(Receipt::default())).collect()
        }

        async fn check(&self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    /// Rules as (name, when, channel, template, enabled).
    fn route(for_people: bool, rules: &[(&str, &str, &str, &str, bool)]) -> Route {
        let names = Names::of_events();
        let name: SinkName = "team".parse().expect("a name");
        let rule = |&(rule, when, channel, template, enabled): &(&str, &str, &str, &str, bool)| {
            let (channel, template) = (Some(channel.to_owned()), Some(template.to_owned()));
            let send = SendSettings { channel, template, ..SendSettings::to(name.clone()) };
            (rule.to_owned(), RuleSettings { enabled, ..RuleSettings::new(when, vec![send]) })
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        let traits =
            |_: &SinkName| Some(SinkTraits { dialect: Some(Dialect::SlackMrkdwn), target: None, has_threads: true, is_cleared: false });
        let rules = Rules::compile(&rules, &traits, &names).expect("they compile");
        Route {
            sink: Arc::new(Quiet { name, for_people }),
            clearance: Clearance::nothing(),
            enrich: false,
            rules: Arc::new(rules),
            names: Arc::new(names),
        }
    }

    /// A whole or a reduced issue of the project OPS.
    fn event(partial: bool) -> Event {
        let mut event = crate::sink::sample::enriched(1).envelope.event.clone();
        let mut issue = Issue::only_id("7");
        issue.partial = partial;
        issue.key = Some("OPS-7".into());
        issue.summary = (!partial).then(|| "Explain it".into());
        event.id = EventId::new(&event.connection, &["issue", "7", "change", "1"]);
        event.partition_key = PartitionKey::issue(&event.connection, "7");
        (event.data.kind, event.data.issue) = (Kind::IssueUpdated, Some(Box::new(issue)));
        event
    }

    fn told(route: &Route, event: &Event, whole: bool) -> Vec<String> {
        let line = |decision: Decision| {
            let verdict = match decision.verdict {
                Verdict::Send => "send".to_owned(),
                Verdict::Needs => "needs the issue".to_owned(),
                Verdict::Filtered(why) => format!("filtered: {why}"),
            };
            format!("{} -> {}: {verdict}", decision.rule.as_deref().unwrap_or("-"), decision.target)
        };
        route.decide(&Known::of(event), whole).into_iter().map(line).collect()
    }

    #[test]
    fn without_a_rule_people_get_nothing_and_programs_everything() {
        assert_eq!(told(&route(false, &[]), &event(true), false), ["- -> team: send"]);
        assert_eq!(told(&route(true, &[]), &event(true), false), ["- -> team: filtered: no rule names this sink"]);
        let mut gone = event(false);
        gone.data.kind = Kind::IssueDeleted;
        assert_eq!(told(&route(false, &[]), &gone, false), ["- -> team: filtered: no place for it"]);
    }

    #[test]
    fn the_first_rule_wins_a_target() {
        let rules = [("one", "true", "#a", "x", true), ("two", "true", "#a", "y", true), ("three", "true", "#b", "z", true)];
        let expected = ["one -> #a: send", "two -> #a: filtered: same target as rule one", "three -> #b: send"];
        assert_eq!(told(&route(true, &rules), &event(false), false), expected);
    }

    #[test]
    fn a_muted_rule_sends_nothing_and_still_narrows() {
        assert_eq!(
            told(&route(true, &[("one", "true", "#a", "x", false)]), &event(false), false),
            ["one -> #a: filtered: rule `one` is muted"]
        );
        let rules = [("one", "true", "#a", "x", false), ("two", "true", "#a", "y", true)];
        assert_eq!(told(&route(true, &rules), &event(false), false), ["two -> #a: send"]);
    }

    #[test]
    fn a_jql_is_asked_for_where_the_condition_holds_and_is_always_told() {
        let asking = |rule: &'static str, when: &'static str, channel: &str, jql: Option<&str>| {
            let (channel, template) = (Some(channel.to_owned()), Some("x".to_owned()));
            let send = SendSettings { channel, template, ..SendSettings::to("team".parse().expect("a name")) };
            (rule.to_owned(), RuleSettings { jql: jql.map(str::to_owned), ..RuleSettings::new(when, vec![send]) })
        };
        let rules = [
            asking("one", "issue.key == \"OPS-7\"", "#a", Some("priority = High")),
            asking("two", "issue.key == \"OPS-8\"", "#a", Some("priority = High")),
            asking("three", "true", "#a", None),
        ];
        let traits =
            |_: &SinkName| Some(SinkTraits { dialect: Some(Dialect::SlackMrkdwn), target: None, has_threads: true, is_cleared: false });
        let rules = Rules::compile(&rules, &traits, &Names::of_events()).expect("they compile");
        let route = Route { rules: Arc::new(rules), ..route(true, &[]) };
        let event = event(false);
        let told = |answer: Option<jql::Answer>| {
            let answers = answer.map(|answer| jql::Answers::from([("one".into(), answer)]));
            let decisions = route.decide(&Known { jql: answers.as_ref(), ..Known::of(&event) }, true);
            decisions.into_iter().map(|decision| (decision.rule.unwrap_or_default().to_string(), decision.verdict)).collect::<Vec<_>>()
        };
        let (one, three) = ("one".to_owned(), ("three".to_owned(), Verdict::Send));
        let filtered = |why: &str| Verdict::Filtered(why.to_owned());
        assert_eq!(told(None), [(one.clone(), Verdict::Needs), three.clone()]);
        assert_eq!(told(Some(jql::Answer::Yes)), [(one.clone(), Verdict::Send), ("three".to_owned(), filtered("same target as rule one"))]);
        assert_eq!(told(Some(jql::Answer::No)), [three.clone(), (one.clone(), filtered("the JQL of rule `one` does not match"))]);
        assert_eq!(
            told(Some(jql::Answer::Refused("no such field".into()))),
            [three, (one, filtered("the JQL of rule `one` does not match: no such field"))]
        );
    }

    #[test]
    fn what_a_reduced_issue_does_not_say_must_be_read_first() {
        let by_summary = [("one", "issue.summary.contains(\"Explain\")", "#a", "x", true)];
        let by_key = [("one", "issue.key == \"OPS-7\"", "#a", "{{ issue.key }}", true)];
        let shows = [("one", "issue.key == \"OPS-7\"", "#a", "{{ issue.summary }}", true)];
        assert_eq!(told(&route(true, &by_summary), &event(true), false), ["one -> #a: needs the issue"]);
        assert_eq!(told(&route(true, &by_summary), &event(false), false), ["one -> #a: send"]);
        assert_eq!(told(&route(true, &by_key), &event(true), false), ["one -> #a: send"]);
        assert_eq!(told(&route(true, &shows), &event(true), false), ["one -> #a: needs the issue"]);
        let blind = told(&route(true, &by_summary), &event(true), true);
        assert!(blind.len() == 1 && blind[0].starts_with("one -> #a: filtered: rule `one` does not match: "), "{blind:?}");
        assert!(told(&route(false, &by_summary), &event(true), false)[0].contains("does not match"), "programs take it as it came");
    }

    #[test]
    fn a_message_for_a_person_needs_one() {
        let rules = [("one", "true", "@assignee", "x", true), ("two", "true", "#a", "{{ field('Story Points') }}", true)];
        let route = route(true, &rules);
        let nobody = ["one -> @assignee: filtered: there is no assignee to write to", "two -> #a: send"];
        assert_eq!(told(&route, &event(false), true), nobody);
        assert_eq!(told(&route, &event(true), false), ["one -> @assignee: needs the issue", "two -> #a: needs the issue"]);
        assert!(route.names_fields());
    }

    #[test]
    fn an_error_does_not_match() {
        let told = told(&route(true, &[("one", "int(issue.summary) > 3", "#a", "x", true)]), &event(false), false);
        assert!(told.len() == 1 && told[0].starts_with("one -> #a: filtered: rule `one` does not match: "), "{told:?}");
    }

    #[test]
    fn what_did_not_change_is_no_error() {
        let (one, two) = (("one", "change.status.to == \"Done\"", "#a", "x", true), ("two", "true", "#b", "y", true));
        let alone = ["one -> #a: filtered: rule `one` does not match: the event has no `change.status`"];
        assert_eq!(told(&route(true, &[one]), &event(false), true), alone);
        assert_eq!(told(&route(true, &[one, two]), &event(false), true), ["two -> #b: send"]);
    }

    #[test]
    fn an_error_is_told_whatever_the_other_rules_say() {
        let rules = [("one", "int(issue.summary) > 3", "#a", "x", true), ("two", "true", "#b", "y", true)];
        let told = told(&route(true, &rules), &event(false), false);
        assert!(told.len() == 2 && told[0] == "two -> #b: send", "{told:?}");
        assert!(told[1].starts_with("one -> #a: filtered: rule `one` does not match: "), "{told:?}");
    }

    #[test]
    fn what_the_webhook_did_not_carry_is_no_error_of_a_rule() {
        let rules = [("one", "issue.summary.contains(\"Explain\")", "#a", "x", true), ("two", "true", "#b", "y", true)];
        assert_eq!(told(&route(true, &rules), &event(true), true), ["two -> #b: send"]);
    }
}
