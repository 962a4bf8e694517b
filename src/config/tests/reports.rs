//! What is told about a bad file: the reports that people read.

use std::path::Path;

use super::{Config, Files, GIVEN, site};

fn report(text: &str) -> String {
    Files::new(text).report(&[])
}

#[test]
fn ten_mistakes_are_told_at_once() {
    let text = r#"
[receiver]
listn = "127.0.0.1:1"
max_body = "25 elephants"

[connection.acme]
url = "not a url"
auth = { type = "api-token", emial = "bot@acme.example", token = { env = "UNSET" } }
webhook = { secrets = [""] }

[connection.open]
url = "https://open.example"

[sink.pigeon]
type = "telegraph"

[sink.Bad_Name]
type = "stdout"

[sink.good]
type = "file"

[rule.nowhere]
when = "true"
sned = true
send = [{ to = "goood" }]

[quueue]
"#;
    insta::assert_snapshot!(report(text), @r#"
    ticketwire.toml:3: `listn` is no member of `[receiver]`
      hint: did you mean `listen`?
    ticketwire.toml:4: `max_body` of `[receiver]`: `25 elephants` is not a size
      hint: write a whole number and a unit, as in `25MiB` or `64KiB`
    ticketwire.toml:7: `url` of `[connection.acme]`: `not a url` is not a base URL: relative URL without a base
      hint: write it as in `https://acme.atlassian.net`
    ticketwire.toml:8: `auth.token` of `[connection.acme]`: the environment variable `UNSET` is not set
      hint: set it where the service is started
    ticketwire.toml:8: `email` is missing in `auth` of `[connection.acme]`
      hint: add `email = ...`; `ticketwire config example` shows it
    ticketwire.toml:8: `emial` is no member of `auth` of `[connection.acme]`
      hint: did you mean `email`?
    ticketwire.toml:9: `webhook.secrets[0]` of `[connection.acme]` is an empty secret
      hint: give it a value: an empty secret proves nothing
    ticketwire.toml:11: `[connection.open]` has no proof of the sender: neither `webhook.secrets` nor `webhook.token` nor `webhook.basic`
      hint: add `webhook = { secrets = [{ env = "HOOK_SECRET" }] }`, or `webhook = { proof = "none" }` to take what comes
    ticketwire.toml:15: `type` of `[sink.pigeon]`: there is no sink of type `telegraph`
      hint: write one of `tickets`, `slack`, `file`, `stdout`, `http`, `amqp`, `kafka`
    ticketwire.toml:17: `[sink.Bad_Name]`: `Bad_Name` is not a name
      hint: use lower-case letters, digits and `-`, begin with a letter or digit, at most 63 characters
    ticketwire.toml:20: `path` is missing in `[sink.good]`
      hint: add `path = ...`; `ticketwire config example` shows it
    ticketwire.toml:25: `sned` is no member of `[rule.nowhere]`
      hint: did you mean `send`?
    ticketwire.toml:26: `[rule.nowhere]` sends to `goood`, and there is no such sink
      hint: did you mean `good`?
    ticketwire.toml:28: `quueue` is not known at the top of the file
      hint: did you mean `queue`?
    the configuration has 14 problems
    "#);
}

#[test]
fn what_toml_cannot_read_is_told_by_line() {
    insta::assert_snapshot!(report("data_dir = \"x\"\n[receiver\nlisten = \"127.0.0.1:1\"\n"), @r#"
    ticketwire.toml:2: unclosed table, expected `]`
      hint: mend what is no TOML first; the rest is checked after that
    the configuration has 1 problem
    "#);
    insta::assert_snapshot!(report("a = \n[receiver]\nlisten = 1 2\n[receiver]\n"), @r#"
    ticketwire.toml:1: string values must be quoted, expected literal string
      hint: mend what is no TOML first; the rest is checked after that
    ticketwire.toml:3: string values must be quoted, expected literal string
      hint: mend what is no TOML first; the rest is checked after that
    ticketwire.toml:4: `receiver` stands here a second time
      hint: rename it, or make one of both
    the configuration has 3 problems
    "#);
    let twice = "[sink.a]\ntype = \"stdout\"\n[sink.a]\ntype = \"file\"\npath = \"a\"\n[sink.b]\ntype = \"tickets\"\ntype = \"file\"\n";
    insta::assert_snapshot!(report(twice), @r#"
    ticketwire.toml:3: `a` stands here a second time
      hint: rename it, or make one of both
    ticketwire.toml:8: `type` stands here a second time
      hint: rename it, or make one of both
    the configuration has 2 problems
    "#);
    insta::assert_snapshot!(report("data_dir = \"x\"\n\n[receiver]\nlisten = 17\n"), @r#"
    ticketwire.toml:4: `listen` of `[receiver]` is of the wrong type: a number
      hint: write an address and a port, as in `127.0.0.1:8080`
    the configuration has 1 problem
    "#);
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let environment = [("TICKETWIRE__SINK__X__TOKEN".to_owned(), "x".to_owned())];
    let problems = Config::load(Some(Path::new("/nowhere/at/all.toml")), environment).expect_err("no file");
    assert_eq!(problems.findings().len(), 1, "{problems}");
    assert!(problems.to_string().starts_with("/nowhere/at/all.toml: `/nowhere/at/all.toml` cannot be read"), "{problems}");
}

#[test]
fn other_files_add_sections() {
    let files = Files::new(
        "include = [\"rules.d/*.toml\", \"more.toml\"]\n[sink.a]\ntype = \"stdout\"\n[rule.z]\nwhen = \"1\"\nsend = [{ to = \"a\" }]\n",
    )
    .add("rules.d/20.toml", "[rule.second]\nwhen = \"true\"\nsend = [{ to = \"a\" }]\n")
    .add("rules.d/10.toml", "[rule.first]\nwhen = \"true\"\nsend = [{ to = \"b\" }]\n")
    .add("rules.d/10.txt", "no TOML at all")
    .add("more.toml", "[sink.b]\ntype = \"tickets\"\n");
    let names: Vec<_> = files.load(&[]).rules.into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["z", "first", "second"]);

    let files = files.add("more.toml", "include = []\ndata_dir = 1\n[sink.a]\ntype = \"stdout\"\n[rule.first]\n[report.x]\n");
    insta::assert_snapshot!(files.report(&[]), @r#"
    more.toml:1: an included file cannot include others
      hint: name all files in the first one
    more.toml:2: `data_dir` is not a path
      hint: write a text, as in `data_dir = "ticketwire-data"`
    more.toml:3: `[sink.a]` stands here a second time; first at ticketwire.toml:2
      hint: rename it, or make one section of both
    more.toml:5: `[rule.first]` stands here a second time; first at rules.d/10.toml:1
      hint: rename it, or make one section of both
    more.toml:6: this build has no reports yet
      hint: remove the section
    rules.d/10.toml:3: `[rule.first]` sends to `b`, and there is no such sink
      hint: did you mean `a`?
    the configuration has 6 problems
    "#);
    insta::assert_snapshot!(report("include = [\"missing.toml\", \"*/*.toml\", \"none-*.toml\"]"), @r#"
    ticketwire.toml:1: `missing.toml` cannot be read: No such file or directory (os error 2)
      hint: name a file that exists and is readable, in UTF-8
    ticketwire.toml:1: `include`: `*/*.toml` has more than one `*`
      hint: one `*` in the name of the file, as in `rules.d/*.toml`
    the configuration has 2 problems
    "#);
}

#[test]
fn variables_that_fit_nothing_are_told_by_name() {
    let environment = [
        GIVEN[0],
        GIVEN[1],
        ("TICKETWIRE__RECIEVER__LISTEN", "x"),
        ("TICKETWIRE__RECEIVER__LISTN", "x"),
        ("TICKETWIRE__RECEIVER__MAX_BODY", "much"),
        ("TICKETWIRE__SINK__TEAM__TOKEN", "x"),
        ("TICKETWIRE__SINK__EVENTS", "x"),
        ("TICKETWIRE__RULE__ALL__WHEN", "x"),
        ("TICKETWIRE__QUEUE__LANES", "many"),
    ];
    insta::assert_snapshot!(site().report(&environment), @r#"
    environment variable `TICKETWIRE__QUEUE__LANES`: `lanes` of `[queue]` is of the wrong type: a text
      hint: write a whole number
    environment variable `TICKETWIRE__RECEIVER__LISTN`: `listn` is no member of `[receiver]`
      hint: did you mean `listen`?
    environment variable `TICKETWIRE__RECEIVER__MAX_BODY`: `max_body` of `[receiver]`: `much` is not a size
      hint: write a whole number and a unit, as in `25MiB` or `64KiB`
    environment variable `TICKETWIRE__RECIEVER__LISTEN`: the variable names no section: `reciever` is not known
      hint: did you mean `receiver`?
    environment variable `TICKETWIRE__RULE__ALL__WHEN`: `rule` cannot be overridden by a variable
      hint: write it into the file
    environment variable `TICKETWIRE__SINK__EVENTS`: the variable names `[sink.events]` and no member of it
      hint: add `__MEMBER` to its name
    environment variable `TICKETWIRE__SINK__TEAM__TOKEN`: the variable names no sink of the file: `TEAM`
      hint: there are `MY_TEAM`, `EVENTS`
    the configuration has 7 problems
    "#);
}

#[test]
fn what_this_build_cannot_do_is_refused() {
    let text = r#"
[queue]
url = "nats://localhost"
name = "no spaces"
lanes = 0
[store]
url = "mysql://root:hunter2@localhost/x"
[deliver]
window = 17
max_tries = 0
"#;
    insta::assert_snapshot!(report(text), @r#"
    ticketwire.toml:3: `url` of `[queue]`: there is no such queue
      hint: write `embedded:`, or `amqp://HOST` for RabbitMQ, or `kafka://HOST:PORT,HOST:PORT` for Kafka
    ticketwire.toml:4: `name` of `[queue]` is not a name
      hint: use letters, digits, `.`, `-` and `_`, at most 128 of them
    ticketwire.toml:5: `lanes` of `[queue]`: 0 lanes: the number must be between 1 and 256
      hint: `ticketwire config example` shows every member
    ticketwire.toml:7: `url` of `[store]`: it is no store that is known
      hint: write `sqlite:`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`
    ticketwire.toml:9: `window` of `[deliver]` is 17
      hint: write 1 to 16: a crash may repeat as many events in each lane of each sink
    ticketwire.toml:10: `max_tries` of `[deliver]` is 0
      hint: write at least 1
    the configuration has 6 problems
    "#);
}

#[test]
fn connections_without_one_clear_proof_are_refused() {
    let text = r#"
[connection.none]
url = "https://u:hunter2@one.example"
webhook = {}
[connection.both]
url = "https://two.example"
webhook = { secrets = ["a"], proof = "none" }
[connection.twin]
url = "https://two.example/"
webhook = { token = { file = "missing" } }
[connection.odd]
url = "https://three.example"
webhook = { secrets = "hunter2", proof = "some" }
[connection.odd.auth]
type = "oauth9"
"#;
    let report = report(text);
    assert!(!report.contains("hunter2"), "{report}");
    insta::assert_snapshot!(report, @r#"
    ticketwire.toml:3: `url` of `[connection.none]`: a base URL has no user and no password: credentials belong into `auth`
      hint: `ticketwire config example` shows every member
    ticketwire.toml:4: `[connection.none]` has no proof of the sender: neither `webhook.secrets` nor `webhook.token` nor `webhook.basic`
      hint: add `webhook = { secrets = [{ env = "HOOK_SECRET" }] }`, or `webhook = { proof = "none" }` to take what comes
    ticketwire.toml:7: `[connection.both]` says `proof = "none"` and gives a secret or token
      hint: remove `proof` to have the sender proven, or the secrets and the token to take what comes
    ticketwire.toml:8: `[connection.twin]` and `[connection.both]` (ticketwire.toml:5) are one site
      hint: remove one of them
    ticketwire.toml:10: `webhook.token` of `[connection.twin]`: the secret file `ticketwire-data/missing` cannot be read: No such file or directory (os error 2)
      hint: make it readable for the service; relative paths are against `data_dir`
    ticketwire.toml:13: `webhook.proof` of `[connection.odd]`: `some` is not known
      hint: write one of `none`
    ticketwire.toml:13: `webhook.secrets` of `[connection.odd]` is of the wrong type: a text
      hint: write a list
    ticketwire.toml:15: `auth.type` of `[connection.odd]`: `oauth9` is not known
      hint: write one of `api-token`, `pat`, `basic`
    the configuration has 8 problems
    "#);
}

#[test]
fn sinks_and_rules_are_held_against_each_other() {
    let text = r#"
[sink.a-b]
type = "slack"
[sink.A_B]
type = "http"
url = "https://acme.example"
[sink.quiet]
type = "slack"
token = "x"
[sink.out]
type = "stdout"
[sink.out-again]
type = "stdout"
[sink.inside]
type = "http"
url = "http://127.0.0.1:1"
[rule."all wrong"]
when = "true"
send = [{ to = "No Name" }, { channel = "x" }]
"#;
    insta::assert_snapshot!(report(text), @r#"
    ticketwire.toml:2: `token` of `[sink.a-b]`: a `token` or a `webhook_url` is needed
      hint: `ticketwire config example` shows a sink of type `slack`
    ticketwire.toml:4: `[sink.A_B]` and `[sink.a-b]` (ticketwire.toml:2) are one name in environment variables
      hint: rename one of them
    ticketwire.toml:4: `[sink.A_B]`: `A_B` is not a name
      hint: use lower-case letters, digits and `-`, begin with a letter or digit, at most 63 characters
    ticketwire.toml:12: `[sink.out-again]` writes to the same place as `[sink.out]` (ticketwire.toml:10)
      hint: remove one of them, or give it another path
    ticketwire.toml:16: `url` of `[sink.inside]`: `127.0.0.1` is not on the public internet
      hint: in `[sink.inside]`, set `allow_private = true` if it may be called
    ticketwire.toml:19: `send[0].to` of `[rule."all wrong"]`: `No Name` is not a name
      hint: use lower-case letters, digits and `-`, begin with a letter or digit, at most 63 characters
    ticketwire.toml:19: `to` is missing in `send[0]` of `[rule."all wrong"]`
      hint: add `to = ...`; `ticketwire config example` shows it
    the configuration has 7 problems
    "#);
}

#[test]
fn what_works_but_should_be_known_is_a_warning() {
    let text = r#"
[admin]
listen = "0.0.0.0:9080"
tokens = [" spaced "]
[connection.open]
url = "https://open.example"
webhook = { proof = "none" }
[sink.team]
type = "slack"
token = { env = "TOKEN" }
[connection.acme]
url = "https://acme.atlassian.net/jira/"
webhook = { secrets = [{ env = "LONG" }, { env = "SHORT" }], token = { env = "SHORT" } }
"#;
    let config = Files::new(text).load(&[("TOKEN", "x"), ("LONG", "0123456789abcdef"), ("SHORT", "0123456789abcde")]);
    let warnings: Vec<_> = config.warnings.iter().map(|warning| format!("{} {}", warning.place.line, warning.message)).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    3 the admin listener can be reached from other machines, without TLS
    4 `tokens[0]` of `[admin]` begins or ends with white space
    4 `tokens[0]` of `[admin]` stands in the file itself
    7 `[connection.open]` takes what comes, from anybody who can reach the receiver
    8 `[sink.team]` gets nothing: no rule sends to it
    12 `url` of `[connection.acme]` has the path `/jira`, and a site of Jira Cloud has none
    13 `webhook.secrets[1]` of `[connection.acme]` is shorter than 16 characters and can be guessed
    13 `webhook.token` of `[connection.acme]` is shorter than 16 characters and can be guessed
    "#);
}

#[cfg(feature = "amqp")]
#[test]
fn a_broker_that_cannot_be_used_is_told_member_by_member() {
    let text = r#"
[queue]
url = "amqp://wire:hunter2@rabbit.example?heartbeat=5"
username = "wire"
password = { env = "NOT_SET" }
client_key = "key.pem"
min_free = "1GiB"
prefetch = 0
"#;
    let told = report(text);
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told, @r#"
    ticketwire.toml:2: `client_certificate` of `[queue]`: certificate and key go together
      hint: give both `client_certificate` and `client_key`
    ticketwire.toml:3: `url` of `[queue]`: it must end with the virtual host; what else can be set are members of `[queue]`
      hint: write it as in `amqp://rabbit.example:5672/vhost`
    ticketwire.toml:5: `password` of `[queue]`: the environment variable `NOT_SET` is not set
      hint: set it where the service is started
    ticketwire.toml:7: `min_free` is no member of `[queue]`
      hint: its members are `username`, `password`, `ca_file`, `client_certificate`, `client_key`, `connect_timeout`, `heartbeat`, `prefetch`, `max_backlog`, `max_message`, `url`, `name`, `lanes`
    ticketwire.toml:8: `prefetch` of `[queue]`: it is not between 1 and 1024
      hint: write 16
    the configuration has 5 problems
    "#);
}

#[cfg(not(feature = "amqp"))]
#[test]
fn a_broker_that_is_not_built_in_is_refused() {
    assert!(report("[queue]\nurl = \"amqp://rabbit.example\"").contains("this build has no RabbitMQ"));
}

#[cfg(feature = "kafka")]
#[test]
fn a_cluster_that_cannot_be_used_is_told_member_by_member() {
    let text = r#"
[queue]
url = "kafka://wire:hunter2@kafka.example:9092,other.example"
username = "wire"
ca_file = "ca.pem"
prefetch = 16
compression = "gzip"
retention = "5m"
replication = 0
"#;
    let told = report(text);
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told, @r#"
    ticketwire.toml:3: `url` of `[queue]`: a user does not belong there
      hint: use `username`, and `password = { env = "NAME" }`
    ticketwire.toml:4: `username` of `[queue]`: user and password go together
      hint: give both, or neither
    ticketwire.toml:5: `ca_file` of `[queue]`: it is of no use without TLS
      hint: write `tls = true`
    ticketwire.toml:6: `prefetch` is no member of `[queue]`
      hint: its members are `username`, `password`, `mechanism`, `tls`, `ca_file`, `client_certificate`, `client_key`, `instance`, `replication`, `retention`, `compression`, `max_message`, `request_timeout`, `session_timeout`, `url`, `name`, `lanes`
    ticketwire.toml:7: `compression` of `[queue]`: `gzip` is not known
      hint: write one of `none`, `zstd`
    ticketwire.toml:8: `retention` of `[queue]`: it is below 1 h: a sink that is away for longer would lose events
      hint: write `7d`
    ticketwire.toml:9: `replication` of `[queue]`: it is not between 1 and 15
      hint: write 3, or leave it out
    the configuration has 7 problems
    "#);
}

#[cfg(all(feature = "kafka", not(feature = "kafka-tls")))]
#[test]
fn tls_that_is_not_built_in_names_its_feature() {
    let told = report("[queue]\nurl = \"kafka://kafka.example\"\ntls = true");
    assert!(told.contains("`tls` of `[queue]`: this build has no TLS for Kafka") && told.contains("--features kafka-tls"), "{told}");
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_cluster_that_is_not_built_in_is_refused() {
    let told = report("[queue]\nurl = \"kafka://kafka.example\"");
    assert!(told.contains("this build has no Kafka") && told.contains("--features kafka"), "{told}");
}
