//! Scenarios: the real program from outside, each with a promise that must hold. `TICKETWIRE_CAMPAIGN=long` runs the long versions.
#![expect(clippy::print_stderr, reason = "a person wants to see the counts")]

mod broker;
mod cli;
mod corpus;
mod crash;
mod demo;
mod foreign;
mod fresh;
mod guard;
mod guard_unasked;
mod late;
mod once;
mod outage;
mod secrets;
mod stop;
mod vectors;

/// A file sink and a ticket store, which get everything.
const DATA_SINKS: &str = "[sink.events]\ntype = \"file\"\npath = \"../events.jsonl\"\n[sink.tickets]\ntype = \"tickets\"\n";
const EVENTS: &str = "events.jsonl";
