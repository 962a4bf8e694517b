//! Scenarios: the real program from outside, each with a promise that must hold. `TICKETWIRE_CAMPAIGN=long` runs the long versions.
#![expect(clippy::print_stderr, reason = "a person wants to see the counts")]

mod broker;
mod check;
mod cli;
mod corpus;
mod crash;
mod crowd;
mod datacenter;
mod demo;
mod disk;
mod door;
mod foreign;
mod fresh;
mod guard;
mod guard_unasked;
mod jql;
mod late;
mod look;
mod lookup;
mod once;
mod outage;
mod outlet;
mod reload;
#[cfg(any(feature = "amqp", feature = "kafka"))]
mod rolling;
mod rules;
mod secrets;
mod settle;
mod shadow;
mod stop;
mod tardy;
#[cfg(feature = "otel")]
mod traces;
mod vectors;

/// A file sink and a ticket store, which get everything.
const DATA_SINKS: &str = "[sink.events]\ntype = \"file\"\npath = \"../events.jsonl\"\n[sink.tickets]\ntype = \"tickets\"\n";
const EVENTS: &str = "events.jsonl";
