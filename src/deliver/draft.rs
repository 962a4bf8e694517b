//! A message in the making: the deliveries that it is, and the event that it tells.

use std::sync::Arc;

use super::context::Known;
use super::enrich::Item;
use super::fold;
use super::window::Ready;
use super::work::Work;
use crate::event::{Event, PartitionKey};

pub(crate) struct Draft {
    first: Ready,
    /// Further deliveries that the same message covers.
    rest: Vec<Ready>,
    /// The one event that stands for all of them.
    pub(crate) event: Arc<Event>,
}

impl Draft {
    /// `None` if `members` is empty.
    pub(crate) fn of(members: Vec<Ready>) -> Option<Self> {
        let events: Vec<&Event> = members.iter().map(|member| &*member.event).collect();
        let sum = if members.len() > 1 { fold::merged(&events).map(Arc::new) } else { None };
        let mut members = members.into_iter();
        let first = members.next()?;
        let event = sum.unwrap_or_else(|| first.event.clone());
        Some(Self { first, rest: members.collect(), event })
    }

    /// The delivery that stands for all.
    pub(crate) fn work(&self) -> &Work {
        &self.first.work
    }

    pub(crate) fn works(&self) -> impl Iterator<Item = &Work> {
        std::iter::once(&self.first).chain(&self.rest).map(|member| &member.work)
    }

    /// Its events as one message shows them, where they are several.
    pub(crate) fn folded(&self) -> Vec<&Event> {
        let events: Vec<&Event> = std::iter::once(&self.first).chain(&self.rest).map(|member| &*member.event).collect();
        if events.len() > 1 { fold::in_order(&events) } else { Vec::new() }
    }

    /// The event as it is shown, with the issue as it was read for the last of them.
    pub(crate) fn known<'a>(&'a self, folded: &'a [&'a Event], items: &'a [Item]) -> Known<'a> {
        let last = self.rest.last().unwrap_or(&self.first);
        Known { folded, ..items[last.work.item].known(&self.event) }
    }

    /// Where what follows it must not overtake.
    pub(crate) fn place(&self, items: &[Item]) -> (Arc<str>, PartitionKey) {
        let work = self.work();
        (work.key.target.clone(), items[work.item].event().partition_key.clone())
    }

    /// The delivery that stands for all, and those that it tells too.
    pub(crate) fn into_works(self) -> (Work, Vec<Work>) {
        let work = self.first.work;
        let told_by = |other: Ready| Work { folded_into: Some(work.key.event_id.clone()), ..other.work };
        let folded = self.rest.into_iter().map(told_by).collect();
        (work, folded)
    }
}
