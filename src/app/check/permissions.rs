//! What the account may do, held against what is needed and what the rules name.

use std::collections::BTreeSet;

use super::Finding;
use crate::config::Rule;
use crate::jira::{Flavour, Jira};

const BROWSE: &str = "BROWSE_PROJECTS";
const USERS: &str = "USER_PICKER";
const ADMINISTER: &str = "ADMINISTER";
/// Each project is one request.
const PROJECTS_MAX: usize = 50;

pub(super) async fn check(about: &str, jira: &Jira, flavour: Flavour, rules: &[Rule]) -> Vec<Finding> {
    let held = match jira.my_permissions(&[BROWSE, USERS, ADMINISTER]).await {
        Ok(held) => held,
        Err(err) => {
            let next = "try again; if it stays so, look at what stands between: a proxy that lets only some paths through";
            return vec![Finding::problem(about, "Jira does not say what the account may do", err.to_string(), next)];
        }
    };
    let has = |key: &str| held.get(key).copied().unwrap_or(false);
    let mut findings = Vec::new();
    if has(BROWSE) {
        findings.push(Finding::ok(about, "the account may browse projects"));
    } else {
        let evidence = format!("`{BROWSE}` is missing in every project");
        findings.push(Finding::problem(about, "the account sees no project, so nothing can be enriched", evidence, browse(flavour)));
        return findings;
    }
    findings.extend(projects(about, jira, flavour, rules).await);
    if has(USERS) {
        findings.push(Finding::ok(about, "the account may browse users and groups"));
    } else {
        let next = match flavour {
            Flavour::Cloud => "Settings > System > Global permissions > Browse users and groups: add a group of the account",
            Flavour::Datacenter => "Administration > System > Global permissions > Browse Users: add a group of the account",
        };
        let evidence = format!("`{USERS}` is missing: a search for users finds nobody, and says no word of it");
        findings.push(Finding::advice(about, "the account may not browse users and groups", evidence, next));
    }
    if has(ADMINISTER) {
        let next = "take the account out of the administrators' groups: reading needs Browse Projects only";
        findings.push(Finding::advice(
            about,
            "the account may administer Jira, which is more than is needed",
            format!("it has `{ADMINISTER}`"),
            next,
        ));
    }
    findings
}

fn browse(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Cloud => {
            "Project settings > Access (team-managed: add the account as a member) or Project settings > Permissions > Browse Projects \
             (company-managed: add the account, its group or its role); Settings > System > Permission helper tells which is missing"
        }
        Flavour::Datacenter => {
            "Project settings > Permissions > Browse Projects: add the account, its group or its role; Administration > System > \
             Permission helper tells which is missing"
        }
    }
}

/// Projects that rules name and the account does not see: their rules wait in vain for what must be read.
async fn projects(about: &str, jira: &Jira, flavour: Flavour, rules: &[Rule]) -> Vec<Finding> {
    let named: BTreeSet<&str> = rules.iter().filter(|rule| rule.enabled).filter_map(|rule| rule.when.as_deref()).flat_map(keys).collect();
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for key in named.into_iter().take(PROJECTS_MAX) {
        match jira.sees_project(key).await {
            Ok(true) => seen.push(key),
            Ok(false) => {
                let next = format!("correct the key in the rule if it is misspelt or of another site; else {}", browse(flavour));
                findings.push(Finding::advice(
                    about,
                    format!("the account does not see project `{key}`, which a rule names"),
                    "Jira answers 404",
                    next,
                ));
            }
            Err(err) => {
                findings.push(Finding::problem(
                    about,
                    format!("whether project `{key}` is seen cannot be told"),
                    err.to_string(),
                    "try again",
                ));
                break;
            }
        }
    }
    if !seen.is_empty() {
        findings.push(Finding::ok(about, format!("the account sees the projects that rules name: {}", seen.join(", "))));
    }
    findings
}

/// The texts that a rule compares a project's key with.
fn keys(when: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for (_, after) in when.match_indices("project.key").map(|(at, name)| (at, when.get(at + name.len()..).unwrap_or_default())) {
        let end = after.find(['&', '|', '?', ')', ']']).unwrap_or(after.len());
        let compared = after.get(..end).unwrap_or_default().trim_start();
        if !compared.starts_with("==") && !compared.starts_with("in ") {
            continue;
        }
        keys.extend(compared.split(['"', '\'']).skip(1).step_by(2).filter(|text| !text.is_empty()));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_of_a_rule_are_found() {
        for (when, expected) in [
            (r#"issue.project.key == "OPS""#, vec!["OPS"]),
            (r#"project.key in ["OPS", 'WEB'] && change.status.to == "Done""#, vec!["OPS", "WEB"]),
            (r#"(project.key == "A") || (project.key == "B")"#, vec!["A", "B"]),
            (r#"project.key != "OPS""#, vec![]),
            (r#"project.key.startsWith("OP")"#, vec![]),
            (r#"event.kind == "issue.created""#, vec![]),
        ] {
            assert_eq!(keys(when), expected, "{when}");
        }
    }
}
