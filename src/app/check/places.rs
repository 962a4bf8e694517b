//! The sinks: whether each can be reached with what it is configured with. Nothing is delivered.

use futures_util::future::join_all;

use super::{Finding, Running, is_left_out};
use crate::clock::Clock;
use crate::config::{Config, Sink as Configured, SinkSettings, resolved};
use crate::deliver::needs_you;
use crate::setting::SinkName;
use crate::sink::{BuildError, Sink, SinkError, amqp, file, http, kafka, slack};

pub(super) async fn sinks(config: &Config, clock: &Clock, running: Option<&Running>) -> Vec<Finding> {
    let asked = config.sinks.iter().filter(|sink| !is_left_out(config, "sink", sink.name.as_str()));
    let mut findings = join_all(asked.map(|sink| one(sink, config, clock))).await;
    let in_shadow = config.sinks.iter().filter(|sink| sink.shadow);
    findings.extend(in_shadow.map(|sink| {
        let what = "it is in shadow mode: it records what it would send, and sends nothing";
        Finding::ok(&format!("sink {}", sink.name), what)
    }));
    for (name, reason) in running.iter().flat_map(|running| &running.paused) {
        findings.push(paused(name, reason));
    }
    findings
}

/// Somebody's will is no fault; a refusal is.
fn paused(name: &SinkName, reason: &str) -> Finding {
    let about = format!("sink {name}");
    if needs_you(reason) {
        let next = format!("mend what the reason says, then `ticketwire sink resume {name}`");
        return Finding::problem(&about, "it is paused, and what comes for it waits", reason, next);
    }
    let next = format!("`ticketwire sink resume {name}`, when it may go on");
    Finding::advice(&about, "it is paused by hand, and what comes for it waits", reason, next)
}

async fn one(configured: &Configured, config: &Config, clock: &Clock) -> Finding {
    let about = &format!("sink {}", configured.name);
    let name = configured.name.clone();
    match &configured.settings {
        SinkSettings::Tickets(_) => Finding::ok(about, "it lies in the store"),
        SinkSettings::Stdout(_) => Finding::ok(about, "it writes where the service is started"),
        SinkSettings::File(settings) => match file::could_write(settings, &config.data_dir) {
            Ok(()) => Finding::ok(about, format!("`{}` can be written", settings.path.display())),
            Err(why) => Finding::problem(
                about,
                "the file cannot be written",
                why,
                "run this as the user of the service, and give it the right to write there",
            ),
        },
        SinkSettings::Http(settings) => {
            let secret = settings.secret.as_ref().map(resolved);
            reached(about, http::build(name, settings, secret.as_ref(), clock.clone())).await
        }
        SinkSettings::Amqp(settings) => reached(about, amqp::build(name, settings, settings.password.as_ref().map(resolved))).await,
        SinkSettings::Kafka(settings) => reached(about, kafka::build(name, settings, settings.password.as_ref().map(resolved))).await,
        SinkSettings::Slack(settings) => {
            let secrets =
                slack::Secrets { token: settings.token.as_ref().map(resolved), webhook_url: settings.webhook_url.as_ref().map(resolved) };
            reached(about, slack::build(name, settings, secrets, clock.clone())).await
        }
    }
}

async fn reached(about: &str, built: Result<impl Sink, BuildError>) -> Finding {
    let checked = match built {
        Ok(sink) => sink.check().await,
        Err(err) => return Finding::problem(about, "it cannot be built", err.to_string(), "`ticketwire config example` shows one"),
    };
    match checked {
        Ok(()) => Finding::ok(about, "it can be reached"),
        Err(SinkError::Refused { reason, .. }) => {
            let next = "give it a token, a secret or an address that it takes; what comes until then waits";
            Finding::problem(about, "it refuses us", reason, next)
        }
        Err(SinkError::Unavailable { reason, .. } | SinkError::Unanswered { reason } | SinkError::Failed { reason }) => {
            let next = "see that it runs, that the name is known to DNS, and that the way from here is free; what comes until then waits";
            Finding::problem(about, "it cannot be reached", reason, next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_pause_by_hand_is_no_problem_and_a_refusal_is() {
        let name: SinkName = "team".parse().expect("a name");
        let by_hand = paused(&name, "Slack moves house");
        assert_eq!((by_hand.level, by_hand.evidence.as_str()), (Level::Advice, "Slack moves house"));
        let refused = paused(&name, "the token was revoked (needs you: repair it, then `ticketwire sink resume team`)");
        assert_eq!(refused.level, Level::Problem);
        assert!([by_hand, refused].iter().all(|finding| finding.next.contains("`ticketwire sink resume team`")));
    }
}
