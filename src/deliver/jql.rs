//! `jql` of a rule: checked when it is loaded, and answered by Jira for just the issue of an event whose `when` holds.
//!
//! Nobody can compute afterwards what Jira said then, so what it filtered is written down for `trace`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::Known;
use super::enrich::{self, Item};
use super::route::{Decision, Jiras, Route, Verdict};
use super::rules::{Rule, Wrong};
use super::worker::LaneWorker;
use crate::clock::Clock;
use crate::event::Kind;
use crate::jira::{JiraError, Match};
use crate::setting::ConnectionName;
use crate::store::{DeliveryKey, Ended, JournalRow, Progress, Write};
use crate::telemetry::Span;

/// Longer queries are better kept in Jira, as filters.
const LENGTH_MAX: usize = 4 * 1024;
const NO_AUTH: &str = "Jira cannot be asked: the connection has no `auth`";

/// As it is written, and checked.
#[derive(Debug)]
pub(crate) struct Jql {
    text: Arc<str>,
    /// Whether a warning was given that Jira does not take it.
    is_warned: AtomicBool,
}

/// What Jira said of an event's issue, by rule.
pub(crate) type Answers = BTreeMap<Arc<str>, Answer>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// It does not take the query, and why.
    Refused(String),
}

/// Whether a rule's JQL holds for an event, and why not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Evaluation {
    Yes,
    /// By what Jira said.
    No(String),
    /// There is no issue to ask for.
    Never(String),
    /// Jira must be asked.
    Unasked,
}

impl Jql {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// `rule`: the name of its rule.
    pub(crate) fn evaluate(&self, rule: &str, known: &Known<'_>) -> Evaluation {
        if known.event.kind() == Kind::IssueDeleted {
            return Evaluation::Never(format!("rule `{rule}` has a JQL, and the issue is deleted"));
        }
        if known.event.issue_id().is_none() {
            return Evaluation::Never(format!("rule `{rule}` has a JQL, and the event names no issue"));
        }
        match known.jql.and_then(|answers| answers.get(rule)) {
            None => Evaluation::Unasked,
            Some(Answer::Yes) => Evaluation::Yes,
            Some(Answer::No) => Evaluation::No(format!("the JQL of rule `{rule}` does not match")),
            Some(Answer::Refused(why)) => Evaluation::No(format!("the JQL of rule `{rule}` does not match: {why}")),
        }
    }

    fn warn_once(&self, rule: &str, why: &str) {
        if !self.is_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(rule, "the JQL of rule `{rule}` matches nothing: {why}");
        }
    }
}

/// Jira alone knows whether it is good; here only what would change the meaning of the question that it is put into.
pub(crate) fn compile(text: &str) -> Result<Jql, Wrong> {
    let wrong = |message: &str, hint: &str| Err((message.to_owned(), hint.to_owned()));
    if text.trim().is_empty() {
        return wrong("`jql` is empty", "write it as in Jira's search, or remove it");
    }
    if text.len() > LENGTH_MAX {
        return Err((
            format!("`jql` is longer than {LENGTH_MAX} bytes"),
            "save it in Jira as a filter and write `filter = \"its name\"`".to_owned(),
        ));
    }
    let Some(bare) = without_quoted(text) else {
        return wrong("a quotation mark in `jql` is not closed", "close it, and write `\\\"` for one inside quotation marks");
    };
    if bare.contains('\\') {
        return wrong("`jql` has a `\\` outside quotation marks", "put the whole value into quotation marks");
    }
    if !is_balanced(&bare) {
        return wrong("the brackets in `jql` do not match", "close each that is opened, and no other");
    }
    if is_ordered(&bare) {
        return wrong("`jql` has an ORDER BY", "remove it: one issue is asked for, and has no order");
    }
    Ok(Jql { text: text.into(), is_warned: AtomicBool::new(false) })
}

/// What stands in quotation marks becomes a blank. None: one is not closed.
fn without_quoted(text: &str) -> Option<String> {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        if !matches!(first, '"' | '\'') {
            bare.push(first);
            continue;
        }
        loop {
            match rest.next()? {
                '\\' => {
                    rest.next()?;
                }
                last if last == first => break,
                _ => {}
            }
        }
        bare.push(' ');
    }
    Some(bare)
}

fn is_balanced(bare: &str) -> bool {
    let mut depth = 0_usize;
    for sign in bare.chars() {
        match sign {
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

fn is_ordered(bare: &str) -> bool {
    let words: Vec<&str> = bare.split(|sign: char| !sign.is_alphanumeric() && sign != '_').filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| matches!(pair, [order, by] if order.eq_ignore_ascii_case("order") && by.eq_ignore_ascii_case("by")))
}

/// What is asked for one rule of one item.
struct Question {
    item: usize,
    rule: Arc<str>,
    wanted: Match,
}

/// Asks for all that rules wait for, together for each connection, and decides anew.
pub(crate) async fn ask(items: &mut [Item], route: &Route, jiras: &Jiras, clock: &Clock) {
    let mut questions: BTreeMap<ConnectionName, Vec<Question>> = BTreeMap::new();
    for (number, item) in items.iter_mut().enumerate().filter(|(_, item)| item.needs() && item.unread().is_none()) {
        let connection = item.event().connection.clone();
        let Some(issue_id) = item.event().issue_id().map(str::to_owned) else { continue };
        let after = enrich::after(item, clock);
        let mut answers = Answers::new();
        for (rule, jql) in waiting(item, route) {
            if jiras.contains_key(&connection) {
                let wanted = Match { issue_id: issue_id.clone(), jql, after };
                questions.entry(connection.clone()).or_default().push(Question { item: number, rule, wanted });
            } else {
                answers.insert(rule, Answer::Refused(NO_AUTH.to_owned()));
            }
        }
        item.jql = Some(Ok(answers));
    }
    for (connection, questions) in questions {
        let Some(jira) = jiras.get(&connection) else { continue };
        let wants: Vec<Match> = questions.iter().map(|question| question.wanted.clone()).collect();
        // One request carries what all of them want: it shows in the trace of the first.
        let first = questions.first().and_then(|question| items.get(question.item));
        let span = first.map_or_else(Span::none, |item| item.trail.span().clone());
        let told = span.within(jira.matches(&wants)).await;
        for (question, answer) in questions.into_iter().zip(told) {
            let Some(item) = items.get_mut(question.item) else { continue };
            let answer = match answer {
                Ok(true) => Answer::Yes,
                Ok(false) => Answer::No,
                Err(JiraError::Refused { reason, .. }) => {
                    if let Some(jql) = of_rule(route, &question.rule) {
                        jql.warn_once(&question.rule, &reason);
                    }
                    Answer::Refused(reason)
                }
                Err(err) => {
                    item.jql = Some(Err(err));
                    continue;
                }
            };
            if let Some(Ok(answers)) = &mut item.jql {
                answers.insert(question.rule, answer);
            }
        }
    }
    for item in items.iter_mut().filter(|item| item.jql.as_ref().is_some_and(Result::is_ok)) {
        item.decide(route);
    }
}

/// The rules that wait for an answer about this item, each with its query.
fn waiting(item: &Item, route: &Route) -> Vec<(Arc<str>, Arc<str>)> {
    let needs =
        |name: &str| item.decisions.iter().any(|decision| decision.verdict == Verdict::Needs && decision.rule.as_deref() == Some(name));
    let of_rule = |rule: &Rule| Some((rule.name.clone(), rule.jql.as_ref()?.text.clone()));
    let mut waiting: Vec<_> =
        route.rules.of_sink(route.name()).filter(|(rule, _)| needs(&rule.name)).filter_map(|(rule, _)| of_rule(rule)).collect();
    waiting.dedup();
    waiting
}

fn of_rule<'a>(route: &'a Route, name: &str) -> Option<&'a Jql> {
    route.rules.list().iter().find(|rule| *rule.name == *name)?.jql.as_ref()
}

impl LaneWorker {
    /// Writes down what Jira's answers filtered, where nothing else is known of the delivery. `trace` does without it if the journal
    /// cannot be read now.
    pub(super) async fn note_filtered(&mut self, items: &[Item], write: &mut Write) {
        let sink = self.shared.route.name();
        let at = self.shared.clock.now();
        let mut rows: Vec<JournalRow> = Vec::new();
        for item in items {
            for decision in filtered(item) {
                let (event_id, target, generation) = (item.event().id.clone(), decision.target.clone(), item.generation());
                let key = DeliveryKey { sink: sink.clone(), event_id, target, generation };
                let Verdict::Filtered(why) = &decision.verdict else { continue };
                if !rows.iter().any(|row| row.key == key) {
                    let (rule, progress, reason) = (decision.rule.clone(), Progress::Ended(Ended::Filtered), Some(why.clone()));
                    rows.push(JournalRow { key, rule, progress, reason, at, attempts: 0, unclean_runs: 0 });
                }
            }
        }
        if rows.is_empty() {
            return;
        }
        let ids: Vec<_> = rows.iter().map(|row| &row.key.event_id).collect();
        let Ok(known) = self.shared.store.journal(sink, &ids).await else { return };
        let is_free = |row: &JournalRow| {
            let mut before = known.iter().filter(|before| before.key == row.key);
            before.all(|before| before.progress == Progress::Ended(Ended::Filtered))
        };
        rows.retain(is_free);
        write.journal.extend(rows);
    }
}

/// The decisions that rest on what Jira said of a JQL; not those whose target gets the event by another rule.
fn filtered(item: &Item) -> impl Iterator<Item = &Decision> {
    let answers = item.jql.as_ref().and_then(|asked| asked.as_ref().ok());
    let is_denied = move |decision: &Decision| {
        let answer = decision.rule.as_ref().and_then(|rule| answers?.get(rule));
        answer.is_some_and(|answer| *answer != Answer::Yes) && matches!(decision.verdict, Verdict::Filtered(_))
    };
    let is_sent =
        move |decision: &Decision| item.decisions.iter().any(|other| other.target == decision.target && other.verdict == Verdict::Send);
    item.decisions.iter().filter(move |decision| is_denied(decision) && !is_sent(decision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_question_is_refused_at_load() {
        let long = format!("summary ~ \"{}\"", "x".repeat(LENGTH_MAX));
        for (text, words) in [
            ("  ", "empty"),
            (long.as_str(), "longer"),
            ("summary ~ \"open", "not closed"),
            (r#"summary ~ "open\""#, "not closed"),
            ("status = 'On Hold", "not closed"),
            ("project = DOCS) OR (project = SECRET", "brackets"),
            ("(project = DOCS", "brackets"),
            ("project = DOCS)", "brackets"),
            (r"status = On\ Hold", "outside quotation marks"),
            (r#"summary ~ \") OR (x = \""#, "not closed"),
            ("project = DOCS ORDER BY key", "ORDER BY"),
            ("project = DOCS order\n by key", "ORDER BY"),
        ] {
            let (message, hint) = compile(text).expect_err(text);
            assert!(message.contains(words) && !hint.is_empty(), "{text}: {message}; {hint}");
        }
        for text in [
            "project = DOCS AND priority >= High",
            r#"status in ("On Hold", 'Ready to Publish') and (labels = x or not labels in (y))"#,
            r#"summary ~ "order by \") and" and assignee = currentUser()"#,
            "reorder = by",
            "project = ORDERS",
        ] {
            assert_eq!(compile(text).expect(text).text(), text);
        }
    }

    #[test]
    fn only_an_issue_that_is_there_can_be_asked_for() {
        let jql = compile("project = OPS").expect("a query");
        let mut event = crate::sink::sample::enriched(1).envelope.event.clone();
        event.data.issue = Some(Box::new(crate::event::Issue::only_id("7")));
        event.data.kind = Kind::IssueUpdated;
        assert_eq!(jql.evaluate("one", &Known::of(&event)), Evaluation::Unasked);
        for (answer, expected) in [
            (Answer::Yes, Evaluation::Yes),
            (Answer::No, Evaluation::No("the JQL of rule `one` does not match".into())),
            (Answer::Refused("no such field".into()), Evaluation::No("the JQL of rule `one` does not match: no such field".into())),
        ] {
            let answers = Answers::from([("one".into(), answer)]);
            let known = Known { jql: Some(&answers), ..Known::of(&event) };
            assert_eq!((jql.evaluate("one", &known), jql.evaluate("two", &known)), (expected, Evaluation::Unasked));
        }
        event.data.kind = Kind::IssueDeleted;
        assert_eq!(jql.evaluate("one", &Known::of(&event)), Evaluation::Never("rule `one` has a JQL, and the issue is deleted".into()));
        event.data.issue = None;
        event.data.kind = Kind::VersionCreated;
        assert_eq!(jql.evaluate("one", &Known::of(&event)), Evaluation::Never("rule `one` has a JQL, and the event names no issue".into()));
    }
}
