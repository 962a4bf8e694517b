//! One connection: from the address to the account's rights, as far as it goes. Only reads.

use std::time::Duration;

use super::{Finding, credential, jql, permissions};
use crate::config::{Config, Connection};
use crate::jira::{Flavour, Jira, JiraError, ServerInfo};
use crate::render;

/// A difference of clocks that nobody need care about.
const CLOCK_FINE: Duration = Duration::from_secs(30);
/// One that makes times useless.
const CLOCK_WRONG: Duration = Duration::from_secs(300);

pub(super) async fn check(connection: &Connection, config: &Config) -> Vec<Finding> {
    let about = &format!("connection {}", connection.name);
    let Some(auth) = &connection.auth else {
        let next = "if messages shall show what webhooks do not carry, or go to sinks that are not cleared, add `auth`";
        return vec![Finding::advice(about, "without `auth` it only receives", "nothing is asked of Jira, and nothing enriched", next)];
    };
    let mut findings = by_address(about, connection);
    findings.extend(credential::by_text(about, auth));
    let may_log_in = findings.iter().all(|finding| finding.level != super::Level::Problem);
    // Without a flavour: the site is to say what it is, and a credential that cannot fit is told here.
    let made = Jira::new(connection.name.clone(), connection.url.clone(), auth.clone(), None, render::to_markdown);
    let jira = match made {
        Ok(jira) => jira,
        Err(err) => {
            findings.push(Finding::problem(about, "Jira cannot be asked", err.to_string(), "mend `auth`"));
            return findings;
        }
    };
    let info = match jira.server_info().await {
        Ok(info) => info,
        Err(err) => {
            findings.push(unreachable(about, connection, &err));
            return findings;
        }
    };
    findings.extend(by_server(about, connection, &info));
    if let Some(misfit) = credential::by_site(about, auth, info.flavour, &info.version_numbers) {
        findings.push(misfit);
        return findings;
    }
    if !may_log_in {
        return findings;
    }
    let me = match jira.myself().await {
        Ok(me) => me,
        Err(err) => {
            findings.push(credential::refused(about, connection, auth, info.flavour, &err));
            return findings;
        }
    };
    findings.push(Finding::ok(about, format!("the login is good: Jira knows us as `{}`", me.name.as_deref().unwrap_or(&me.id))));
    findings.extend(credential::weaker(about, auth, info.flavour, &info.version_numbers));
    findings.extend(credential::by_account(about, auth, &me));
    findings.push(time_zone(about, me.time_zone.as_deref()));
    findings.extend(permissions::check(about, &jira, info.flavour, &config.rules).await);
    findings.extend(jql::check(about, &jira, config).await);
    findings
}

fn by_address(about: &str, connection: &Connection) -> Vec<Finding> {
    let url = connection.url.as_str();
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let is_cloud = host.ends_with(".atlassian.net") || host.ends_with(".jira.com");
    let mut findings = Vec::new();
    if is_cloud && connection.flavour == Some(Flavour::Datacenter) {
        let next = "write `flavour = \"cloud\"`, or leave it out: Jira is asked";
        findings.push(Finding::problem(about, "`flavour` is wrong", format!("`{host}` is an address of Jira Cloud"), next));
    }
    if let Some(base) = url.strip_suffix("/jira").filter(|_| is_cloud) {
        let evidence = "addresses of Jira Cloud have no path; `/jira` is only where its pages lie";
        findings.push(Finding::problem(about, "`url` leads beside Jira", evidence, format!("write `url = \"{base}\"`")));
    }
    if url.starts_with("http://") && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
        let next = "write `https://`; the connection keeps its name";
        findings.push(Finding::advice(about, "the credential goes over the network as it is", "`url` begins with `http://`", next));
    }
    findings
}

fn unreachable(about: &str, connection: &Connection, err: &JiraError) -> Finding {
    let (evidence, url) = (err.to_string(), &connection.url);
    if evidence.contains("too old") {
        let next = "upgrade Jira to 7.13 or later; older versions lack what webhooks and reads rely on";
        return Finding::problem(about, "this Jira is too old", evidence, next);
    }
    let next = format!(
        "open {url}/rest/api/2/serverInfo from this machine: it must answer with JSON. Is the address right (with the path before `/rest`, \
         if there is one), the name known to DNS, the way free of a login page, and `HTTPS_PROXY` set if a proxy is needed?"
    );
    Finding::problem(about, "Jira cannot be reached", evidence, next)
}

fn by_server(about: &str, connection: &Connection, info: &ServerInfo) -> Vec<Finding> {
    let product = match info.flavour {
        Flavour::Cloud => "Jira Cloud",
        Flavour::Datacenter => "Jira Data Center",
    };
    let mut findings = vec![Finding::ok(about, format!("it is {product}, version {}", info.version))];
    if connection.flavour.is_some_and(|flavour| flavour != info.flavour) {
        let next = "correct `flavour`, or leave it out: Jira is asked";
        findings.push(Finding::problem(about, "`flavour` is wrong", format!("the site says that it is {product}"), next));
    }
    let same = |theirs: &str| theirs.trim_end_matches('/').eq_ignore_ascii_case(connection.url.as_str().trim_end_matches('/'));
    if let Some(theirs) = info.base_url.as_deref().filter(|theirs| !same(theirs)) {
        let evidence = format!("Jira calls itself `{theirs}`");
        let next = "make `url` and Jira's base URL (Administration > System > General configuration) the same before the first event: links in \
            messages lead to `url`, and it never changes afterwards";
        findings.push(Finding::advice(about, "Jira has another address for itself", evidence, next));
    }
    findings.extend(clock(about, info.clock_ahead_ms));
    findings
}

fn clock(about: &str, ahead_ms: Option<i64>) -> Option<Finding> {
    let ahead_ms = ahead_ms?;
    // Jira tells whole seconds, rounded down.
    let off = Duration::from_millis(ahead_ms.unsigned_abs().saturating_sub(1_000));
    let direction = if ahead_ms > 0 { "behind" } else { "ahead of" };
    let evidence = format!("our clock is {} s {direction} Jira's", off.as_secs());
    let next = "set this machine's clock by NTP (`timedatectl set-ntp true`), or Jira's if that is the one that is wrong";
    Some(match off {
        _ if off <= CLOCK_FINE => Finding::ok(about, "our clock and Jira's agree"),
        _ if off <= CLOCK_WRONG => Finding::advice(about, "our clock and Jira's differ", evidence, next),
        _ => Finding::problem(about, "our clock and Jira's differ by minutes: ages and orders of changes are wrong", evidence, next),
    })
}

fn time_zone(about: &str, told: Option<&str>) -> Finding {
    match told {
        Some(name) if jiff::tz::TimeZone::get(name).is_ok() => {
            Finding::ok(about, format!("dates are read in the account's time zone, {name}"))
        }
        Some(name) => {
            let next = "choose another time zone in the account's profile";
            Finding::advice(about, "the account's time zone is not known here, so UTC is used", format!("Jira says `{name}`"), next)
        }
        None => Finding::ok(about, "Jira tells no time zone of the account, so dates are read in UTC"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::check::Level;

    #[test]
    fn clocks_may_differ_a_little() {
        for (ahead_ms, level) in [
            (Some(0), Some(Level::Ok)),
            (Some(-31_000), Some(Level::Ok)),
            (Some(40_000), Some(Level::Advice)),
            (Some(-290_000), Some(Level::Advice)),
            (Some(400_000), Some(Level::Problem)),
            (None, None),
        ] {
            assert_eq!(clock("connection acme", ahead_ms).map(|finding| finding.level), level, "{ahead_ms:?}");
        }
        assert_eq!(clock("x", Some(400_000)).expect("a finding").evidence, "our clock is 399 s behind Jira's");
    }

    #[test]
    fn a_time_zone_is_used_or_utc() {
        insta::assert_snapshot!(time_zone("x", Some("Europe/Berlin")).what, @"dates are read in the account's time zone, Europe/Berlin");
        insta::assert_snapshot!(time_zone("x", Some("Mars/Olympus")).what, @"the account's time zone is not known here, so UTC is used");
        insta::assert_snapshot!(time_zone("x", None).what, @"Jira tells no time zone of the account, so dates are read in UTC");
    }
}
