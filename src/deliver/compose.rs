//! From deliveries that may be made to messages: those that belong together become one, and wait a moment for each other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempt, WAITS_BEHIND};
use super::context::{self, Known};
use super::draft::Draft;
use super::enrich::{self, Item};
use super::extras::{self, Extras, ExtrasError, ExtrasRequest, FetchedExtras};
use super::fold::{self, Candidate};
use super::guard;
use super::route::{Decision, Verdict};
use super::rules::{MessageTemplates, Send};
use super::window::{Ready, ask_again};
use super::worker::LaneWorker;
use crate::event::PartitionKey;
use crate::jira::Sight;
use crate::render::RenderError;
use crate::sink::{Enriched, Message};
use crate::store::Write;

impl LaneWorker {
    /// Marks what will only wait: nothing need be read for it now.
    pub(crate) fn mark_settling(&self, items: &mut [Item]) {
        for item in items.iter_mut() {
            let waits = |decision: &Decision| match decision.verdict {
                Verdict::Send => self.settle_left(item, &decision.target, decision.rule.as_ref()).is_some(),
                Verdict::Filtered(_) => true,
                Verdict::Needs => false,
            };
            item.is_settling = item.decisions.iter().all(waits);
        }
    }

    /// How long it still waits for what may belong to it. What waited once goes on.
    pub(crate) fn settle_left(&self, item: &Item, target: &Arc<str>, rule: Option<&Arc<str>>) -> Option<Duration> {
        if item.parked.as_ref().is_some_and(|row| row.rule.is_some()) || self.shared.is_careful() {
            return None;
        }
        let settle = self.send(rule?, target)?.settle;
        let age = self.shared.clock.now().since(item.event().data.received_at);
        settle.checked_sub(age).filter(|left| !left.is_zero())
    }

    fn send(&self, rule: &str, target: &str) -> Option<&Send> {
        let route = &self.shared.route;
        route.rules.find(rule, route.name(), target).map(|(_, send)| send)
    }

    /// One try for each message. A message that cannot be composed is a dead letter; one whose rule could not ask Jira waits.
    pub(crate) async fn compose(&mut self, ready: Vec<Ready>, items: &[Item], write: &mut Write) -> Vec<Attempt> {
        let drafts = self.drafts(ready);
        let requests: Vec<_> = drafts.iter().map(|draft| self.extras_request(draft, items)).collect();
        let asked: Vec<&ExtrasRequest> = requests.iter().filter_map(|request| request.as_ref().ok()?.as_ref()).collect();
        let mut fetched = extras::fetch(&self.shared.jiras, &asked).await.into_iter();
        let mut stuck: HashSet<(Arc<str>, PartitionKey)> = HashSet::new();
        let mut tries = Vec::new();
        for (draft, request) in drafts.into_iter().zip(requests) {
            let answer = match request {
                Ok(Some(_)) => fetched.next().unwrap_or_else(|| Ok(FetchedExtras::default())),
                Ok(None) => Ok(FetchedExtras::default()),
                Err(err) => Err(ExtrasError::Never(format!("the message cannot be composed: {err}"))),
            };
            let place = draft.place(items);
            match answer {
                _ if stuck.contains(&place) => self.park_all(&draft, items, WAITS_BEHIND, None, write),
                Ok(fetched) => tries.extend(self.one_message(draft, fetched, items, write)),
                Err(ExtrasError::Wait(err)) => {
                    self.park_all(&draft, items, &format!("Jira cannot be asked: {err}"), Some(ask_again(&err)), write);
                    stuck.insert(place);
                }
                Err(ExtrasError::Never(reason)) => self.dead_letter_all(&draft, items, &reason, write),
            }
        }
        tries
    }

    fn drafts(&self, ready: Vec<Ready>) -> Vec<Draft> {
        let mut candidates = Vec::new();
        for Ready { work, event } in &ready {
            let settle = work.rule.as_ref().and_then(|rule| Some(self.send(rule, &work.key.target)?.settle));
            let settle = settle.filter(|_| !self.shared.is_careful()).unwrap_or_default();
            let (rule, target) = (work.rule.as_ref(), &work.key.target);
            candidates.push(Candidate { event, rule, target, settle, is_in_doubt: work.unknown });
        }
        let groups = fold::groups(&candidates);
        let mut rest: Vec<Option<Ready>> = ready.into_iter().map(Some).collect();
        let taken = |group: Vec<usize>| Draft::of(group.into_iter().filter_map(|number| rest.get_mut(number)?.take()).collect());
        groups.into_iter().filter_map(taken).collect()
    }

    fn send_of(&self, draft: &Draft) -> Option<&Send> {
        self.send(draft.work().rule.as_ref()?, &draft.work().key.target)
    }

    fn templates(&self, draft: &Draft) -> Option<&MessageTemplates> {
        self.send_of(draft)?.message.as_ref()
    }

    /// What it asks of Jira, for the last of its events.
    fn extras_request(&self, draft: &Draft, items: &[Item]) -> Result<Option<ExtrasRequest>, RenderError> {
        let Some(templates) = self.templates(draft).filter(|templates| templates.extras().is_any()) else { return Ok(None) };
        let after = draft.works().map(|work| enrich::after(&items[work.item], &self.shared.clock)).max();
        let folded = draft.folded();
        let known = draft.known(&folded, items);
        let issue = known.now.or(draft.event.data.issue.as_deref());
        let context = context::of_event(&known, &self.shared.route.names);
        templates.extras().request(&draft.event.connection, after.unwrap_or_else(Instant::now), &context, issue).map(Some)
    }

    fn one_message(&mut self, draft: Draft, fetched: FetchedExtras, items: &[Item], write: &mut Write) -> Option<Attempt> {
        let in_thread = self.send_of(&draft).is_some_and(|send| send.in_thread);
        let message = self.templates(&draft).map(|templates| {
            let extras = self.extras(&draft, fetched, items);
            let folded = draft.folded();
            let known = Known { extras: Some(&extras), ..draft.known(&folded, items) };
            templates.render(&context::of_event(&known, &self.shared.route.names))
        });
        let message: Option<Message> = match message.transpose() {
            Ok(message) => message,
            Err(err) => {
                self.dead_letter_all(&draft, items, &format!("the message cannot be composed: {err}"), write);
                return None;
            }
        };
        let event = draft.event.clone();
        let (work, folded) = draft.into_works();
        let item = &items[work.item];
        let delivery = Enriched {
            envelope: item.envelope.clone(),
            event,
            seen: item.seen().cloned(),
            rule: work.rule.clone(),
            target: work.key.target.clone(),
            generation: work.key.generation,
            attempts: work.failures + 1,
            message,
        };
        let (partition_key, span) = (item.event().partition_key.clone(), item.trail.span().clone());
        Some(Attempt { folded, in_thread, partition_key, work, delivery, span })
    }

    /// A parent is shown where it could have been sent itself.
    fn extras(&self, draft: &Draft, fetched: FetchedExtras, items: &[Item]) -> Extras {
        let FetchedExtras { mut extras, parent } = fetched;
        let facts = self.facts(draft.work(), items);
        if let Some(Sight::Seen(parent)) = parent.filter(|sight| guard::shows(sight, &facts, &self.shared.route.clearance)) {
            extras.show_parent(&parent);
        }
        extras
    }

    /// Parks all deliveries of a draft: the first for `wait`, or behind what waits already, and the others behind it.
    fn park_all(&mut self, draft: &Draft, items: &[Item], reason: &str, wait: Option<Duration>, write: &mut Write) {
        let mut wait = wait;
        for work in draft.works() {
            match wait.take() {
                Some(wait) => self.park(work, &items[work.item], wait, reason, false, write),
                None => self.park_behind(work, items, reason, write),
            }
        }
    }

    fn dead_letter_all(&mut self, draft: &Draft, items: &[Item], reason: &str, write: &mut Write) {
        draft.works().for_each(|work| self.dead_letter(work, &items[work.item], reason, write));
    }
}
