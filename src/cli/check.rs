//! `check`: the findings as a table for people, or as JSON. A running service is asked for what only it knows.

use super::admin::Admin;
use super::arguments::Options;
use super::output::Output;
use super::{Ended, Failure, serve};
use crate::api::{QueueRow, SinkView};
use crate::app::{self, Finding, Level, RunningService};
use crate::config::{self, Config};

pub(crate) async fn run(connection: Option<&str>, options: &Options, mut output: Output) -> Ended {
    // What is found is told once, in the answer.
    serve::install_logs(&Options { log: options.log.clone().or_else(|| Some("error".into())), ..options.clone() })?;
    let draft = Config::draft(options.config.as_deref(), config::environment());
    let only = connection
        .map(|name| draft.config.connections.iter().map(|known| &known.name).find(|known| known.as_str() == name).cloned().ok_or(name));
    let only = only.transpose().map_err(|name| unknown(name, &draft.config))?;
    let running = if only.is_none() { ask(options).await } else { None };
    let findings = app::check(draft, only.as_ref(), running.as_ref()).await;
    if output.is_json {
        output.json(&findings)?;
    } else {
        show(&findings, &mut output)?;
    }
    if findings.iter().any(|finding| finding.level == Level::Problem) { Err(Failure::No) } else { Ok(()) }
}

fn unknown(name: &str, config: &Config) -> Failure {
    let known = config.connections.iter().map(|connection| connection.name.as_str());
    Failure::Other(anyhow::anyhow!(app::unknown("connection", name, known)))
}

/// None: no service answers, or not to us.
async fn ask(options: &Options) -> Option<RunningService> {
    let admin = Admin::find(options).ok()?;
    let rows: Vec<QueueRow> = admin.get("queue").await.ok()?;
    let sinks: Vec<SinkView> = admin.get("sinks").await.ok()?;
    let mut running = RunningService { config: admin.readiness().await.ok()?.config, ..RunningService::default() };
    running.places.extend(rows.into_iter().filter_map(|row| row.sink.parse().ok()));
    running.places.sort();
    running.places.dedup();
    running.paused =
        sinks.into_iter().filter(|sink| sink.state == "paused").map(|sink| (sink.name, sink.reason.unwrap_or_default())).collect();
    Some(running)
}

fn show(findings: &[Finding], output: &mut Output) -> Ended {
    let word = |level| match level {
        Level::Ok => "ok",
        Level::Advice => "advice",
        Level::Problem => "PROBLEM",
    };
    let row = |finding: &Finding| {
        let found = if finding.evidence.is_empty() { finding.what.clone() } else { format!("{} ({})", finding.what, finding.evidence) };
        vec![word(finding.level).to_owned(), finding.about.clone(), found, finding.next.clone()]
    };
    output.texts(&["", "ABOUT", "FOUND", "NEXT STEP"], findings.iter().map(row).collect(), "nothing was found to look at")?;
    Ok(output.line(&summary(findings))?)
}

fn summary(findings: &[Finding]) -> String {
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let problems = match count(Level::Problem) {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    format!("{problems}, {} advice, {} ok", count(Level::Advice), count(Level::Ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let finding = |level| Finding {
            level,
            about: "queue".to_owned(),
            what: "a finding".to_owned(),
            evidence: String::new(),
            next: String::new(),
        };
        let (ok, advice, problem) = (finding(Level::Ok), finding(Level::Advice), finding(Level::Problem));
        assert_eq!(summary(&[ok.clone(), advice.clone(), problem.clone(), problem.clone()]), "2 problems, 1 advice, 1 ok");
        assert_eq!(summary(&[problem, advice.clone(), advice]), "1 problem, 2 advice, 0 ok");
        assert_eq!(summary(&[]), "0 problems, 0 advice, 0 ok");
    }
}
