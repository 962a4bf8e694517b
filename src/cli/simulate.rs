//! `simulate`: the simulated Jira and Slack alone, for trying a configuration against.

use std::time::Duration;

use tokio::signal::ctrl_c;

use super::Ended;
use super::arguments::{Options, SimulateArguments};
use super::output::Output;
use super::serve;
use crate::shutdown::Tasks;
use crate::simulate::{Settings, Simulation};

const DRAIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: SimulateArguments, options: &Options, mut output: Output) -> Ended {
    serve::install_logs(options)?;
    let tasks = Tasks::new();
    let settings =
        Settings { seed: arguments.seed, jira_listen: arguments.jira_listen, slack_listen: arguments.slack_listen, ..Settings::demo() };
    let simulation = Simulation::start(settings, &tasks).await?;
    output.line(&format!(
        "Jira     {}  (account `{}`, API token `{}`)",
        simulation.jira_url(),
        simulation.email(),
        simulation.api_token()
    ))?;
    output.line(&format!("Slack    {}/api  (token `{}`)", simulation.slack_url(), simulation.slack_token()))?;
    output.line(&format!("Webhook  signed with the secret `{}`", simulation.webhook_secret()))?;
    let Some(webhook) = arguments.webhook else {
        output.line("Nobody works yet: give `--webhook http://127.0.0.1:8080/hooks/NAME` to let people work and webhooks come")?;
        return Ok(ctrl_c().await?);
    };
    simulation.webhook_to(webhook);
    let mut actions = simulation.actions();
    simulation.people_work(arguments.pace);
    let end = arguments.length.map_or(Duration::from_secs(u64::from(u32::MAX)), |span| span.0);
    let until = tokio::time::sleep(end);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            _ = ctrl_c() => break,
            action = actions.recv() => if let Ok(action) = action { output.line(&action)? },
        }
    }
    let sent = simulation.people_stop_and_drain(DRAIN).await;
    output.line(&format!("{} bodies were taken, {} events happened", sent.bodies, sent.events))?;
    tasks.stop(DRAIN).await;
    Ok(())
}
