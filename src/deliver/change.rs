//! Sinks that begin, change and go while the others work on.
//!
//! First what can fail and changes nothing (`reserve`), then what cannot fail (`change`): so a reload happens whole or not at all.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::route::Route;
use super::supervise::{Delivery, Shared, StartError, Supervisor, shared, start_sink, subscribe, watch_control};
use crate::queue::Subscription;
use crate::setting::SinkName;

/// What becomes of a sink at a reload.
pub enum Change {
    /// It goes on as it is.
    Keep(SinkName),
    /// It is new, or something of it changed. Where the sink itself is the one that runs, what is known of its state is kept.
    Renew(Route),
}

impl Change {
    fn route(&self) -> Option<&Route> {
        match self {
            Self::Keep(_) => None,
            Self::Renew(route) => Some(route),
        }
    }
}

/// Places on the road, not worked on yet.
#[derive(Default)]
pub struct Reserved(HashMap<SinkName, Box<dyn Subscription>>);

impl Supervisor {
    /// The places of sinks that are new; what they miss from now on waits for them. Changes nothing else, and may be given up at any moment.
    pub async fn reserve(&self, delivery: &Delivery, routes: &[Change]) -> Result<Reserved, StartError> {
        let mut reserved = Reserved::default();
        let running: Vec<SinkName> = self.sinks().iter().map(|shared| shared.route.name().clone()).collect();
        for route in routes.iter().filter_map(Change::route).filter(|route| self.does_work && !running.contains(route.name())) {
            reserved.0.insert(route.name().clone(), subscribe(delivery, route.name()).await?);
        }
        Ok(reserved)
    }

    /// From now on these sinks, in this order. One that changed ends its windows as they began, and only then begins anew: nothing
    /// is cut off, repeated or overtaken. One that is not among them stops. At once: the rest happens in tasks of their own.
    pub fn change(&self, delivery: &Delivery, changes: Vec<Change>, mut reserved: Reserved) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: HashMap<SinkName, Arc<Shared>> = sinks.drain(..).map(|shared| (shared.route.name().clone(), shared)).collect();
        for change in changes {
            let route = match change {
                Change::Keep(name) => {
                    sinks.extend(before.remove(&name));
                    continue;
                }
                Change::Renew(route) => route,
            };
            let name = route.name().clone();
            let old = before.remove(&name);
            let mut new = shared(delivery, route, self.crash_loop.clone());
            if let Some(old) = &old {
                old.tasks.token().cancel();
                new.inherit(old);
            }
            let new = Arc::new(new);
            let old = old.map(|old| old.tasks.clone()).or_else(|| leaving.remove(&name));
            if self.does_work {
                start_sink(delivery, &new, reserved.0.remove(&name), old);
            } else {
                new.tasks.spawn("orders", watch_control(new.clone()));
            }
            sinks.push(new);
        }
        for (name, gone) in before {
            gone.tasks.token().cancel();
            leaving.insert(name, gone.tasks.clone());
        }
    }
}
