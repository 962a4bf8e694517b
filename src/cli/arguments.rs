//! The arguments, as a table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::{StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::clock::{Clock, Timestamp};
use crate::setting::Span;

const GLOBAL: &str = "Global options";
const SERVICE: &str = "Options of commands about a running service";
/// What people call their file, as the documents do.
const USUAL_FILE: &str = "ticketwire.toml";

/// Receives Jira webhooks, stores them durably and delivers them in order to Slack, SQL and others
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 1 the answer is no, 2 usage, 69 service not reachable, 78 configuration"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The configuration file; without it the defaults, with everything kept in `./ticketwire-data`
    #[arg(short, long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(crate) config: Option<PathBuf>,
    /// Print answers as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// URL of the admin listener of a running service, as in `http://127.0.0.1:9080`; by default taken from the configuration
    #[arg(long, global = true, value_name = "URL", help_heading = SERVICE)]
    pub(crate) admin: Option<String>,
    /// A file that holds the admin token; with `--admin` the variable `TICKETWIRE_ADMIN_TOKEN` may hold it instead
    #[arg(long, global = true, value_name = "FILE", help_heading = SERVICE)]
    pub(crate) token_file: Option<PathBuf>,
    /// Log level: error, warn, info, debug, or a filter such as `info,ticketwire::deliver=debug`
    #[arg(long, global = true, value_name = "LEVEL", help_heading = GLOBAL)]
    pub(crate) log: Option<String>,
}

impl Options {
    /// What to tell where no file was given: a file that lies here was probably meant.
    pub(crate) fn no_file(&self) -> Option<String> {
        let hint = match &self.config {
            Some(_) => return None,
            None if Path::new(USUAL_FILE).exists() => format!("`./{USUAL_FILE}` is not read without `-c {USUAL_FILE}`"),
            None => "name one with `-c FILE`".to_owned(),
        };
        Some(format!("no configuration file was given: {hint}"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything against a simulated Jira and Slack; needs no file and no network
    Demo {
        /// Stop after this time, as in `30s`; by default the demo runs until Ctrl-C
        #[arg(long = "for", value_name = "SPAN")]
        length: Option<Span>,
        /// Which kind of Jira is simulated
        #[arg(long, default_value = "cloud", value_name = "FLAVOUR", value_parser = ["cloud", "datacenter"])]
        flavour: String,
    },
    /// Run the service
    Serve {
        /// What this process does; by default everything
        #[arg(long, value_delimiter = ',', value_name = "ROLE", value_parser = ["receiver", "worker", "scheduler", "console"])]
        role: Vec<String>,
    },
    /// Run only the simulated Jira and Slack, without the service
    #[command(
        after_help = "The simulated Slack has every channel but two: `#no-such-channel` is answered `channel_not_found`, and `#archived` \
                      `is_archived`, so that a message to them becomes a dead letter"
    )]
    Simulate(SimulateArguments),
    /// Diagnose configuration, Jira, queue, store and sinks
    #[command(visible_alias = "doctor")]
    Check {
        /// Check only this connection
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
    /// Check a configuration, or print an example or its JSON Schema
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// List, show and follow the events in the archive
    Event {
        #[command(subcommand)]
        what: EventCommand,
    },
    /// Show every event of an issue and what became of it at each sink
    Trace {
        /// The issue's key, old or new, as in `OPS-41`
        #[arg(value_parser = StringValueParser::new().map(issue_key))]
        key: String,
    },
    /// Deliver archived events that a sink did not get, by the rules and the guard of today
    Replay(ReplayArguments),
    /// List, show, retry or drop dead letters, which waiting will not deliver
    #[command(visible_alias = "dlq")]
    Dead {
        #[command(subcommand)]
        what: DeadCommand,
    },
    /// List, pause and resume sinks, and inspect their shadow mode
    Sink {
        #[command(subcommand)]
        what: SinkCommand,
    },
    /// List, enable, disable and test rules
    Rule {
        #[command(subcommand)]
        what: RuleCommand,
    },
    /// Inspect the event queue
    Queue {
        #[command(subcommand)]
        what: QueueCommand,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArguments {
    /// Only events received at this time or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present_any = ["list", "stop"])]
    pub(crate) since: Option<Timestamp>,
    /// Only events received at this time or earlier; by default until now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
    /// Deliver only what this rule sends
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    /// Deliver only to this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Also redeliver what was already delivered
    #[arg(long)]
    pub(crate) again: bool,
    /// Send nothing; show how many would be delivered, filtered and withheld
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// List replays, newest first
    #[arg(long, conflicts_with_all = ["since", "stop"])]
    pub(crate) list: bool,
    /// Stop the replay with this id
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    pub(crate) stop: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArguments {
    /// Where webhooks are sent, as in `http://127.0.0.1:8080/hooks/acme`
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Actions per second
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    pub(crate) pace: f64,
    /// Random seed; the same seed gives the same events
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,
    /// Address of the simulated Jira; by default a free port
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) jira_listen: SocketAddr,
    /// Address of the simulated Slack; by default a free port
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) slack_listen: SocketAddr,
    /// Which kind of Jira is simulated
    #[arg(long, default_value = "cloud", value_name = "FLAVOUR", value_parser = ["cloud", "datacenter"])]
    pub(crate) flavour: String,
    /// Stop after this time, as in `30s`; by default it runs until Ctrl-C
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) length: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report all mistakes, with file and line
    Check,
    /// Print a commented example configuration
    Example,
    /// Print the JSON Schema of the configuration
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List dead letters, oldest first; TRIES counts those since the last `dead retry`
    List {
        #[command(flatten)]
        which: DeadWhich,
        /// List at most this many; by default all
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// Show a dead letter with its event
    Show {
        /// Its id, as shown by `dead list` and `trace`
        id: String,
    },
    /// Deliver dead letters again
    Retry(Which),
    /// Give dead letters up for good
    Drop(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Ids as shown by `dead list`
    #[arg(value_name = "ID", conflicts_with_all = ["sink", "target", "reason", "since"])]
    pub(crate) ids: Vec<String>,
    /// All dead letters
    #[arg(long, conflicts_with_all = ["ids", "sink", "target", "reason", "since"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) matching: DeadWhich,
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadWhich {
    /// Only those of this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Only those of this target, as in `#ops`
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// Only those whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only those last tried at this time or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List events, newest first
    List {
        #[command(flatten)]
        which: EventWhich,
        /// List at most this many
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Show an event and what became of it at each sink
    Show {
        /// The event's id, as shown by `event list` and `trace`
        id: String,
        /// Also show Jira's own body
        #[arg(long)]
        raw: bool,
    },
    /// Show events as they arrive
    Tail {
        #[command(flatten)]
        which: EventWhich,
    },
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventWhich {
    /// Only events of this kind, as in `issue.created`
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only events of this connection
    #[arg(long, value_name = "NAME")]
    pub(crate) connection: Option<String>,
    /// Only events of the issue that has or had this key, as in `OPS-41`
    #[arg(long, value_name = "KEY", value_parser = StringValueParser::new().map(issue_key))]
    pub(crate) issue: Option<String>,
    /// Only events received at this time or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
    /// Only events received at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    /// List sinks with their state
    List,
    /// Pause a sink: its deliveries wait until it is resumed
    Pause {
        /// The sink's name, as shown by `sink list`
        name: String,
        /// Why it is paused; shown by `sink list`. Without it the reason of a pause that is in force stays
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Resume a paused sink
    Resume {
        /// The sink's name, as shown by `sink list`
        name: String,
    },
    /// Show what a sink in shadow mode would have sent, oldest first
    Shadows {
        /// The sink's name, as shown by `sink list`
        name: String,
        #[command(flatten)]
        which: ShadowWhich,
    },
    /// Compare what a sink in shadow mode would have sent with what a script sent; exits 0 if all is the same
    Diff {
        /// The sink's name, as shown by `sink list`
        name: String,
        /// One line of JSON for each message of the script, as in `{"channel": "#docs", "text": "..."}`; `at` and `username` are optional
        file: PathBuf,
        #[command(flatten)]
        which: ShadowWhich,
    },
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShadowWhich {
    /// Only messages of this time or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
    /// Only messages of this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// List rules in the order in which they are asked, with state and owner
    List,
    /// Enable a rule
    Enable {
        /// The rule's name, as shown by `rule list`
        name: String,
    },
    /// Disable a rule: what it would send is filtered
    Disable {
        /// The rule's name, as shown by `rule list`
        name: String,
    },
    /// Show what the rules would send for recorded events; sends nothing and needs no running service
    Test {
        /// Files with lines of a file sink, or with bodies of webhooks as Jira sent them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The connection that the webhooks came from; not needed if there is only one
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Show how many events wait for each sink and lane
    Status,
    /// Remove sinks that are no longer configured from the queue, with all that waits for them
    Prune {
        /// Only show which sinks would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// A time, or a span before now.
fn moment(text: &str) -> Result<Timestamp, String> {
    let ago =
        |span: Span| Timestamp::from_ms(Clock::system().now().ms().saturating_sub(i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)));
    let wrong = || format!("`{text}` is no time: write one as in `2026-11-22T10:00:00Z`, or how long ago, as in `30m` or `2h`");
    Timestamp::parse(text).or_else(|| text.parse().ok().map(ago)).ok_or_else(wrong)
}

/// Jira's keys are upper case. What does not look like a key stays as it was typed.
fn issue_key(typed: String) -> String {
    let looks_like_one = typed.rsplit_once('-').is_some_and(|(project, number)| {
        let is_project =
            project.starts_with(|c: char| c.is_ascii_alphabetic()) && project.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_project && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
    });
    if looks_like_one { typed.to_ascii_uppercase() } else { typed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_upper_case_and_nothing_else_is() {
        for (typed, meant) in
            [("ops-7", "OPS-7"), ("Web_2-10", "WEB_2-10"), ("OPS-7", "OPS-7"), ("ops", "ops"), ("a key-1", "a key-1"), ("7-7", "7-7")]
        {
            assert_eq!(issue_key(typed.to_owned()), meant);
        }
    }
}
