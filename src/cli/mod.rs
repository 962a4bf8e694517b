//! The command line: what people type. Commands about a running service go through its admin API; the others work without one.
//!
//! Exit codes: 0 ok, 1 the answer is no, 2 usage, 69 service not reachable, 78 configuration. Logs go to stderr, answers to stdout.

mod admin;
mod arguments;
mod check;
mod config;
mod dead;
mod demo;
mod diff;
mod event;
mod output;
mod pairs;
mod queue;
mod replay;
mod rule;
mod serve;
mod shadows;
mod simulate;
mod sink;
mod trace;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use arguments::{Arguments, Command};
use output::Output;

/// How a command ends when it does not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no; it was printed.
    No,
    /// Whoever read the answers reads no more, as `head` does: nothing is wrong.
    Gone,
    /// What was given cannot be used.
    Usage(String),
    Unreachable(String),
    Configuration(String),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(err: anyhow::Error) -> Self {
        Self::Other(err)
    }
}

impl From<std::io::Error> for Failure {
    fn from(err: std::io::Error) -> Self {
        if err.kind() == std::io::ErrorKind::BrokenPipe { Self::Gone } else { Self::Other(err.into()) }
    }
}

pub(crate) type Ended = Result<(), Failure>;

/// As the parser of the arguments ends.
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 69;
const CONFIGURATION: u8 = 78;
/// Deep rules and messages are computed on worker threads: their stack must be larger than any limit on rules needs.
const STACK_BYTES: usize = 8 << 20;
/// What still blocks a thread when everything has ended gets so long.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Runs what the arguments say; the binary does nothing else.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(arguments));
            // A start that was given up may still be reading a long log.
            runtime.shutdown_timeout(LEFT_BEHIND);
            ended
        }
        Err(err) => Err(Failure::Other(err.into())),
    };
    let mut output = Output::new(false);
    match ended {
        Ok(()) | Err(Failure::Gone) => ExitCode::SUCCESS,
        Err(Failure::No) => ExitCode::from(1),
        Err(Failure::Usage(why)) => {
            output.error(&format!("error: {why}"));
            ExitCode::from(USAGE)
        }
        Err(Failure::Unreachable(why)) => {
            output.error(&why);
            ExitCode::from(UNREACHABLE)
        }
        Err(Failure::Configuration(report)) => {
            output.error(&report);
            ExitCode::from(CONFIGURATION)
        }
        Err(Failure::Other(err)) => {
            output.error(&format!("error: {err:#}"));
            ExitCode::from(1)
        }
    }
}

async fn run(arguments: Arguments) -> Ended {
    let Arguments { options, command } = arguments;
    let output = Output::new(options.json);
    match command {
        Command::Demo { length, flavour } => demo::run(length.map(|span| span.0), simulate::flavour(&flavour), &options, output).await,
        Command::Serve { role } => serve::run(&options, &role).await,
        Command::Simulate(settings) => simulate::run(settings, &options, output).await,
        Command::Check { connection } => check::run(connection.as_deref(), &options, output).await,
        Command::Config { what } => config::run(&what, &options, output),
        Command::Event { what } => event::run(what, &options, output).await,
        Command::Trace { key } => trace::run(&key, &options, output).await,
        Command::Replay(arguments) => replay::run(arguments, &options, output).await,
        Command::Dead { what } => dead::run(what, &options, output).await,
        Command::Sink { what } => sink::run(what, &options, output).await,
        Command::Rule { what } => rule::run(what, &options, output).await,
        Command::Queue { what } => queue::run(&what, &options, output).await,
    }
}
