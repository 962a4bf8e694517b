//! The JQL of the rules, as Jira reads it.

use super::Finding;
use crate::config::{Config, Rule};
use crate::jira::{Jira, JiraError};

pub(super) async fn check(about: &str, jira: &Jira, config: &Config) -> Vec<Finding> {
    let (mut findings, mut taken) = (Vec::new(), 0_usize);
    for rule in config.rules.iter().filter(|rule| rule.enabled) {
        let Some(jql) = &rule.jql else { continue };
        match jira.check_jql(jql).await {
            Ok(()) => taken += 1,
            Err(JiraError::Refused { reason, .. }) => findings.push(refused(about, rule, &reason, config)),
            Err(err) => {
                let what = format!("whether Jira takes the JQL of rule `{}` cannot be told", rule.name);
                findings.push(Finding::problem(about, what, err.to_string(), "try again"));
                break;
            }
        }
    }
    if taken > 0 {
        findings.push(Finding::ok(about, format!("Jira takes the JQL of the rules that have one: {taken}")));
    }
    findings
}

/// Where several sites are asked, a query may be meant for another one.
fn refused(about: &str, rule: &Rule, reason: &str, config: &Config) -> Finding {
    let what = format!("Jira does not take the JQL of rule `{}`, so it matches nothing here", rule.name);
    let evidence = format!("{}: {reason}", rule.jql_place);
    let next = "try the query in Jira's own search, logged in as this account; what the account may not see is not there for it";
    let is_alone = config.connections.iter().filter(|connection| connection.auth.is_some()).count() == 1;
    if is_alone { Finding::problem(about, what, evidence, next) } else { Finding::advice(about, what, evidence, next) }
}
