//! `config check`, `config example`, `config schema`.

use serde_json::json;

use super::arguments::{ConfigCommand, Options};
use super::output::Output;
use super::{Ended, Failure};
use crate::app;
use crate::config::{self, Config, EXAMPLE, Finding, Problems};

pub(crate) fn run(what: &ConfigCommand, options: &Options, mut output: Output) -> Ended {
    match what {
        ConfigCommand::Check => check(options, output),
        ConfigCommand::Example => Ok(output.line(EXAMPLE.trim_end())?),
        ConfigCommand::Schema => Ok(output.line(&format!("{:#}", config::schema()))?),
    }
}

fn check(options: &Options, mut output: Output) -> Ended {
    let draft = Config::draft(options.config.as_deref(), config::environment());
    let (problems, warnings) = match app::prepare(draft) {
        Ok(prepared) => (Problems::default(), prepared.config.warnings),
        Err(problems) if output.is_json => (problems, Vec::new()),
        Err(problems) => return Err(Failure::Configuration(problems.to_string())),
    };
    if output.is_json {
        output.json(&json!({ "problems": views(problems.findings()), "warnings": views(&warnings) }))?;
    } else {
        warnings.iter().try_for_each(|warning| output.line(&format!("warning: {warning}")))?;
        let told = options.no_file().map(|hint| format!("{hint}\nthe defaults, with what the environment sets, are good"));
        output.line(told.as_deref().unwrap_or("the configuration is good"))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Configuration(problems.summary())) }
}

fn views(findings: &[Finding]) -> Vec<serde_json::Value> {
    let view = |finding: &Finding| json!({ "file": finding.place.file, "line": finding.place.line, "message": finding.message, "hint": finding.hint });
    findings.iter().map(view).collect()
}
