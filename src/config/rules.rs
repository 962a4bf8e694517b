//! `[rule."NAME"]`: read and held against the sinks. What `when` and the templates mean is compiled elsewhere; each place is kept for that.

use std::collections::BTreeMap;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit, label};
use super::problems::Place;
use super::secrets::Reading;
use super::tree::{self, Step, members};
use super::wording::suggest;
use crate::deliver::{LookupSettings, RuleSettings, SendSettings};

/// A rule as it is written; rules keep the order of the files.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub place: Place,
    pub when: Option<String>,
    pub when_place: Place,
    pub jql: Option<String>,
    pub jql_place: Place,
    pub send: Vec<Send>,
    pub enabled: bool,
    pub lookup: BTreeMap<String, LookupSettings>,
    pub lookup_places: BTreeMap<String, Place>,
    /// No member of it was left out for a mistake: what is missing was never written.
    pub is_whole: bool,
}

impl Rule {
    /// The head of its section as TOML needs it.
    pub fn label(&self) -> String {
        label("rule", &self.name)
    }
}

/// One entry of a rule's `send`; `settings.to` names an existing sink where there are no problems.
#[derive(Debug, Clone)]
pub struct Send {
    pub settings: SendSettings,
    pub place: Place,
    places: BTreeMap<&'static str, Place>,
}

/// What a mistake in an entry of `send` may be about.
const SEND_MEMBERS: [&str; 6] = ["template", "blocks", "attachments", "channel", "settle", "thread"];

impl Send {
    /// Where a member stands; where the entry does if it has none of that name.
    pub fn place_of(&self, member: &str) -> &Place {
        self.places.get(member).unwrap_or(&self.place)
    }
}

pub(crate) fn read<'a>(section: &Section<'a>, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> Option<Rule> {
    fingerprint.add(section, &[]);
    fingerprint.mark(section);
    let before = reading.problems.findings().len();
    let (settings, rest) = fit::<RuleSettings>(section, &[], reading.sources, &mut reading.problems)?;
    let is_whole = reading.problems.findings().len() == before;
    let is_cut =
        |value| tree::get(value, &members(&["send"])).and_then(|send| send.get_ref().as_array()).is_none_or(|send| send.is_empty());
    if is_cut(&rest.value) && !is_cut(&section.value) {
        // Every entry was wrong and is reported; that the list is empty now would be reported in vain.
        return None;
    }
    let send = settings.send.into_iter().enumerate().map(|(index, settings)| {
        let place = |name: &str| {
            let path = [members(&["send"]), vec![Step::Entry(index)], members(&[name])].concat();
            tree::offset(&rest.value, &path)
        };
        let entry = place("to").unwrap_or(rest.offset);
        let places = SEND_MEMBERS.into_iter().filter_map(|name| Some((name, reading.sources.place(place(name)?))));
        Send { settings, place: reading.sources.place(entry), places: places.collect() }
    });
    let place_of = |name: &String| (name.clone(), rest.place(&members(&["lookup", name.as_str()]), reading.sources));
    let lookup_places = settings.lookup.keys().map(place_of).collect();
    Some(Rule {
        name: section.name.clone(),
        place: reading.sources.place(section.offset),
        when: settings.when,
        when_place: rest.place(&members(&["when"]), reading.sources),
        jql: settings.jql,
        jql_place: rest.place(&members(&["jql"]), reading.sources),
        send: send.collect(),
        enabled: settings.enabled,
        lookup: settings.lookup,
        lookup_places,
        is_whole,
    })
}

/// `names`: every name that a section bears, also of sections that could not be read.
pub(crate) fn check_targets(rules: &[Rule], names: &[&str], reading: &mut Reading<'_>) {
    for rule in rules {
        for send in &rule.send {
            let to = send.settings.to.as_str();
            if !names.contains(&to) {
                let message = format!("{} sends to `{to}`, and there is no such sink", rule.label());
                let hint = if names.is_empty() { format!("add `[sink.{to}]`") } else { suggest(to, names, "there are") };
                reading.problems.add(send.place.clone(), message, hint);
            }
        }
    }
}
