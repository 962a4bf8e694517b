//! The arguments, as a table.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    },
    /// Run the service
    Serve {
        /// What this process does; all of it by default
        #[arg(long, value_delimiter = ',', value_name = "ROLE", value_parser = ["receiver", "worker", "scheduler", "console"])]
        role: Vec<String>,
    },
    /// Run the simulated Jira and Slack alone
    Simulate(SimulateArguments),
    /// Check, explain or describe the configuration
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Show every event of an issue and what became of it at each sink
    Trace {
        /// The key, old or new, as in `OPS-41`
        key: String,
    },
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
    /// The road between the door and the sinks
    Queue {
        #[command(subcommand)]
        what: QueueCommand,
    },
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
    #[arg(long, default_value = "cloud", value_parser = ["cloud"])]
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
    List,
    /// Show one with its event
    Show { id: String },
    /// Deliver again what was repaired
    Retry(Which),
    /// Give up for good
    Drop(Which),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The ids, as `dead list` shows them
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// What waits, per sink and lane
    Status,
}
