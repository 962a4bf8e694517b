//! Reads the files of a configuration: the named one and those its `include` names.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problems::{Place, Problems};
use super::sources::Sources;

/// The first file is the one that was named. `watched`: what would be another configuration if it changed.
pub(crate) fn read(path: &Path, sources: &mut Sources, watched: &mut Vec<PathBuf>, problems: &mut Problems) {
    watched.push(path.to_owned());
    let Some(text) = read_one(path, Place::new(shown(path), 0), problems) else { return };
    let (patterns, offsets) = includes(&text);
    let start = sources.add_file(&shown(path), text);
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut seen = vec![path.to_owned()];
    for (pattern, offset) in patterns.iter().zip(offsets) {
        let place = sources.place(start + offset);
        let Some(found) = matching(directory, pattern, &place, problems) else { continue };
        if pattern.contains('*') {
            watched.extend(directory.join(pattern).parent().map(Path::to_owned));
        }
        for file in found {
            if seen.contains(&file) {
                continue;
            }
            watched.push(file.clone());
            if let Some(text) = read_one(&file, place.clone(), problems) {
                sources.add_file(&shown(&file), text);
            }
            seen.push(file);
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn read_one(path: &Path, place: Place, problems: &mut Problems) -> Option<String> {
    std::fs::read_to_string(path)
        .map_err(|err| {
            problems.add(place, format!("`{}` cannot be read: {err}", path.display()), "name a file that exists and is readable, in UTF-8");
        })
        .ok()
}

/// The patterns of `include` and where each stands. What is no list of texts is told later, with the other mistakes.
fn includes(text: &str) -> (Vec<String>, Vec<usize>) {
    let (table, _) = DeTable::parse_recoverable(text);
    let Some(list) = table.get_ref().get("include").and_then(|value| value.get_ref().as_array()) else { return Default::default() };
    list.iter().filter_map(|entry| Some((entry.get_ref().as_str()?.to_owned(), entry.span().start))).unzip()
}

/// Sorted by name. One `*` may stand in the file name, and then nothing need be there.
fn matching(directory: &Path, pattern: &str, place: &Place, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    let whole = directory.join(pattern);
    let (parent, name) = (whole.parent()?, whole.file_name()?.to_str()?);
    let Some((before, after)) = name.split_once('*') else { return Some(vec![whole]) };
    if after.contains('*') || pattern.matches('*').count() > 1 {
        problems.add(
            place.clone(),
            format!("`include`: `{pattern}` has more than one `*`"),
            "one `*` in the name of the file, as in `rules.d/*.toml`",
        );
        return None;
    }
    let readable = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let Ok(entries) = std::fs::read_dir(readable) else { return Some(Vec::new()) };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(parent.join(entry.ok()?.file_name())))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after) && path.is_file()
        })
        .collect();
    found.sort();
    Some(found)
}
