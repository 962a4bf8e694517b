//! `lookup` of a rule: read-only questions to Jira by path, whose answers its templates show. Checked and compiled when it is loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::names::{self, Names};
use super::open_paths::is_open;
use super::settings::LookupSettings;
use crate::render::{PathTemplate, RenderError};
use crate::setting::PathSuffix;

/// Each costs a request for every message.
const LOOKUPS_MAX: usize = 4;

pub(crate) struct Lookup {
    pub(crate) name: String,
    path: PathTemplate,
    /// As it is written, without its query, for people.
    pub(crate) shown: String,
    /// Its author answers for what it shows.
    unguarded: bool,
}

/// What is wrong with the lookup of this name, and what to do.
pub(super) type Wrong = (String, (String, String));

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").field("name", &self.name).field("path", &self.shown).finish_non_exhaustive()
    }
}

impl Lookup {
    fn compile(name: &str, settings: &LookupSettings, names: &Names) -> Result<Self, (String, String)> {
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            let hint = "begin with a lower-case letter, and use such letters, digits and `_`: templates call it `lookup.NAME`";
            return Err((format!("`lookup.{name}`: `{name}` is not a name"), hint.into()));
        }
        let known = |path: &[&str]| path.first().is_none_or(|root| !names::is_template_only(root)) && names.check(path).is_ok();
        let path = PathTemplate::compile(settings.path(), &known).map_err(|err| (format!("`lookup.{name}`: {err}"), err.hint.clone()))?;
        let shown = settings.path().split('?').next().unwrap_or_default().to_owned();
        Ok(Self { name: name.to_owned(), path, shown, unguarded: settings.is_unguarded() })
    }

    /// The member paths that its path names.
    pub(crate) fn references(&self) -> Vec<Vec<String>> {
        self.path.references()
    }

    /// Whether its answer may go to a sink that is not cleared for everything.
    pub(crate) fn may_show_to_all(&self) -> bool {
        self.unguarded || is_open(&self.path.outline())
    }

    /// None: there is nothing to ask for.
    pub(crate) fn path(&self, context: &Value) -> Result<Option<PathSuffix>, RenderError> {
        self.path.render(context)
    }
}

/// In the order of their names; what is wrong with the others is told.
pub(super) fn compile(settings: &BTreeMap<String, LookupSettings>, names: &Names) -> (Vec<Arc<Lookup>>, Vec<Wrong>) {
    let (mut compiled, mut wrong) = (Vec::new(), Vec::new());
    for (name, settings) in settings {
        match Lookup::compile(name, settings, names) {
            Ok(lookup) => compiled.push(Arc::new(lookup)),
            Err(what) => wrong.push((name.clone(), what)),
        }
    }
    if let Some(name) = settings.keys().nth(LOOKUPS_MAX) {
        let message =
            format!("the rule has {} lookups, more than {LOOKUPS_MAX}: each is a request to Jira for every message", settings.len());
        wrong.push((name.clone(), (message, "make several rules, or ask for less".into())));
    }
    (compiled, wrong)
}

/// Why a rule that shows this to a sink without full clearance is refused.
pub(super) fn unguarded(lookup: &Lookup, sink: &str) -> (String, String) {
    let message =
        format!("`lookup.{}` may show what `{sink}` is not cleared for: what `{}` answers is not guarded", lookup.name, lookup.shown);
    let hint = format!(
        "clear the sink for everything, or write `{} = {{ path = \"...\", unguarded = true }}`: then everybody there sees what our account sees, \
         restricted issues, comments and notes too",
        lookup.name
    );
    (message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::{LookupTable, RulePart, RuleSettings, Rules, SendSettings, SinkTraits};
    use crate::render::Dialect;
    use crate::setting::SinkName;

    const WATCHERS: &str = "/rest/api/3/issue/{{ issue.id }}/watchers";
    const COMMENTS: &str = "/rest/api/3/issue/{{ issue.id }}/comment";

    /// What is wrong with a rule of these lookups and this template, for a sink that is cleared for everything or for nothing.
    fn wrong(when: &str, lookups: &[(&str, LookupSettings)], template: &str, is_cleared: bool) -> Vec<String> {
        let send = SendSettings { template: Some(template.to_owned()), ..SendSettings::to("team".parse().expect("a name")) };
        let lookup = lookups.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone())).collect();
        let settings = RuleSettings { lookup, ..RuleSettings::new(when, vec![send]) };
        let dialect = Some(Dialect::SlackMrkdwn);
        let traits = |_: &SinkName| Some(SinkTraits { dialect, target: Some("#a".into()), has_threads: true, is_cleared });
        let line = |error: &crate::deliver::RuleError| match &error.part {
            RulePart::Lookup(name) => format!("at {name}: {}; {}", error.message, error.hint),
            _ => format!("{}; {}", error.message, error.hint),
        };
        match Rules::compile(&[("one".to_owned(), settings)], &traits, &Names::of_events()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(line).collect(),
        }
    }

    fn plain(path: &str) -> LookupSettings {
        LookupSettings::Path(path.to_owned())
    }

    fn unguarded(path: &str) -> LookupSettings {
        LookupSettings::Table(LookupTable { path: path.to_owned(), unguarded: true })
    }

    #[test]
    fn what_cannot_be_asked_or_shown_is_told_at_load() {
        let shown = "{{ lookup.x }}";
        for (when, name, settings, template, is_cleared, expected) in [
            ("true", "x", plain(WATCHERS), shown, false, ""),
            ("true", "x", plain(WATCHERS), "{{ lookup.x.watchers[0].displayName }}", false, ""),
            ("true", "x", plain(WATCHERS), "{% for one in lookup['x'].watchers %}{{ one.name }}{% endfor %}", false, ""),
            ("true", "x", plain(WATCHERS), "{{ lookup }}", false, ""),
            ("true", "x_2", plain(WATCHERS), "{{ lookup.x_2 }}{{ watchers }}{{ parent.key }}", false, ""),
            ("true", "x", plain(COMMENTS), shown, true, ""),
            ("true", "x", unguarded(COMMENTS), shown, false, ""),
            ("true", "x", plain(COMMENTS), shown, false, "at x: `lookup.x` may show what `team` is not cleared for"),
            ("true", "x", plain(COMMENTS), shown, false, "then everybody there sees what our account sees"),
            ("true", "X", plain(WATCHERS), "x", false, "at X: `lookup.X`: `X` is not a name"),
            ("true", "1x", plain(WATCHERS), "x", false, "is not a name"),
            ("true", "x-y", plain(WATCHERS), "x", false, "is not a name"),
            ("true", "x", plain("https://evil.example/"), shown, true, "at x: `lookup.x`: the path does not begin with `/rest/`"),
            ("true", "x", plain("/rest/api/{{ isue.id }}"), shown, true, "at x: `lookup.x`: line 1: unknown name `isue.id`"),
            ("true", "x", plain("/rest/api/{{ lookup.x }}"), shown, true, "unknown name `lookup.x`"),
            ("true", "x", plain("/rest/api/{{ parent.id }}"), shown, true, "unknown name `parent.id`"),
            ("true", "x", plain(WATCHERS), "{{ lookup.y }}", false, "unknown name `lookup.y`"),
            ("true", "x", plain(WATCHERS), "x", false, "at x: no template of the rule shows `lookup.x`"),
            ("lookup.x != null", "x", plain(WATCHERS), shown, false, "`when` cannot use `lookup`"),
            ("parent.key == 'A'", "x", plain(WATCHERS), shown, false, "`when` cannot use `parent`"),
            ("size(watchers) > 1", "x", plain(WATCHERS), shown, false, "{% if lookup.NAME %}"),
        ] {
            let told = wrong(when, &[(name, settings)], template, is_cleared);
            assert_eq!(told.is_empty(), expected.is_empty(), "{name} {template}: {told:?}");
            assert!(told.iter().all(|line| line.contains(expected)), "{expected}: {told:?}");
        }
        assert!(wrong("true", &[], "{{ lookup.x }}", true)[0].contains("unknown name `lookup.x`"));
        let five: Vec<(&str, LookupSettings)> = ["a", "b", "c", "d", "e"].into_iter().map(|name| (name, plain(WATCHERS))).collect();
        let told = wrong("true", &five, "{{ lookup }}", true);
        assert!(told.len() == 1 && told[0].starts_with("at e: the rule has 5 lookups, more than 4"), "{told:?}");
    }

    #[test]
    fn only_what_a_template_names_is_asked() {
        let settings = [("a".to_owned(), plain(WATCHERS)), ("b".to_owned(), plain(COMMENTS))].into();
        let (lookups, mistakes) = compile(&settings, &Names::of_events());
        assert!(mistakes.is_empty());
        let asks = |references: &[&str]| {
            let paths: Vec<Vec<String>> = references.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
            let spec = super::super::extras::ExtrasSpec::of(&paths, &lookups);
            let names: Vec<String> = spec.lookups().iter().map(|lookup| lookup.name.clone()).collect();
            (names.join(" "), spec.is_any(), spec.references().iter().map(|path| path.join(".")).collect::<Vec<_>>().join(" "))
        };
        let told = |names: &str, is_any, paths: &str| (names.to_owned(), is_any, paths.to_owned());
        assert_eq!(asks(&["issue.key"]), told("", false, ""));
        assert_eq!(asks(&["lookup.b.comments"]), told("b", true, "issue.id"));
        assert_eq!(asks(&["lookup"]), told("a b", true, "issue.id issue.id"));
        assert_eq!(asks(&["watchers"]), told("", true, ""));
        assert_eq!(asks(&["parent.summary"]), told("", true, "issue.parent"));
    }
}
