//! From the road to the sinks: each sink has its own place in every lane and takes what its rules send, past the guard, once and in order.
//!
//! A window is a unit of work: every delivery in it ends within seconds as done, parked or dead, and the lane moves on. So nothing
//! behind the queue ever fills it, and a bad target stalls nobody else. Never here: what a sink does (`sink`), what Jira says (`jira`).

mod archive;
mod attempt;
mod breaker;
mod change;
mod claims;
mod compose;
mod context;
mod control;
mod crash_loop;
mod draft;
mod enrich;
mod explain;
mod extras;
mod fields;
mod fold;
mod guard;
mod journal;
mod jql;
mod lookup;
mod meters;
mod names;
mod open_paths;
mod park;
mod rehearse;
mod replay;
mod route;
mod rules;
mod settings;
mod step;
mod supervise;
mod trail;
mod window;
mod work;
mod worker;

pub use change::{Change, Reserved};
#[cfg(test)]
mod ready_made;

pub use control::{PauseState, needs_you, paused_control};
pub use explain::{DeliveryView, EventView, Explainer};
pub use names::Names;
pub use rehearse::{Recorded, Rehearsed, RehearsedDelivery, RehearsedMessage, rehearse};
pub use route::{Jiras, Route};
pub use rules::{Rule, RuleError, RulePart, Rules, Send, SinkTraits, enabled_control};
pub use settings::{LookupSettings, LookupTable, OnUnknown, RuleSettings, SendSettings, Settings, Thread};
pub use supervise::{Delivery, Supervisor};
pub use window::SETTLING_REASON;
