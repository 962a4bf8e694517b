//! The arguments, as a table.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::clock::{Clock, Timestamp};
use crate::setting::Span;

/// A wire service for Jira: webhooks in, one durable road, every sink told once and in order
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
    /// The configuration file; without it the embedded defaults under `./ticketwire-data`
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print answers as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The admin listener of a running service, as in `http://127.0.0.1:9080`; found by the configuration otherwise
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) admin: Option<String>,
    /// A file with the admin token; with `--admin` also taken from `TICKETWIRE_ADMIN_TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, or a filter such as `info,ticketwire::deliver=debug`
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything against a simulated Jira and Slack; needs no file and no network
    Demo {
        /// End after so long, as in `30s`; without it the demo runs until Ctrl-C
        #[arg(long = "for", value_name = "SPAN")]
        length: Option<Span>,
        /// Which Jira is simulated
        #[arg(long, default_value = "cloud", value_name = "FLAVOUR", value_parser = ["cloud", "datacenter"])]
        flavour: String,
    },
    /// Run the service
    Serve {
        /// What this process does; all of it by default
        #[arg(long, value_delimiter = ',', value_name = "ROLE", value_parser = ["receiver", "worker", "scheduler", "console"])]
        role: Vec<String>,
    },
    /// Run the simulated Jira and Slack alone
    Simulate(SimulateArguments),
    /// Find what is wrong from the configuration to Jira, with the next step
    #[command(visible_alias = "doctor")]
    Check {
        /// Look at this connection only
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
    /// Check, explain or describe the configuration
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Events in the archive
    Event {
        #[command(subcommand)]
        what: EventCommand,
    },
    /// Show every event of an issue and what became of it at each sink
    Trace {
        /// The issue's key, old or new, as in `OPS-41`
        key: String,
    },
    /// Deliver from the archive what was never delivered, and decide anew what was filtered or withheld
    Replay(ReplayArguments),
    /// Dead letters: deliveries that will not succeed by waiting
    #[command(visible_alias = "dlq")]
    Dead {
        #[command(subcommand)]
        what: DeadCommand,
    },
    /// Sinks: the configured destinations
    Sink {
        #[command(subcommand)]
        what: SinkCommand,
    },
    /// Rules: which events go where, and how they read
    Rule {
        #[command(subcommand)]
        what: RuleCommand,
    },
    /// The road between the door and the sinks
    Queue {
        #[command(subcommand)]
        what: QueueCommand,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArguments {
    /// Events received from then on: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present_any = ["list", "stop"])]
    pub(crate) since: Option<Timestamp>,
    /// Events received until then; until now by default
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
    /// Only what this rule sends
    #[arg(long, value_name = "NAME")]
    pub(crate) rule: Option<String>,
    /// Only to this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Once more, what was delivered, too
    #[arg(long)]
    pub(crate) again: bool,
    /// Send nothing; say how many would be delivered, filtered and withheld
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// List replays, newest first
    #[arg(long, conflicts_with_all = ["since", "stop"])]
    pub(crate) list: bool,
    /// Stop one where it is
    #[arg(long, value_name = "ID", conflicts_with = "since")]
    pub(crate) stop: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArguments {
    /// Where webhooks are sent, as in `http://127.0.0.1:8080/hooks/acme`
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// How many things people do in a second
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    pub(crate) pace: f64,
    /// What makes one simulation like another
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the simulated Jira listens; a free port by default
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) jira_listen: SocketAddr,
    /// Where the simulated Slack listens; a free port by default
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) slack_listen: SocketAddr,
    /// Which Jira is simulated
    #[arg(long, default_value = "cloud", value_name = "FLAVOUR", value_parser = ["cloud", "datacenter"])]
    pub(crate) flavour: String,
    /// End after so long, as in `30s`
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) length: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report every mistake at once, with file and line
    Check,
    /// Print a commented example
    Example,
    /// Print the JSON Schema of the configuration
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them, oldest first
    List {
        #[command(flatten)]
        which: DeadWhich,
        /// At most so many; all by default
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
    },
    /// Show one with its event
    Show { id: String },
    /// Deliver again what was repaired
    Retry(Which),
    /// Give up for good
    Drop(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The ids, as `dead list` shows them
    #[arg(value_name = "ID", required_unless_present_any = ["all", "sink", "target", "reason", "since"], conflicts_with_all = ["sink", "target", "reason", "since"])]
    pub(crate) ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "sink", "target", "reason", "since"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) matching: DeadWhich,
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadWhich {
    /// Of this sink
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Of this target, as in `#ops`
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,
    /// With this in the reason
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Tried for the last time then or later: a time, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List them, newest first
    List {
        #[command(flatten)]
        which: EventWhich,
        /// At most so many
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Show one with all that it says and what became of it
    Show {
        id: String,
        /// With Jira's own body
        #[arg(long)]
        raw: bool,
    },
    /// Show them as they come
    Tail {
        #[command(flatten)]
        which: EventWhich,
    },
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventWhich {
    /// Of this kind, as in `issue.created`
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Of this connection
    #[arg(long, value_name = "NAME")]
    pub(crate) connection: Option<String>,
    /// Of the issue that has or had this key, as in `OPS-41`
    #[arg(long, value_name = "KEY")]
    pub(crate) issue: Option<String>,
    /// Received then or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
    /// Received then or before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    /// List them with their state
    List,
    /// Hold one: what comes for it waits
    Pause {
        name: String,
        /// Why, for who looks later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let one go on
    Resume { name: String },
    /// Show what one in shadow mode would have sent, oldest first
    Shadows {
        name: String,
        #[command(flatten)]
        which: ShadowWhich,
    },
    /// Compare it with what a script sent; exit 0 where all is the same
    Diff {
        name: String,
        /// A line of JSON for each message of the script, as in `{"channel": "#docs", "text": "..."}`; `at` and `username` may be there
        file: PathBuf,
        #[command(flatten)]
        which: ShadowWhich,
    },
}

/// All that is given must hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShadowWhich {
    /// Sent then or later: a time as in `2026-11-22T10:00:00Z`, or how long ago, as in `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Timestamp>,
    /// Sent then or before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// List them in their order, with their state and who keeps them
    List,
    /// Let one speak
    Enable { name: String },
    /// Mute one: its events are filtered
    Disable { name: String },
    /// Show what recorded events would send; needs no running service, and sends nothing
    Test {
        /// Lines of a file sink, or bodies of webhooks as Jira sent them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The connection that webhooks came by; not needed where there is only one
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// What waits, per sink and lane
    Status,
    /// Give up the places of sinks that are not configured any more, and what waits for them
    Prune {
        /// Only show which they are
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
