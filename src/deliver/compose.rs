//! From deliveries that may be made to messages: those that belong together become one, and wait a moment for each other.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Try;
use super::context::{self, Known};
use super::enrich::Item;
use super::fold::{self, Candidate};
use super::route::{Decision, Verdict};
use super::rules::Send;
use super::window::{Ready, Work};
use super::worker::LaneWorker;
use crate::event::Event;
use crate::sink::{Enriched, Message};
use crate::store::Write;

impl LaneWorker {
    /// Marks what will only wait: nothing need be read for it now.
    pub(crate) fn let_settle(&self, items: &mut [Item]) {
        for item in items.iter_mut() {
            let waits = |decision: &Decision| match decision.verdict {
                Verdict::Send => self.settles(item, &decision.target, decision.rule.as_ref()).is_some(),
                Verdict::Filtered(_) => true,
                Verdict::Needs => false,
            };
            item.settles = item.decisions.iter().all(waits);
        }
    }

    /// How long it still waits for what may belong to it. What waited once goes on.
    pub(crate) fn settles(&self, item: &Item, target: &Arc<str>, rule: Option<&Arc<str>>) -> Option<Duration> {
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

    /// One try for each message. A message that cannot be composed is a dead letter.
    pub(crate) fn compose(&mut self, ready: Vec<Ready>, items: &[Item], write: &mut Write) -> Vec<Try> {
        let candidate = |ready: &'_ Ready| {
            let settle = ready.work.rule.as_ref().and_then(|rule| Some(self.send(rule, &ready.work.key.target)?.settle));
            settle.unwrap_or_default()
        };
        let settles: Vec<Duration> = ready.iter().map(candidate).collect();
        let candidates: Vec<Candidate<'_>> = ready
            .iter()
            .zip(settles)
            .map(|(ready, settle)| Candidate {
                event: &ready.event,
                rule: ready.work.rule.as_ref(),
                target: &ready.work.key.target,
                settle: if self.shared.is_careful() { Duration::ZERO } else { settle },
            })
            .collect();
        let groups = fold::groups(&candidates);
        let mut rest: Vec<Option<Ready>> = ready.into_iter().map(Some).collect();
        let mut tries = Vec::new();
        for group in groups {
            let members: Vec<Ready> = group.into_iter().filter_map(|number| rest.get_mut(number)?.take()).collect();
            tries.extend(self.one_message(members, items, write));
        }
        tries
    }

    fn one_message(&mut self, members: Vec<Ready>, items: &[Item], write: &mut Write) -> Option<Try> {
        let shared = self.shared.clone();
        let events: Vec<&Event> = members.iter().map(|member| &*member.event).collect();
        let ordered = fold::in_order(&events);
        let (first, last) = (members.first()?, members.last()?);
        let sum = if members.len() > 1 { fold::merged(&events).map(Arc::new) } else { None };
        let event = sum.unwrap_or_else(|| first.event.clone());
        let send = first.work.rule.as_ref().and_then(|rule| self.send(rule, &first.work.key.target));
        let in_thread = send.is_some_and(|send| send.in_thread);
        let message = send.and_then(|send| send.message.as_ref()).map(|templates| {
            let known = items[last.work.item].known(&event);
            let known = Known { folded: if ordered.len() > 1 { &ordered } else { &[] }, ..known };
            templates.render(&context::of_event(&known, &shared.route.names))
        });
        let message: Option<Message> = match message.transpose() {
            Ok(message) => message,
            Err(err) => {
                let reason = format!("the message cannot be composed: {err}");
                members.iter().for_each(|member| self.bury(&member.work, &items[member.work.item], &reason, write));
                return None;
            }
        };
        let mut works = members.into_iter().map(|member| member.work);
        let work = works.next()?;
        let folded: Vec<Work> = works.map(|other| Work { folded_into: Some(work.key.event_id.clone()), ..other }).collect();
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
        Some(Try { folded, in_thread, partition_key, work, delivery, span })
    }
}
