//! `simulate`: the simulated Jira and Slack alone, for trying a configuration against.

use std::time::Duration;

use serde_json::json;
use tokio::signal::ctrl_c;

use super::Ended;
use super::arguments::{Options, SimulateArguments};
use super::output::{Output, on_one_line};
use super::serve;
use crate::shutdown::Tasks;
use crate::simulate::{Flavour, Sent, Settings, Simulation, SlackMessage};

const DRAIN: Duration = Duration::from_secs(10);

/// With `--json` a line for what it listens on, a line for each action and for each message that Slack takes, and a line of counts.
pub(crate) async fn run(arguments: SimulateArguments, options: &Options, mut output: Output) -> Ended {
    serve::install_logs(options)?;
    let tasks = Tasks::new();
    let settings = Settings {
        seed: arguments.seed,
        jira_listen: arguments.jira_listen,
        slack_listen: arguments.slack_listen,
        ..Settings::demo(flavour(&arguments.flavour))
    };
    let simulation = Simulation::start(settings, &tasks).await?;
    welcome(&simulation, &mut output)?;
    let (mut actions, mut messages) = (simulation.actions(), simulation.slack_messages());
    match arguments.webhook {
        Some(webhook) => {
            simulation.webhook_to(webhook);
            simulation.people_work(arguments.pace);
        }
        None if output.is_json => {}
        None => output.line("Nobody works yet: give `--webhook http://127.0.0.1:8080/hooks/NAME` to let people work and webhooks come")?,
    }
    let end = arguments.length.map_or(Duration::from_secs(u64::from(u32::MAX)), |span| span.0);
    let until = tokio::time::sleep(end);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            _ = ctrl_c() => break,
            // An error: lines were lost because the terminal was slow.
            action = actions.recv() => action.map_or(Ok(()), |action| acted(&action, &mut output))?,
            message = messages.recv() => message.map_or(Ok(()), |message| posted(&message, &mut output))?,
        }
    }
    let sent = simulation.people_stop_and_drain(DRAIN).await;
    while let Ok(action) = actions.try_recv() {
        acted(&action, &mut output)?;
    }
    while let Ok(message) = messages.try_recv() {
        posted(&message, &mut output)?;
    }
    conclude(&sent, &mut output)?;
    tasks.stop(DRAIN).await;
    Ok(())
}

fn acted(action: &str, output: &mut Output) -> std::io::Result<()> {
    if output.is_json { output.json(&json!({ "action": action })) } else { output.line(&format!("jira    {action}")) }
}

fn posted(message: &SlackMessage, output: &mut Output) -> std::io::Result<()> {
    if !output.is_json {
        return output.line(&format!("slack   {}", on_one_line(&message.to_string())));
    }
    let SlackMessage { channel, username, text, thread_ts, ts } = message;
    let told = json!({ "channel": channel, "username": username, "text": text, "thread_ts": thread_ts, "ts": ts });
    output.json(&json!({ "message": told }))
}

fn conclude(sent: &Sent, output: &mut Output) -> std::io::Result<()> {
    if output.is_json {
        return output.json(&json!({ "bodies": sent.bodies, "events": sent.events }));
    }
    output.line(&format!(
        "{} things happened in Jira; {} webhook deliveries were accepted (some things take more than one), {} were given up",
        sent.events, sent.bodies, sent.given_up
    ))
}

/// The argument, which is one of the two.
pub(crate) fn flavour(argument: &str) -> Flavour {
    if argument == "datacenter" { Flavour::Datacenter } else { Flavour::Cloud }
}

/// Where it is and what opens it.
fn welcome(simulation: &Simulation, output: &mut Output) -> std::io::Result<()> {
    let (jira, slack) = (simulation.jira_url(), format!("{}/api", simulation.slack_url()));
    let (email, token) = (simulation.email(), simulation.api_token());
    let (slack_token, secret) = (simulation.slack_token(), simulation.webhook_secret());
    let (username, password) = (simulation.username(), simulation.password());
    if output.is_json {
        return output.json(&json!({
            "jira": match simulation.flavour() {
                Flavour::Cloud => json!({ "url": jira, "email": email, "api_token": token }),
                Flavour::Datacenter => json!({ "url": jira, "personal_access_token": token, "username": username, "password": password }),
            },
            "slack": { "api_url": slack, "token": slack_token },
            "webhook": { "secret": secret },
        }));
    }
    output.line(&match simulation.flavour() {
        Flavour::Cloud => format!("Jira     {jira}  (account `{email}`, API token `{token}`)"),
        Flavour::Datacenter => {
            format!("Jira     {jira}  (Data Center; personal access token `{token}`, or user `{username}` with password `{password}`)")
        }
    })?;
    output.line(&format!("Slack    {slack}  (token `{slack_token}`)"))?;
    output.line(&format!("Webhook  signed with the secret `{secret}`"))
}
