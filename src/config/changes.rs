//! What one configuration says otherwise than another, and which of that a running service cannot take up.

use std::collections::BTreeSet;

use super::fit::label;
use super::{Config, Sink};
use crate::setting::{ConnectionName, SinkName};

/// Sections that a running service cannot change, because they name what was opened at the start.
const FIXED: [&str; 4] = ["`[queue]`", "`[store]`", "`[receiver]`", "`[traces]`"];
/// Members of these sections that can change all the same.
const LIVE: [(&str, &str); 2] = [("`[receiver]`", "allow"), ("`[receiver]`", "trusted_proxies")];

/// The difference of two configurations, secrets and overriding variables included.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Section and member.
    members: BTreeSet<(String, String)>,
    /// Sinks whose rules differ, or stand in another order.
    ruled: BTreeSet<SinkName>,
    fixed: Vec<String>,
    is_none: bool,
}

impl Changes {
    pub(crate) fn between(old: &Config, new: &Config) -> Self {
        let members = old.marks.differences(&new.marks);
        let rules_of = |config: &Config, sink: &Sink| -> Vec<String> {
            let names_it = |rule: &&super::Rule| rule.send.iter().any(|send| send.settings.to == sink.name);
            config.rules.iter().filter(names_it).map(|rule| rule.name.clone()).collect()
        };
        let differs = |kind: &str, name: &str| members.iter().any(|(section, _)| *section == label(kind, name));
        let is_ruled = |sink: &&Sink| {
            let names = rules_of(new, sink);
            names != rules_of(old, sink) || names.iter().any(|name| differs("rule", name))
        };
        let ruled = new.sinks.iter().filter(is_ruled).map(|sink| sink.name.clone()).collect();
        let sites = old.connections.iter().map(|connection| label("connection", connection.name.as_str()));
        let stays = |site: &String| !members.contains(&(site.clone(), String::new()));
        let sites: Vec<String> = sites.filter(stays).collect();
        let is_fixed = |(section, member): &&(String, String)| {
            let place = (section.as_str(), member.as_str());
            match place {
                ("", _) | ("`[admin]`", "listen") => true,
                (_, "url") if sites.contains(section) => true,
                _ => FIXED.contains(&place.0) && !LIVE.contains(&place),
            }
        };
        let named = |(section, member): &(String, String)| match section.as_str() {
            "" => format!("`{member}`"),
            section => format!("`{member}` of {section}"),
        };
        let fixed = members.iter().filter(is_fixed).map(named).collect();
        let is_none = members.is_empty() && old.hash() == new.hash();
        Self { members, ruled, fixed, is_none }
    }

    /// What a running service cannot take up, by name: it needs a restart, or is never to change.
    pub fn fixed(&self) -> &[String] {
        &self.fixed
    }

    pub fn are_none(&self) -> bool {
        self.is_none
    }

    /// Whether the sink itself is another one, its rules left aside.
    pub fn concern_sink(&self, name: &SinkName) -> bool {
        self.concern("sink", name.as_str())
    }

    /// Whether other rules send to the sink than before.
    pub fn concern_rules_of(&self, name: &SinkName) -> bool {
        self.ruled.contains(name)
    }

    pub fn concern_connection(&self, name: &ConnectionName) -> bool {
        self.concern("connection", name.as_str())
    }

    /// Whether what Jira is asked with is another, for any connection: its address, its credential, or that it is there at all.
    pub fn concern_jira(&self) -> bool {
        let is_site = |section: &str| section.starts_with("`[connection.");
        self.members.iter().any(|(section, member)| is_site(section) && member != "webhook")
    }

    pub fn concern_delivery(&self) -> bool {
        self.concern("deliver", "")
    }

    fn concern(&self, kind: &str, name: &str) -> bool {
        let label = label(kind, name);
        self.members.iter().any(|(section, _)| *section == label)
    }

    /// Sections that differ, as they stand in the file.
    pub fn sections(&self) -> BTreeSet<&str> {
        self.members.iter().map(|(section, _)| section.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
data_dir = "d"
[connection.acme]
url = "https://acme.example"
auth = { type = "pat", token = "first" }
webhook = { proof = "none" }
[sink.events]
type = "file"
path = "a"
[sink.other]
type = "file"
path = "b"
[rule.one]
when = 'event.kind == "issue.created"'
send = [{ to = "events" }]
[rule.two]
when = 'event.kind == "issue.deleted"'
send = [{ to = "events" }]
"#;

    fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        std::fs::write(&path, text).expect("a file");
        Config::load(Some(&path), []).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn changes(edit: impl FnOnce(&str) -> String) -> Changes {
        config(BEFORE).changes(&config(&edit(BEFORE)))
    }

    #[test]
    fn what_cannot_change_live_is_named() {
        for (from, to, named) in [
            ("data_dir = \"d\"", "data_dir = \"e\"", "`data_dir`"),
            ("[connection.acme]", "[queue]\nname = \"other\"\n[connection.acme]", "`name` of `[queue]`"),
            ("[connection.acme]", "[store]\nconnections = 3\n[connection.acme]", "`connections` of `[store]`"),
            ("[connection.acme]", "[receiver]\nlisten = \"127.0.0.1:1\"\n[connection.acme]", "`listen` of `[receiver]`"),
            ("[connection.acme]", "[admin]\nlisten = \"127.0.0.1:1\"\n[connection.acme]", "`listen` of `[admin]`"),
            ("[connection.acme]", "[traces]\nsample_ratio = 0.5\n[connection.acme]", "`sample_ratio` of `[traces]`"),
            ("https://acme.example", "https://moved.example", "`url` of `[connection.acme]`"),
        ] {
            let changes = changes(|before| before.replacen(from, to, 1));
            assert_eq!(changes.fixed(), [named]);
        }
        assert!(changes(str::to_owned).are_none());
        assert!(changes(|before| format!("# a comment\n{before}")).are_none());
    }

    #[test]
    fn only_what_changed_is_concerned() {
        let name = |text: &str| text.parse::<SinkName>().expect("a name");
        let (events, other) = (name("events"), name("other"));
        let of = |changes: &Changes| {
            let sink = |name| (changes.concern_sink(name), changes.concern_rules_of(name));
            (sink(&events), sink(&other), changes.concern_jira())
        };
        let nothing = (false, false);
        for (what, from, to, expected) in [
            ("a path", "path = \"b\"", "path = \"c\"", (nothing, (true, false), false)),
            ("shadow mode", "path = \"b\"", "path = \"b\"\nshadow = true", (nothing, (true, false), false)),
            ("a rule", "issue.deleted", "issue.updated", ((false, true), nothing, false)),
            ("a credential", "first", "second", (nothing, nothing, true)),
            ("a proof", "proof = \"none\"", "token = \"door\"", (nothing, nothing, false)),
            ("another name for a rule", "rule.one", "rule.three", ((false, true), nothing, false)),
            ("where a rule sends", "[{ to = \"events\" }]", "[{ to = \"other\" }]", ((false, true), (false, true), false)),
        ] {
            let changes = changes(|before| before.replacen(from, to, 1));
            assert_eq!(of(&changes), expected, "{what}");
            assert!(changes.fixed().is_empty() && !changes.are_none(), "{what}: {:?}", changes.fixed());
        }
        let swapped = changes(|before| {
            let (rest, second) = before.split_once("[rule.two]").expect("a rule");
            rest.replace("[rule.one]", &format!("[rule.two]{second}[rule.one]"))
        });
        assert_eq!(of(&swapped), ((false, true), nothing, false), "the order of rules decides");
        let removed = changes(|before| before.replace("[sink.other]\ntype = \"file\"\npath = \"b\"\n", ""));
        assert!(removed.concern_sink(&other) && removed.fixed().is_empty());
        let gone = changes(|before| {
            let (start, rest) = before.split_once("[connection.acme]").expect("a connection");
            format!("{start}{}", rest.split_once("[sink.events]").map_or("", |(_, rest)| rest))
                .replace("data_dir = \"d\"\n", "data_dir = \"d\"\n[sink.events]")
        });
        assert!(gone.concern_jira() && gone.fixed().is_empty(), "a connection may go: {:?}", gone.fixed());
    }
}
