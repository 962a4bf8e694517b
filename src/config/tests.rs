//! The file as a whole: what a good one becomes.

mod reports;
mod schema;
mod sinks;
mod store;
mod traces;

use std::path::Path;

use super::*;

/// A directory with a `ticketwire.toml` and perhaps more.
struct Files(tempfile::TempDir);

impl Files {
    fn new(text: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        files.add("ticketwire.toml", text)
    }

    fn add(self, name: &str, text: &str) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("writing a file");
        self
    }

    fn draft(&self, environment: &[(&str, &str)]) -> Draft {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::draft(Some(&self.0.path().join("ticketwire.toml")), environment)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Config {
        self.draft(environment).finish().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The report, with paths as seen from the directory.
    fn report(&self, environment: &[(&str, &str)]) -> String {
        let directories = [self.0.path().to_owned(), std::env::current_dir().expect("a directory")];
        let report = self.draft(environment).problems.to_string();
        directories.iter().fold(report, |report, directory| report.replace(&format!("{}/", directory.display()), ""))
    }
}

#[test]
fn a_file_of_nothing_but_slips_is_told_about_at_once() {
    let slips = "{\"content\":".repeat(6_000);
    let files = Files::new(&format!("[rule.one]\nwhen = '{slips}\nsend = [\":{slips}\n"));
    let begun = tokio::time::Instant::now();
    assert_eq!(files.draft(&[]).problems.findings().len(), 3, "one for each line and one for the end");
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[test]
fn places_are_kept_for_what_is_compiled_later() {
    let files = Files::new(
        r#"
[sink.team]
type = "slack"
token = "x"
channel = "docs"
[rule."b first"]
when = """
true"""
send = [
  { to = "team" },
  { wrong = 1, to = "team", template = "x",
    blocks = [{ type = "divider" }] },
]
[rule.a]
send = [{ to = "team" }]
when = "kindd"
enabled = false
"#,
    );
    let Draft { config, mut problems } = files.draft(&[]);
    let lines: Vec<_> = config.rules.iter().map(|rule| (rule.name.as_str(), rule.place.line, rule.when_place.line, rule.enabled)).collect();
    assert_eq!(lines, [("b first", 6, 7, true), ("a", 14, 16, false)]);
    let sends: Vec<_> =
        config.rules[0].send.iter().map(|send| (send.place.line, send.place_of("template").line, send.place_of("blocks").line)).collect();
    assert_eq!(sends, [(10, 10, 10), (11, 11, 12)]);
    problems.add(config.rules[1].when_place.clone(), "`kindd` is not known", "did you mean `kind`?");
    let lines: Vec<_> = problems.findings().iter().map(|finding| finding.place.line).collect();
    assert_eq!(lines, [11, 16]);
    assert!(Draft { config, problems }.finish().is_err());
}

#[test]
fn without_a_file_there_are_defaults_and_variables() {
    let config = Config::load(None, []).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.data_dir, std::env::current_dir().expect("a directory").join("ticketwire-data"));
    assert_eq!(
        (config.receiver.listen.to_string().as_str(), config.admin.listen.to_string().as_str()),
        ("127.0.0.1:8080", "127.0.0.1:9080")
    );
    assert_eq!((config.queue.url.as_str(), config.queue.name.as_str(), config.queue.embedded.lanes.get()), ("embedded:", "ticketwire", 16));
    assert_eq!((config.deliver.max_tries, config.deliver.window, config.store.url.as_str()), (6, 16, "sqlite:"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    let environment =
        [("TICKETWIRE__RECEIVER__LISTEN", "127.0.0.1:1"), ("TICKETWIRE__DATA_DIR", "/srv/wire"), ("TICKETWIRE__QUEUE__LANES", "4")];
    let config = Config::load(None, environment.map(|(name, value)| (name.to_owned(), value.to_owned()))).expect("good variables");
    assert_eq!(config.receiver.listen.to_string(), "127.0.0.1:1");
    assert_eq!((config.data_dir.as_path(), config.queue.embedded.lanes.get()), (Path::new("/srv/wire"), 4));
}

const SITE: &str = r#"
data_dir = "/srv/wire"
[store]
url = "sqlite:tickets.db"
[connection.acme]
url = "https://acme.example/"
auth = { type = "pat", token = { env = "ACME_TOKEN" } }
webhook = { secrets = [{ env = "HOOK_1" }, { file = "hook-2" }] }
[sink.my-team]
type = "slack"
token = "xoxb-1"
[sink.events]
type = "file"
path = "events.jsonl"
clearance = { security_levels = ["Staff"] }
[rule.all]
when = "true"
send = [{ to = "my-team", channel = "all" }]
"#;

const GIVEN: [(&str, &str); 2] = [("ACME_TOKEN", "pat-1"), ("HOOK_1", "hook-1-of-the-tests")];

/// The site with its secret file in a directory of the test's own.
fn site() -> Files {
    let files = Files::new("").add("data/hook-2", "hook-2-of-the-tests\n");
    let text = SITE.replace("/srv/wire", &files.0.path().join("data").display().to_string());
    files.add("ticketwire.toml", &text)
}

#[test]
fn secrets_and_paths_are_resolved() {
    let files = site();
    let config = files.load(&GIVEN);
    let data_dir = files.0.path().join("data");
    let connection = &config.connections[0];
    assert_eq!((connection.name.as_str(), connection.url.as_str(), connection.place.line), ("acme", "https://acme.example", 5));
    assert!(matches!(&connection.auth, Some(crate::jira::Auth::Pat { token }) if token.expose() == "pat-1"));
    let secrets: Vec<_> = connection.proof.secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, ["hook-1-of-the-tests", "hook-2-of-the-tests"]);
    assert_eq!(config.store.url, format!("sqlite:{}", data_dir.join("tickets.db").display()));
    let SinkSettings::File(file) = &config.sinks[1].settings else { panic!("{:?}", config.sinks[1]) };
    assert_eq!(file.path, data_dir.join("events.jsonl"));
    assert_eq!(config.sinks[1].clearance.security_levels, ["Staff"]);
    assert!(!config.sinks[1].clearance.restricted_comments);
    assert!(!format!("{config:?}").contains("-1\""), "{config:?}");
    let warnings: Vec<_> = config.warnings.iter().map(|warning| (warning.place.line, warning.message.as_str())).collect();
    assert_eq!(warnings, [(11, "`token` of `[sink.my-team]` stands in the file itself")]);
}

#[test]
fn the_environment_overrides_by_path() {
    let environment = [
        GIVEN[0],
        GIVEN[1],
        ("TICKETWIRE__SINK__MY_TEAM__TOKEN", "12345"),
        ("TICKETWIRE__SINK__EVENTS__CLEARANCE__INTERNAL_COMMENTS", "true"),
        ("TICKETWIRE__CONNECTION__ACME__AUTH__TOKEN", "0x10"),
        ("TICKETWIRE__CONNECTION__ACME__WEBHOOK__SECRETS", "[{ env = \"HOOK_1\" }]"),
        ("TICKETWIRE_LOG", "debug"),
    ];
    let config = site().load(&environment);
    let SinkSettings::Slack(slack) = &config.sinks[0].settings else { panic!("{:?}", config.sinks[0]) };
    assert_eq!(slack.token.as_ref().map(|token| resolved(token).expose().to_owned()).as_deref(), Some("12345"));
    assert!(config.sinks[1].clearance.internal_comments && config.sinks[1].clearance.security_levels == ["Staff"]);
    assert!(matches!(&config.connections[0].auth, Some(crate::jira::Auth::Pat { token }) if token.expose() == "0x10"));
    assert_eq!(config.connections[0].proof.secrets.len(), 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_hash_follows_what_is_configured() {
    let config = site().load(&GIVEN);
    let files = Files::new(&SITE.replace("{ file = \"hook-2\" }", "{ env = \"HOOK_1\" }"));
    let first = files.load(&GIVEN);
    let check = |text: String, environment: &[(&str, &str)], same: bool| {
        let second = files.0.path().join("second.toml");
        std::fs::write(&second, &text).expect("writing it");
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let hash = Config::load(Some(&second), environment).unwrap_or_else(|problems| panic!("{problems}")).hash;
        assert_eq!(hash == first.hash, same, "{text}");
    };
    let text = std::fs::read_to_string(files.0.path().join("ticketwire.toml")).expect("reading it");
    check(text.clone(), &[("ACME_TOKEN", "another"), ("HOOK_1", "another")], true);
    check(text.replace("xoxb-1", "xoxb-2"), &GIVEN, true);
    check(format!("# a comment\n{}", text.replace(" = ", "=")), &GIVEN, true);
    check(text.replace("HOOK_1", "ACME_TOKEN"), &GIVEN, false);
    check(text.replace("when = \"true\"", "when = \"false\""), &GIVEN, false);
    let overridden = [GIVEN[0], GIVEN[1], ("TICKETWIRE__RECEIVER__MAX_BODY", "1MiB")];
    check(text, &overridden, false);
    assert_ne!(config.hash(), first.hash());
    assert!(first.hash().len() == 12 && first.hash().bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", first.hash());
}

#[cfg(feature = "amqp")]
#[test]
fn the_url_alone_chooses_the_queue_and_shows_no_password() {
    let text = "[queue]\nurl = \"amqps://wire:hunter2@rabbit.example/jira\"\nlanes = 4\nca_file = \"ca.pem\"";
    let config = Files::new(text).load(&[]);
    let broker = config.queue.amqp.as_ref().expect("a RabbitMQ");
    assert_eq!(broker.password.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!((config.queue.url.as_str(), config.queue.lanes.get()), ("amqps://wire@rabbit.example/jira", 4));
    assert!(broker.ca_file.as_ref().is_some_and(|path| path.is_absolute()));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(config.warnings.iter().any(|warning| warning.message.contains("holds a password")), "{:?}", config.warnings);

    // The password is no part of the hash, and from a variable it stands in no file.
    let other = Files::new(&text.replace("hunter2", "hunter3")).load(&[]);
    assert_eq!(other.hash(), config.hash());
    let given = Files::new("[queue]\nusername = \"wire\"\npassword = { env = \"PASSWORD\" }")
        .load(&[("TICKETWIRE__QUEUE__URL", "amqp://rabbit.example"), ("PASSWORD", "hunter2")]);
    assert_eq!(given.queue.amqp.as_ref().and_then(|broker| broker.password.as_ref()).map(Secret::expose), Some("hunter2"));
    assert_eq!(given.warnings, []);
}

#[cfg(feature = "kafka")]
#[test]
fn a_list_of_hosts_is_a_kafka() {
    let text =
        "[queue]\nurl = \"kafka://a.example:1,b.example\"\nusername = \"wire\"\npassword = { env = \"PASSWORD\" }\ninstance = \"one\"";
    let config = Files::new(text).load(&[("PASSWORD", "hunter2")]);
    let broker = config.queue.kafka.as_ref().expect("a Kafka");
    assert_eq!(broker.servers, ["a.example:1", "b.example:9092"]);
    assert_eq!((config.queue.url.as_str(), broker.instance.as_deref()), ("kafka://a.example:1,b.example", Some("one")));
    assert_eq!(broker.login.as_ref().map(|login| login.password.expose()), Some("hunter2"));
    assert!(config.queue.amqp.is_none() && !format!("{config:?}").contains("hunter2"));
    assert!(config.warnings.iter().any(|warning| warning.message.contains("goes over the network as it is")), "{:?}", config.warnings);
    assert!(Files::new("[queue]\nurl = \"kafka://a.example\"").load(&[]).queue.kafka.is_some_and(|broker| broker.login.is_none()));
}
