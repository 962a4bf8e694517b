//! Several events as one message: what one person did to one issue within a moment, told once.
//!
//! Values only: which events belong together, and what they come to. Whether they wait for each other, and what the journal says of
//! each, is the window's business.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Change, Event, Kind, PartitionKey};

/// An event on its way to a place, as far as folding goes.
pub(crate) struct Candidate<'a> {
    pub(crate) event: &'a Event,
    pub(crate) rule: Option<&'a Arc<str>>,
    pub(crate) target: &'a Arc<str>,
    /// The span within which it may be folded with others; zero: never.
    pub(crate) settle: Duration,
    /// An earlier try may have told it. Then it ends like others in doubt, and never like one that was not tried.
    pub(crate) is_in_doubt: bool,
}

/// The numbers of those that become one message, each group in the order of the candidates. An event never joins a group past one that
/// stands between: the order per issue stays.
pub(crate) fn groups(candidates: &[Candidate<'_>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let place = |group: &&mut Vec<usize>| {
            let first = group.first().and_then(|first| candidates.get(*first));
            first.is_some_and(|first| first.target == candidate.target && key(first) == key(candidate))
        };
        match groups.iter_mut().rev().find(place) {
            Some(group) if joins(candidate, group.iter().filter_map(|member| candidates.get(*member))) => group.push(number),
            _ => groups.push(vec![number]),
        }
    }
    groups
}

fn key<'a>(candidate: &Candidate<'a>) -> &'a PartitionKey {
    &candidate.event.partition_key
}

fn joins<'a, 'e: 'a>(candidate: &Candidate<'_>, mut group: impl Iterator<Item = &'a Candidate<'e>>) -> bool {
    let Some(first) = group.next() else { return false };
    let by = |event: &Event| event.data.actor.as_ref().map(|actor| actor.id.clone());
    let who = by(candidate.event);
    // Jira does not always say who: such an event belongs to whoever acted around it.
    let somebody = by(first.event).or_else(|| group.find_map(|member| by(member.event)));
    let is_same_person = who.is_none() || somebody.is_none() || who == somebody;
    let apart = candidate.event.data.received_at.since(first.event.data.received_at);
    let is_alike = candidate.rule == first.rule && candidate.is_in_doubt == first.is_in_doubt;
    !candidate.settle.is_zero() && is_alike && is_same_person && apart <= candidate.settle
}

/// Sorted by Jira's number of the change; what has none stays behind what it came after.
pub(crate) fn in_order<'a>(events: &[&'a Event]) -> Vec<&'a Event> {
    let mut number = 0;
    let mut numbered: Vec<(u64, &Event)> = Vec::with_capacity(events.len());
    for event in events {
        let own = change_number(event);
        number = own.unwrap_or(number);
        numbered.push((number, event));
    }
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, event)| event).collect()
}

fn change_number(event: &Event) -> Option<u64> {
    let (before, number) = event.id.as_str().rsplit_once(':')?;
    before.ends_with(":change").then(|| number.parse().ok())?
}

/// What they come to, as if it had been one event: the identity of the first, the issue as the last shows it, every field from where it
/// was to where it is.
pub(crate) fn merged(events: &[&Event]) -> Option<Event> {
    let mut sum = (*events.first()?).clone();
    let kinds = || events.iter().map(|event| event.kind());
    let is_of_issue = |kind: &Kind| matches!(kind, Kind::IssueCreated | Kind::IssueUpdated);
    sum.data.kind = kinds().find(|kind| *kind == Kind::IssueCreated).or_else(|| kinds().find(is_of_issue)).unwrap_or(sum.data.kind);
    let ordered = in_order(events);
    let whole = ordered.iter().rev().filter_map(|event| event.data.issue.as_ref()).find(|issue| !issue.partial);
    sum.data.issue = whole.or(sum.data.issue.as_ref()).cloned();
    sum.data.actor = ordered.iter().find_map(|event| event.data.actor.clone());
    sum.data.project = ordered.iter().rev().find_map(|event| event.data.project.clone());
    sum.data.entity = ordered.iter().find_map(|event| event.data.entity.clone());
    sum.data.changes = summed(ordered.iter().flat_map(|event| &event.data.changes));
    Some(sum)
}

/// A field that came back to where it was did not change.
fn summed<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Change> {
    let mut sum: Vec<Change> = Vec::new();
    for change in changes {
        match sum.iter_mut().find(|known| known.field == change.field) {
            Some(known) => known.to.clone_from(&change.to),
            None => sum.push(change.clone()),
        }
    }
    sum.retain(|change| change.from != change.to);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Delivered, EventId, Issue, Person, PersonKind, Value};

    const SETTLE: Duration = Duration::from_secs(2);

    /// Issue, change number (0: a comment), actor, milliseconds, and the status from and to.
    fn event(issue: &str, number: u32, actor: Option<&str>, ms: i64, change: Option<(&str, &str)>) -> Event {
        let mut event = crate::sink::sample::enriched(1).envelope.event.clone();
        let side = |text: &str| Some(Value { id: None, text: Some(text.into()) });
        let id = number.to_string();
        let parts: &[&str] = if number == 0 { &["comment", "5", "created"] } else { &["issue", issue, "change", &id] };
        event.id = EventId::new(&event.connection, parts);
        event.partition_key = PartitionKey::issue(&event.connection, issue);
        event.data.kind = if number == 0 { Kind::CommentCreated } else { Kind::IssueUpdated };
        event.data.jira = Delivered::default();
        event.data.received_at = crate::clock::Timestamp::from_ms(1_000_000 + ms);
        let person = |id: &str| Person { id: id.into(), name: Some(id.into()), email: None, kind: PersonKind::Person };
        event.data.actor = actor.map(person);
        event.data.issue =
            Some(Box::new(Issue { partial: number == 0, summary: Some(format!("as of {number}")), ..Issue::only_id(issue) }));
        let status = |(from, to)| Change { field: "status".into(), name: None, custom: false, from: side(from), to: side(to) };
        event.data.changes = change.map(status).into_iter().collect();
        event
    }

    fn grouped(events: &[(Event, &str, &str)]) -> Vec<Vec<usize>> {
        let names: Vec<(Arc<str>, Arc<str>)> = events.iter().map(|(_, rule, target)| ((*rule).into(), (*target).into())).collect();
        let named = events.iter().zip(&names);
        let candidates: Vec<Candidate<'_>> = named
            .map(|((event, ..), (rule, target))| Candidate { event, rule: Some(rule), target, settle: SETTLE, is_in_doubt: false })
            .collect();
        groups(&candidates)
    }

    #[test]
    fn what_is_in_doubt_ends_with_its_like_only() {
        let (rule, target): (Arc<str>, Arc<str>) = ("r".into(), "#a".into());
        let events: Vec<Event> = (1..=3).map(|number| event("1", number, Some("jane"), i64::from(number), None)).collect();
        let candidate = |(event, is_in_doubt)| Candidate { event, rule: Some(&rule), target: &target, settle: SETTLE, is_in_doubt };
        let candidates: Vec<Candidate<'_>> = events.iter().zip([true, true, false]).map(candidate).collect();
        assert_eq!(groups(&candidates), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn what_one_person_does_to_one_issue_within_a_moment_is_one_message() {
        let jane = |issue, number, ms| (event(issue, number, Some("jane"), ms, None), "r", "#a");
        assert_eq!(
            grouped(&[jane("1", 1, 0), jane("2", 1, 1), jane("1", 2, 900), jane("1", 3, 2_000), jane("1", 4, 2_001)]),
            [vec![0, 2, 3], vec![1], vec![4]]
        );
        let nobody = (event("1", 0, None, 10, None), "r", "#a");
        let max = (event("1", 2, Some("max"), 20, None), "r", "#a");
        assert_eq!(
            grouped(&[jane("1", 1, 0), nobody.clone(), max.clone(), jane("1", 3, 30)]),
            [vec![0, 1], vec![2], vec![3]],
            "nobody overtakes"
        );
        assert_eq!(grouped(&[nobody, max, jane("1", 3, 30)]), [vec![0, 1], vec![2]]);
        let elsewhere = (event("1", 2, Some("jane"), 1, None), "r", "#b");
        let by_another = (event("1", 3, Some("jane"), 2, None), "s", "#a");
        assert_eq!(grouped(&[jane("1", 1, 0), elsewhere, by_another, jane("1", 4, 3)]), [vec![0], vec![1], vec![2], vec![3]]);
    }

    #[test]
    fn they_come_to_what_lies_between_the_first_and_the_last() {
        let first = event("1", 11, Some("jane"), 0, Some(("To Do", "Doing")));
        let comment = event("1", 0, None, 5, None);
        let late = event("1", 9, Some("jane"), 10, Some(("New", "To Do")));
        let sum = merged(&[&first, &comment, &late]).expect("an event");
        assert_eq!((sum.id.as_str(), sum.kind()), ("acme:issue:1:change:11", Kind::IssueUpdated));
        let texts =
            |change: &Change| [&change.from, &change.to].map(|side| side.as_ref().and_then(|side| side.text.clone()).unwrap_or_default());
        assert_eq!(sum.data.changes.iter().map(texts).collect::<Vec<_>>(), [["New", "Doing"]]);
        assert_eq!(sum.data.issue.and_then(|issue| issue.summary).as_deref(), Some("as of 11"));
        let back = event("1", 12, Some("jane"), 10, Some(("Doing", "To Do")));
        assert_eq!(merged(&[&first, &back]).expect("an event").data.changes, []);
    }
}
