//! Bodies that real sites sent, where somebody keeps them: `TICKETWIRE_CORPUS` names the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ticketwire::event::{Event, Kind};

use super::{events_through, published, schema};

struct Real {
    path: String,
    /// Of one site, as far as is known.
    owner: String,
    /// Sent by a Jira, not written or edited by hand.
    captured: bool,
    body: Vec<u8>,
}

fn real_bodies() -> Option<Vec<Real>> {
    let folder = PathBuf::from(std::env::var_os("TICKETWIRE_CORPUS")?);
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).ok()?;
    let read = |line: &str| {
        let path = line.split('\t').next()?.to_owned();
        let body = std::fs::read(folder.join(&path)).ok()?;
        let owner = path.split('/').nth(1)?.to_owned();
        Some(Real { captured: line.rsplit('\t').next()?.starts_with("captured"), path, owner, body })
    };
    Some(index.lines().skip(1).map(|line| read(line).unwrap_or_else(|| panic!("cannot read `{line}`"))).collect())
}

#[test]
#[expect(clippy::print_stderr, reason = "a person wants to see what real bodies became, or that there were none")]
fn real_bodies_become_events() {
    let Some(bodies) = real_bodies() else {
        return eprintln!("skipped: `TICKETWIRE_CORPUS` names no folder with an `INDEX.tsv`");
    };
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut seen: BTreeMap<(String, String), (Event, String, bool)> = BTreeMap::new();
    for real in &bodies {
        let events = events_through("site", &real.body, None);
        assert!(!events.is_empty(), "{}", real.path);
        assert!(events.iter().all(|event| event.partition_key == events[0].partition_key), "{}", real.path);
        for event in events {
            *kinds.entry(event.kind()).or_default() += 1;
            assert_ne!(event.kind(), Kind::Unrecognized, "{}", real.path);
            let wrong = schema::mismatches(&published(event.clone()));
            assert!(wrong.is_empty(), "{}: {wrong:#?}", real.path);
            let place = (real.owner.clone(), event.id.to_string());
            let Some((first, path, captured)) = seen.get(&place) else {
                seen.insert(place, (event, real.path.clone(), real.captured));
                continue;
            };
            // Twins, and captures of one event that lie there more than once.
            assert_eq!(event.kind(), first.kind(), "{} and {path}", real.path);
            if real.captured && *captured {
                assert_eq!(event.partition_key, first.partition_key, "{} and {path}", real.path);
            }
        }
    }
    for (kind, count) in &kinds {
        eprintln!("{count:>5} {kind}");
    }
    eprintln!("{:>5} bodies", bodies.len());
}
