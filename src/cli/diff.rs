//! `sink diff NAME FILE`: what a sink in shadow mode would have sent, beside what a script sent. Exit 0 where all is the same.
//!
//! Which message is which: `pairs`. Names of channels are compared without a `#` before them; a script that says as whom it posted is held
//! to that. Of several records of one event at one target, as `replay --again` makes them, the newest counts.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::admin::Admin;
use super::arguments::ShadowWhich;
use super::output::Output;
use super::pairs::{self, Side};
use super::{Ended, Failure, shadows};
use crate::api::{ShadowMessage, ShadowView};
use crate::clock::Timestamp;

/// A line of the file; what else stands in it is left aside.
#[derive(Debug, Deserialize)]
struct Written {
    channel: String,
    text: String,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    username: Option<String>,
}

/// What the script sent.
#[derive(Debug, Clone, Serialize)]
struct ByScript {
    line: usize,
    at: Option<Timestamp>,
    username: Option<String>,
    text: String,
    #[serde(skip)]
    channel: String,
}

/// What we would have sent.
#[derive(Debug, Clone, Serialize)]
struct ByUs {
    event_id: String,
    rule: Option<String>,
    at: Timestamp,
    username: Option<String>,
    text: String,
    #[serde(skip)]
    channel: String,
}

#[derive(Debug, Serialize)]
struct Same {
    script: ByScript,
    ticketwire: ByUs,
}

#[derive(Debug, Serialize)]
struct Different {
    script: ByScript,
    ticketwire: ByUs,
    /// `-` only the script has that line, `+` only we have it, a blank: both.
    lines: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Channel {
    channel: String,
    same: Vec<Same>,
    different: Vec<Different>,
    only_script: Vec<ByScript>,
    only_ticketwire: Vec<ByUs>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Counts {
    same: usize,
    different: usize,
    only_script: usize,
    only_ticketwire: usize,
}

#[derive(Debug, Serialize)]
struct Compared {
    channels: Vec<Channel>,
    counts: Counts,
}

pub(super) async fn run(admin: &Admin, name: &str, file: &Path, which: &ShadowWhich, mut output: Output) -> Ended {
    let text = std::fs::read_to_string(file).map_err(|err| Failure::Usage(format!("`{}` cannot be read: {err}", file.display())))?;
    let script = read(&text, which).map_err(|why| Failure::Usage(format!("`{}`, {why}", file.display())))?;
    let recorded = shadows::fetch(admin, name, which).await?;
    if !recorded.is_empty() && recorded.iter().all(|shadow| shadow.message.is_none()) {
        return Err(Failure::Usage(format!("`{name}` sends events and no messages: there is nothing to compare")));
    }
    let compared = compare(script, newest(recorded));
    let Counts { different, only_script, only_ticketwire, .. } = compared.counts;
    if output.is_json {
        output.json(&compared)?;
    } else {
        show(&compared, &mut output)?;
    }
    if (different, only_script, only_ticketwire) == (0, 0, 0) { Ok(()) } else { Err(Failure::No) }
}

/// Err: the first line that is no message, and why.
fn read(text: &str, which: &ShadowWhich) -> Result<Vec<ByScript>, String> {
    let mut messages = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let hint = "hint: write one object in each line, as in `{\"channel\": \"#docs\", \"text\": \"OPS-1 is on hold\"}`";
        let written: Written = serde_json::from_str(text).map_err(|err| {
            // Where in the line it is says nothing that the reason does not.
            let why = err.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            format!("line {line} is no message: {why}\n{hint}")
        })?;
        let at = written.at.as_deref().map(|at| Timestamp::parse(at).ok_or_else(|| format!("line {line}: `{at}` is no time of RFC 3339")));
        let at = at.transpose()?;
        // What has no time may have been sent at any.
        let is_meant = at.is_none_or(|at| which.since.is_none_or(|since| at >= since) && which.until.is_none_or(|until| at <= until));
        if is_meant {
            messages.push(ByScript { line, at, username: written.username, text: written.text, channel: written.channel });
        }
    }
    Ok(messages)
}

fn newest(recorded: Vec<ShadowView>) -> Vec<ByUs> {
    let key = |shadow: &ShadowView| (shadow.event_id.to_string(), shadow.target.clone());
    let last: HashMap<_, usize> = recorded.iter().enumerate().map(|(number, shadow)| (key(shadow), number)).collect();
    let is_last = |(number, shadow): &(usize, ShadowView)| last.get(&key(shadow)) == Some(number);
    let ours = |(_, shadow): (usize, ShadowView)| {
        let ShadowView { event_id, target, rule, at, message, .. } = shadow;
        let ShadowMessage { text, username, .. } = message?;
        Some(ByUs { event_id: event_id.to_string(), rule, at, username, text, channel: target })
    };
    recorded.into_iter().enumerate().filter(is_last).filter_map(ours).collect()
}

fn compare(script: Vec<ByScript>, ours: Vec<ByUs>) -> Compared {
    let mut places: BTreeMap<String, (Vec<ByScript>, Vec<ByUs>)> = BTreeMap::new();
    let name = |channel: &str| channel.strip_prefix('#').unwrap_or(channel).to_owned();
    for message in script {
        places.entry(name(&message.channel)).or_default().0.push(message);
    }
    for message in ours {
        places.entry(name(&message.channel)).or_default().1.push(message);
    }
    let channels: Vec<Channel> = places.into_values().map(|(script, ours)| of_channel(&script, &ours)).collect();
    let mut counts = Counts::default();
    for channel in &channels {
        counts.same += channel.same.len();
        counts.different += channel.different.len();
        counts.only_script += channel.only_script.len();
        counts.only_ticketwire += channel.only_ticketwire.len();
    }
    Compared { channels, counts }
}

fn of_channel(script: &[ByScript], ours: &[ByUs]) -> Channel {
    let texts =
        (script.iter().map(|message| &*message.text).collect::<Vec<_>>(), ours.iter().map(|message| &*message.text).collect::<Vec<_>>());
    let paired = pairs::pair(&texts.0, &texts.1);
    let name = ours.first().map(|message| &message.channel).or(script.first().map(|message| &message.channel));
    let mut channel = Channel { channel: name.cloned().unwrap_or_default(), ..Channel::default() };
    for (number, other) in paired.same {
        let (script, ticketwire) = (script[number].clone(), ours[other].clone());
        let mut lines = names(&script, &ticketwire);
        if lines.is_empty() {
            channel.same.push(Same { script, ticketwire });
            continue;
        }
        lines.extend(ticketwire.text.lines().map(|line| format!("  {line}")));
        channel.different.push(Different { script, ticketwire, lines });
    }
    for (number, other) in paired.different {
        let (script, ticketwire) = (script[number].clone(), ours[other].clone());
        let mut lines = names(&script, &ticketwire);
        lines.extend(pairs::lines(&script.text, &ticketwire.text).into_iter().map(|(side, line)| format!("{} {line}", mark(side))));
        channel.different.push(Different { script, ticketwire, lines });
    }
    channel.different.sort_by_key(|different| different.script.line);
    channel.only_script = paired.only_script.iter().map(|number| script[*number].clone()).collect();
    channel.only_ticketwire = paired.only_ours.iter().map(|number| ours[*number].clone()).collect();
    channel
}

/// As whom each posts, where that differs.
fn names(script: &ByScript, ours: &ByUs) -> Vec<String> {
    match (&script.username, &ours.username) {
        (None, _) => Vec::new(),
        (script, ours) if script == ours => Vec::new(),
        (Some(script), ours) => {
            vec![format!("- username: {script}"), format!("+ username: {}", ours.as_deref().unwrap_or("the bot's own"))]
        }
    }
}

fn mark(side: Side) -> char {
    match side {
        Side::Both => ' ',
        Side::Script => '-',
        Side::Ours => '+',
    }
}

fn show(compared: &Compared, output: &mut Output) -> Ended {
    for channel in &compared.channels {
        output.line(&channel.channel)?;
        for same in &channel.same {
            output.line(&format!("  same             {}", same.ticketwire.text.lines().next().unwrap_or_default()))?;
        }
        for different in &channel.different {
            output.line(&format!("  different        line {}, {}", different.script.line, origin(&different.ticketwire)))?;
            different.lines.iter().try_for_each(|line| output.line(format!("    {line}").trim_end()))?;
        }
        for message in &channel.only_script {
            output.line(&format!("  only the script  line {}", message.line))?;
            quote(&message.text, output)?;
        }
        for message in &channel.only_ticketwire {
            output.line(&format!("  only Ticketwire  {}", origin(message)))?;
            quote(&message.text, output)?;
        }
    }
    let Counts { same, different, only_script, only_ticketwire } = compared.counts;
    Ok(output.line(&format!("{same} same, {different} different, {only_script} only the script, {only_ticketwire} only Ticketwire"))?)
}

fn origin(message: &ByUs) -> String {
    let rule = message.rule.as_ref().map(|rule| format!(" by rule `{rule}`")).unwrap_or_default();
    format!("{}{rule}", message.event_id)
}

fn quote(text: &str, output: &mut Output) -> Ended {
    Ok(text.lines().try_for_each(|line| output.line(format!("    | {line}").trim_end()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: ShadowWhich = ShadowWhich { since: None, until: None };

    fn ours(channel: &str, text: &str, username: Option<&str>) -> ByUs {
        let at = Timestamp::from_ms(0);
        ByUs { event_id: "e".into(), rule: None, at, username: username.map(str::to_owned), text: text.into(), channel: channel.into() }
    }

    #[test]
    fn a_line_that_is_no_message_is_named() {
        let good = r##"{"channel": "#docs", "text": "a", "ts": "1.2"}"##;
        for (bad, why) in [
            ("[]", "line 3 is no message"),
            (r##"{"channel": "#docs"}"##, "line 3 is no message: missing field `text`"),
            (r##"{"channel": "#docs", "text": "a", "at": "yesterday"}"##, "line 3: `yesterday` is no time"),
        ] {
            let err = read(&format!("{good}\n\n{bad}\n"), &ANY).expect_err("it cannot be read");
            assert!(err.starts_with(why), "{err}");
        }
        let timed = r##"{"channel": "#docs", "text": "b", "at": "2026-11-22T12:00:00+02:00"}"##;
        let at = Timestamp::parse("2026-11-22T10:00:00Z");
        for (since, until, expected) in [(at, at, 2), (at.map(|at| Timestamp::from_ms(at.ms() + 1)), None, 1), (None, None, 2)] {
            let read = read(&format!("{good}\n{timed}"), &ShadowWhich { since, until }).expect("it can be read");
            assert_eq!(read.len(), expected, "what has no time is always meant");
        }
    }

    #[test]
    fn channels_are_compared_each_by_itself() {
        let script = read(
            "{\"channel\": \"docs\", \"text\": \"a  b\"}\n{\"channel\": \"#ops\", \"text\": \"c\", \"username\": \"Bot\"}\n\
            {\"channel\": \"#ops\", \"text\": \"a b\"}\n{\"channel\": \"#ops\", \"text\": \"d\", \"username\": \"Bot\"}",
            &ANY,
        );
        let us = vec![ours("#docs", "a b", Some("Docs")), ours("#ops", "c", None), ours("#ops", "d", Some("Bot")), ours("#all", "e", None)];
        let compared = compare(script.expect("it can be read"), us);
        assert_eq!(compared.counts, Counts { same: 2, different: 1, only_script: 1, only_ticketwire: 1 });
        let names: Vec<&str> = compared.channels.iter().map(|channel| channel.channel.as_str()).collect();
        assert_eq!(names, ["#all", "#docs", "#ops"]);
        assert_eq!(compared.channels[2].different[0].lines, ["- username: Bot", "+ username: the bot's own", "  c"]);
    }
}
