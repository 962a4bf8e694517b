//! The house rules that no compiler checks: layers, sizes, names, words and documents. Reads the sources as text, in well under a second.
//!
//! Every finding says where, what, and what to do. It does not judge what clippy judges: long functions, `unwrap`, printing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The rooms and their layers. A room may use what lies in a lower layer, never a sister. The map with reasons: `ARCHITECTURE.md`.
const LAYERS: &[(&str, u8)] = &[
    ("setting", 0),
    ("clock", 0),
    ("backoff", 0),
    ("shutdown", 0),
    ("telemetry", 0),
    ("event", 1),
    ("jira", 2),
    ("queue", 2),
    ("render", 2),
    ("store", 2),
    ("sink", 3),
    ("receive", 4),
    ("deliver", 4),
    ("api", 4),
    ("simulate", 4),
    ("config", 5),
    ("app", 6),
    ("cli", 7),
];
/// Rooms that may use layer 0 only: the simulated Jira must not share what we misunderstand of the real one.
const ALONE: &[&str] = &["simulate"];

const LINES_MAX: usize = 500;
/// Flat tables that may be longer than `LINES_MAX`: path and reason.
const LONG_TABLES: &[(&str, &str)] = &[];
const OPENING_LINES_MAX: usize = 12;

/// Words that say nothing about what is inside; matched against each part of a name.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "utilities", "helper", "helpers", "manager", "managers", "handler", "handlers", "common", "misc", "types"];

/// The project names no host, no path of the machine that it was written on, and no tool that it was written with: they mean nothing to
/// whoever reads it elsewhere. Written in pieces so that this file is not its own finding.
const FOREIGN_WORDS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!(".lib", "rary"),
    concat!("acceptance/", "harness"),
    concat!("static.", "crates"),
    concat!("index.", "crates"),
    concat!("registry.", "npmjs"),
    concat!("files.", "pythonhosted"),
    concat!("deb.", "debian"),
    concat!("sub", "agent"),
    concat!("sub-", "agent"),
    concat!("language ", "model"),
    concat!("chat", "gpt"),
    concat!("open", "ai"),
    concat!("anth", "ropic"),
    concat!("cla", "ude"),
];
/// The same, but only as whole words.
const FOREIGN_WHOLE_WORDS: &[&str] = &[concat!("pro", "mpt"), concat!("pro", "mpts"), concat!("l", "lm"), concat!("l", "lms")];
/// Marks of work left undone, which need an issue's number behind them, as in `(#12)`.
const UNDONE: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
/// Attributes that hide a test or a warning, and what to write instead.
const HIDING: &[(&str, &str)] = &[
    (concat!("#[ig", "nore"), "run the test, or say aloud at run time why it is skipped"),
    (concat!("#[should_", "panic"), "assert on an error value"),
    (concat!("#[al", "low("), "write `#[expect(..., reason = \"...\")]`, which complains once it is not needed"),
];

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "deny.toml",
    "docs/guarantees.md",
    "docs/configuration.md",
    "docs/operate.md",
];
const COMMANDS_OF_README: &[&str] = &["cargo run --locked -- demo", "tests/run"];

#[test]
fn rooms_use_only_what_lies_below_them() {
    let mut findings = Findings::default();
    for file in rust_files(&["src"]) {
        let Some(room) = room_of(&file.path) else { continue };
        let Some(layer) = layer_of(&room) else {
            findings.add(&file.path, 1, format!("`{room}` has no layer: give it a row in `LAYERS` here and in ARCHITECTURE.md"));
            continue;
        };
        for (line, used) in rooms_used(&file) {
            if used == room {
                continue;
            }
            let what = match layer_of(&used) {
                None => format!("`crate::{used}` is no room"),
                Some(_) if ALONE.contains(&room.as_str()) && layer_of(&used) != Some(0) => {
                    format!("`{room}` may use layer 0 only, but uses `{used}`: do it without")
                }
                Some(other) if other > layer => {
                    format!("`{room}` (layer {layer}) uses `{used}` (layer {other}) above it: let `{used}` call, or hand the value in")
                }
                Some(other) if other == layer => {
                    format!(
                        "`{room}` uses its sister `{used}` (both in layer {layer}): move what they share below, or join them in a room above"
                    )
                }
                Some(_) => continue,
            };
            findings.add(&file.path, line, what);
        }
    }
    findings.none();
}

#[test]
fn the_map_of_rooms_is_complete() {
    let mut findings = Findings::default();
    let built = text_of("src/lib.rs");
    let built: BTreeSet<&str> =
        built.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")).map(|rest| rest.trim_end_matches(';')).collect();
    let known: BTreeSet<&str> = LAYERS.iter().map(|(room, _)| *room).collect();
    for room in built.symmetric_difference(&known) {
        findings.add("src/lib.rs", 1, format!("`{room}` stands here or in `LAYERS` of tests/tidy.rs: it belongs in both or neither"));
    }
    let map = text_of("ARCHITECTURE.md");
    for room in known {
        if !map.contains(&format!("`{room}`")) {
            findings.add("ARCHITECTURE.md", 1, format!("the room `{room}` is missing: say what it does and what always holds in it"));
        }
    }
    findings.none();
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut findings = Findings::default();
    for file in rust_files(&["src", "tests", "benches"]) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX && !LONG_TABLES.iter().any(|(path, _)| *path == file.path) {
            findings.add(&file.path, lines, format!("{lines} lines are more than {LINES_MAX}: move the file's second idea out"));
        }
        let opening = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        if opening == 0 {
            findings.add(&file.path, 1, "open the file with `//!`: what it is, what it promises, what it does not do");
        } else if opening > OPENING_LINES_MAX {
            findings.add(&file.path, opening, format!("more than {OPENING_LINES_MAX} lines of `//!`: keep what a reader needs first"));
        }
    }
    for (path, reason) in LONG_TABLES {
        if text_of(path).lines().count() <= LINES_MAX {
            findings.add(path, 1, format!("it is short enough now: take it out of `LONG_TABLES` ({reason})"));
        }
    }
    findings.none();
}

#[test]
fn names_say_what_is_inside() {
    let mut findings = Findings::default();
    let advice = "name it after what it holds or does";
    for file in rust_files(&["src", "tests", "benches"]) {
        for part in file.path.trim_end_matches(".rs").split(['/', '_', '-']) {
            if EMPTY_NAMES.contains(&part) {
                findings.add(&file.path, 1, format!("`{part}` says nothing: {advice}"));
            }
        }
        for (number, line) in code_lines(&file.text) {
            for name in declared_names(&line) {
                if words_of(&name).iter().any(|word| EMPTY_NAMES.contains(&word.as_str())) {
                    findings.add(&file.path, number, format!("`{name}` says nothing: {advice}"));
                }
            }
        }
    }
    findings.none();
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let mut findings = Findings::default();
    for file in text_files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            let lower = line.to_lowercase();
            let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
            let whole = FOREIGN_WHOLE_WORDS.iter().filter(|word| words.contains(word));
            for word in FOREIGN_WORDS.iter().filter(|word| lower.contains(*word)).chain(whole) {
                findings.add(&file.path, number, format!("`{word}` is about something else than this project: say it without"));
            }
        }
    }
    findings.none();
}

#[test]
fn nothing_is_left_undone_or_hidden() {
    let mut findings = Findings::default();
    for file in text_files() {
        let is_rust = file.path.ends_with(".rs");
        for (number, line) in (1..).zip(file.text.lines()) {
            // In Rust only comments count: a test's data may hold the word.
            let remark = if is_rust { line.find("//").map_or("", |at| line.get(at..).unwrap_or("")) } else { line };
            for mark in UNDONE.iter().filter(|mark| remark.contains(*mark)) {
                if !remark.contains(&format!("{mark}(#")) && !remark.contains(&format!("{mark} (#")) {
                    findings.add(&file.path, number, format!("`{mark}`: do it, or open an issue and write `{mark}(#12)` with its number"));
                }
            }
            for (attribute, instead) in HIDING.iter().filter(|(attribute, _)| is_rust && line.trim_start().starts_with(attribute)) {
                findings.add(&file.path, number, format!("`{attribute}`: {instead}"));
            }
        }
    }
    findings.none();
}

#[test]
fn the_documents_are_there_and_their_links_lead_somewhere() {
    let mut findings = Findings::default();
    for path in DOCUMENTS {
        if !root().join(path).is_file() {
            findings.add(path, 1, "it is missing: write it");
        }
    }
    let readme = text_of("README.md");
    for command in COMMANDS_OF_README.iter().filter(|command| !readme.contains(*command)) {
        findings.add("README.md", 1, format!("`{command}` is missing: it is how somebody begins"));
    }
    for file in text_files().into_iter().filter(|file| file.path.ends_with(".md")) {
        let place = root().join(&file.path);
        let directory = place.parent().expect("a file lies in a directory");
        for (number, line) in (1..).zip(file.text.lines()) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = link.split('#').next().unwrap_or("");
                if !path.is_empty() && !link.contains("://") && !directory.join(path).exists() {
                    findings.add(&file.path, number, format!("the link `{link}` leads nowhere: name a file that is there"));
                }
            }
        }
    }
    findings.none();
}

/// `docs/guarantees.md` names the tests that show each promise by their paths, so that `cargo test PATH` finds them.
#[test]
fn each_promise_names_tests_that_exist() {
    let mut findings = Findings::default();
    let files = rust_files(&["src", "tests"]);
    let text = text_of("docs/guarantees.md");
    let mut named = 0;
    for (number, line) in (1..).zip(text.lines()) {
        for test in line.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")) {
            named += 1;
            let (place, name) = test.rsplit_once("::").unwrap_or(("", test));
            let is_there = |file: &File| {
                let own = module_of(&file.path);
                (own == place || format!("{own}::tests") == place) && file.text.contains(&format!("fn {name}("))
            };
            if !files.iter().any(is_there) {
                findings.add("docs/guarantees.md", number, format!("no test has the path `{test}`: name one that shows this, or none"));
            }
        }
    }
    if named == 0 || !text.contains("Shown by") {
        findings.add("docs/guarantees.md", 1, "no promise names a test: write `Shown by` and the tests");
    }
    findings.none();
}

#[test]
fn the_reader_of_code_sees_paths_and_nothing_else() {
    let check = |path: &str, text: &str, expected: &[(usize, &str)]| {
        let used = rooms_used(&File { path: path.into(), text: text.into() });
        let expected: Vec<(usize, String)> = expected.iter().map(|(line, room)| (*line, (*room).to_owned())).collect();
        assert_eq!(used, expected, "{text}");
    };
    check("src/deliver/step.rs", "use crate::sink::Scope;\nfn f() { crate::queue::g() }", &[(1, "sink"), (2, "queue")]);
    check("src/deliver/step.rs", "use crate::{clock, store::{Store, rows}, event as e};", &[(1, "clock"), (1, "store"), (1, "event")]);
    check("src/deliver/step.rs", "use crate::{\n    clock::Clock,\n    jira,\n};", &[(2, "clock"), (3, "jira")]);
    check("src/deliver/step.rs", "// crate::app\n/* crate::app */ let t = \"crate::app\"; let r = r#\"\"crate::app\"#; let c = '\"';", &[]);
    check("src/deliver/step.rs", "fn f<'a>(x: &'a str) -> crate::app::X<'a> {}", &[(1, "app")]);
    check("src/deliver/step.rs", "use super::super::app::Running;", &[(1, "app")]);
    check("src/deliver/rules/compile.rs", "use super::super::settings::RuleSettings;", &[]);
    check("src/backoff.rs", "use super::clock::Clock;", &[(1, "clock")]);
}

/// Findings are collected, so that one run tells all of them.
#[derive(Default)]
struct Findings(String, usize);

impl Findings {
    fn add(&mut self, path: &str, line: usize, what: impl AsRef<str>) {
        self.1 += 1;
        writeln!(self.0, "  {path}:{line}: {}", what.as_ref()).expect("a string takes any text");
    }

    fn none(self) {
        assert!(self.1 == 0, "{} findings:\n{}", self.1, self.0);
    }
}

struct File {
    /// Against the root of the project, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn rust_files(places: &[&str]) -> Vec<File> {
    let mut files = read_all(places);
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(!files.is_empty(), "there are no Rust files in {places:?}: is this run from another place?");
    files
}

/// What people wrote: everything but what is generated by Cargo and what is no text.
fn text_files() -> Vec<File> {
    let mut files = read_all(&["src", "tests", "benches", "docs", "schemas", "deploy", ".ci"]);
    for entry in std::fs::read_dir(root()).expect("the root of the project is readable").flatten() {
        let path = entry.path();
        if path.is_file() && ![".git", "Cargo.lock"].iter().any(|name| entry.file_name() == *name) {
            read(&path, &mut files);
        }
    }
    files
}

fn read_all(places: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    let mut waiting: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { waiting.push(path) } else { read(&path, &mut files) }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read(path: &Path, files: &mut Vec<File>) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let path = path.strip_prefix(root()).expect("only what lies below the root is read");
    files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
}

fn layer_of(room: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == room).map(|(_, layer)| *layer)
}

/// `src/deliver/step.rs` and `src/backoff.rs` lie in rooms; `src/lib.rs` and `src/main.rs` do not.
fn room_of(path: &str) -> Option<String> {
    let room = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&room)).then(|| room.to_owned())
}

/// `src/deliver/step.rs` is `deliver::step`, `tests/it/scenario/once.rs` is `scenario::once`.
fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_start_matches("tests/it/");
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// Rooms that a file names by a path from the root of the crate, each with its line.
fn rooms_used(file: &File) -> Vec<(usize, String)> {
    let code = blank_comments_and_texts(&file.text);
    let supers_to_root = file.path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            names_after(&code, at + "crate::".len(), &mut used);
        }
    }
    let chain = "super::".repeat(supers_to_root);
    for (at, _) in code.match_indices(&chain) {
        let (before, after) = (&code[..at], at + chain.len());
        if !before.ends_with("super::") && !code[after..].starts_with("super::") {
            let mut found = Vec::new();
            names_after(&code, after, &mut found);
            // Inside an inline module one more `super` is its own file: only names of rooms can be meant otherwise.
            used.extend(found.into_iter().filter(|(_, name)| layer_of(name).is_some()));
        }
    }
    used
}

/// The name at a place, or the names of the group `{a, b::c, d::{e}}` that begins there.
fn names_after(code: &str, start: usize, used: &mut Vec<(usize, String)>) {
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    let name_at = |at: usize| -> String { code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    if !code[start..].starts_with('{') {
        used.push((line_of(start), name_at(start)));
        return;
    }
    let (mut depth, mut is_first) = (0_usize, false);
    for (offset, c) in code[start..].char_indices() {
        match c {
            '{' => (depth, is_first) = (depth + 1, depth == 0),
            '}' if depth == 1 => return,
            '}' => depth -= 1,
            ',' => is_first = depth == 1,
            _ if is_first && !c.is_whitespace() => {
                is_first = false;
                used.push((line_of(start + offset), name_at(start + offset)));
            }
            _ => {}
        }
    }
}

/// Lines of code with their numbers, without comments and texts.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    (1..).zip(blank_comments_and_texts(text).lines().map(str::to_owned)).collect()
}

/// The text with comments, strings and character literals taken out; lines stay where they are.
fn blank_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

/// How many bytes the comment or literal takes that begins here; 0 if none does.
fn literal_or_comment(rest: &str) -> usize {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return to("*/", 2);
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return to(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    let quote = match rest.chars().next() {
        Some('"') => '"',
        // `'a` is a lifetime unless a quote follows what may be one character.
        Some('\'') if rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\'') => '\'',
        _ => return 0,
    };
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Names of modules and types that a line declares.
fn declared_names(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let declares = |word: &str| ["mod", "struct", "enum", "trait"].contains(&word);
    words.windows(2).filter(|pair| declares(pair[0])).map(|pair| pair[1].to_owned()).collect()
}

/// `RuleSettings` and `rule_settings` are both of two words.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words
}
