//! What every sink may have, and what two sinks must not.

use super::Files;

#[test]
fn any_sink_may_be_in_shadow_mode() {
    let text = "[sink.events]\ntype = \"file\"\npath = \"a\"\nshadow = true\n[sink.team]\ntype = \"slack\"\ntoken = \"x\"\nchannel = \"#a\"\n\
        [sink.tickets]\ntype = \"tickets\"\nshadow = false\n";
    let shadows = |environment: &[(&str, &str)]| {
        let config = Files::new(text).load(environment);
        (config.hash().to_owned(), config.sinks.iter().map(|sink| (sink.name.to_string(), sink.shadow)).collect::<Vec<_>>())
    };
    let named = |of: [bool; 3]| ["events", "team", "tickets"].into_iter().map(str::to_owned).zip(of).collect::<Vec<_>>();
    let (as_written, as_overridden) = (shadows(&[]), shadows(&[("TICKETWIRE__SINK__TEAM__SHADOW", "true")]));
    assert_eq!((as_written.1, as_overridden.1), (named([true, false, false]), named([true, true, false])));
    assert_ne!(as_written.0, as_overridden.0, "it is another configuration");
}

#[test]
fn what_cannot_be_meant_is_told() {
    let check = |text: &str, expected: &str| {
        let report = Files::new(text).report(&[]);
        assert!(report.contains(expected), "{report}");
    };
    let file = "[sink.events]\ntype = \"file\"\npath = \"a\"\n";
    check(&format!("{file}shadow = \"on\"\n"), "ticketwire.toml:4: `shadow` of `[sink.events]` is of the wrong type: a text");
    check(&format!("{file}shadw = true\n"), "did you mean `shadow`?");
    check(&format!("{file}keep = 3\n"), "ticketwire.toml:4: `keep` of `[sink.events]`: it says nothing without `rotate_at`");
    check(&format!("{file}rotate_at = \"1MiB\"\nkeep = 0\n"), "`keep` of `[sink.events]`: 0 files are too few or too many");
    check(&format!("{file}rotate_at = \"0B\"\n"), "`rotate_at` of `[sink.events]`: a file of no length");
    let other = "[sink.other]\ntype = \"file\"\npath = \"a.2\"\n";
    check(&format!("{file}rotate_at = \"1MiB\"\n{other}"), "`[sink.other]` writes to the same place as `[sink.events]`");
    check(&format!("{file}{other}"), "the configuration has 0 problems");
}
