//! `check` names what is wrong, shows it and says what to do; it needs no running service and makes nothing.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use ticketwire::shutdown::Tasks;

use crate::stage::{SECRET, Said, Scene, Stage, quoted};

/// A Jira that answers by path, and counts nothing.
async fn jira(tasks: &Tasks, answer: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let fallback = move |request: axum::extract::Request| {
        let (status, headers, body) = answer(request.uri().path().trim_start_matches("/rest/api/2/"));
        assert_eq!(request.method(), "GET", "Jira is only read");
        async move {
            let mut response = (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(header::HeaderName::from_static(name), value.parse().expect("a value"));
            }
            response
        }
    };
    let router = Router::new().fallback(fallback);
    tasks.spawn("jira", async move { axum::serve(listener, router).await.expect("it serves") });
    url
}

fn server(kind: &str, version: &str) -> Value {
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().expect("a number")).collect();
    json!({ "version": version, "versionNumbers": numbers, "deploymentType": kind })
}

fn connection(url: &str, auth: &str) -> String {
    format!("[connection.acme]\nurl = {}\nauth = {auth}\nwebhook = {{ secrets = [{}] }}\n", quoted(url), quoted(SECRET))
}

const API_TOKEN: &str = r#"{ type = "api-token", email = "hub@people.invalid", token = "ATATT-token-token" }"#;
const PAT: &str = r#"{ type = "pat", token = "NDY3-token-token" }"#;
const BASIC: &str = r#"{ type = "basic", username = "hub", password = "two words" }"#;

fn problems(said: &Said) -> Vec<Value> {
    let findings = said.json();
    findings.as_array().expect("findings").iter().filter(|finding| finding["level"] == "problem").cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_setting_has_advice_at_most() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}", scene.asking(), super::DATA_SINKS, scene.workspace("team", true)));
    let said = stage.cli(&["check", "--json"]).await;
    assert_eq!((said.code, problems(&said)), (0, vec![]), "{said:?}");
    assert!(!stage.path("data").exists() && !stage.path("events.jsonl").exists(), "something was made");
    let findings = said.json();
    let has = |level: &str, about: &str, what: &str| {
        let is_it = |finding: &Value| {
            finding["level"] == level && finding["about"] == about && finding["what"].as_str().is_some_and(|text| text.contains(what))
        };
        assert!(findings.as_array().expect("findings").iter().any(is_it), "{level} {about} {what}: {findings:#}");
    };
    has("ok", "connection acme", "it is Jira Cloud");
    has("ok", "connection acme", "the login is good");
    has("ok", "connection acme", "our clock and Jira's agree");
    has("ok", "connection acme", "may browse projects");
    has("ok", "store", "its tables are made at the first start");
    has("ok", "disk", "there is room");
    has("ok", "sink team", "it can be reached");
    has("advice", "configuration", "stands in the file itself");
    has("advice", "configuration", "no rule sends to it");

    // The same beside a running service, which holds the locks.
    let service = stage.serve().await;
    let said = stage.cli(&["doctor", "--json"]).await;
    assert_eq!((said.code, problems(&said)), (0, vec![]), "{said:?}");
    assert!(said.out.contains("a service runs by this configuration"), "{}", said.out);
    assert_eq!(stage.cli(&["sink", "pause", "team", "--reason", "moving house"]).await.code, 0);
    let said = stage.cli(&["check", "--json"]).await;
    assert_eq!((said.code, problems(&said)), (0, vec![]), "{said:?}");
    assert!(said.out.contains("moving house") && said.out.contains("ticketwire sink resume team"), "{}", said.out);
    let whole = stage.cli(&["check"]).await;
    assert!(whole.out.contains("it is paused by hand") && whole.out.lines().all(|line| line.chars().count() <= 160), "{}", whole.out);
    let table = stage.cli(&["check", "--connection", "acme"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    assert!(table.out.contains("FOUND") && !table.out.contains("sink team"), "{}", table.out);
    assert_eq!(stage.cli(&["check", "--connection", "nobody"]).await.code, 1);

    // A file that the service did not take up.
    let good = std::fs::read_to_string(stage.config()).expect("the file");
    std::fs::write(stage.config(), format!("{good}[queue]\nlanes = 4\n")).expect("a file");
    let said = stage.cli(&["check", "--json"]).await;
    let found = problems(&said);
    assert_eq!((said.code, found.len()), (1, 1), "{}", said.out);
    let running = stage.readiness().await["config"].as_str().expect("a hash").to_owned();
    let told = format!("the running service uses {running}, not this file");
    assert_eq!(found[0]["what"].as_str(), Some(told.as_str()));
    service.terminate().await;
}

type Reply = (u16, Vec<(&'static str, String)>, Value);

/// Says what it is, and refuses the rest.
fn denied(path: &str, info: Value, status: u16, headers: Vec<(&'static str, String)>) -> Reply {
    if path == "serverInfo" { (200, vec![], info) } else { (status, headers, json!({ "message": "no" })) }
}

/// Knows us, and lets us do everything or nothing.
fn known(path: &str, me: Value, may: bool) -> Reply {
    let permission = json!({ "havePermission": may });
    let body = match path {
        "serverInfo" => server("Cloud", "1001.0.0"),
        "myself" => me,
        _ => json!({ "permissions": { "BROWSE_PROJECTS": permission, "USER_PICKER": permission } }),
    };
    (200, vec![], body)
}

fn hub() -> Value {
    json!({ "accountId": "1", "displayName": "Hub service", "timeZone": "Europe/Berlin" })
}

/// One problem, with its next step.
async fn assert_problem(stage: &Stage, url: &str, auth: &str, what: &str, next: &str) {
    stage.configure(&connection(url, auth));
    let said = stage.cli(&["check", "--json", "--connection", "acme"]).await;
    let found = problems(&said);
    assert_eq!((said.code, found.len()), (1, 1), "{what}: {}", said.out);
    let holds = |member: &str, text: &str| found[0][member].as_str().is_some_and(|told| told.contains(text));
    assert!(holds("what", what) && holds("next", next), "{what}: {found:#?}");
    assert_ne!(found[0]["what"], found[0]["evidence"], "it is told twice");
    assert!(!said.out.contains("ATATT") && !said.err.contains("ATATT"), "{what}: the token is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_of_a_login_has_its_cause_and_the_next_click() {
    let (stage, tasks) = (Stage::new(), Tasks::new());
    let (cloud, of) = (|| server("Cloud", "1001.0.0"), |version| server("Server", version));
    let captcha = || vec![("x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=x".to_owned())];
    let torn = r#"{ type = "api-token", email = "hub@people.invalid", token = "ATATT token" }"#;
    let refusing = jira(&tasks, move |path| denied(path, cloud(), 401, vec![])).await;
    assert_problem(&stage, &refusing, API_TOKEN, "Jira refuses the login", "id.atlassian.com").await;
    assert_problem(&stage, &refusing, torn, "the token under `auth` cannot be right", "copy the token again").await;
    assert_problem(&stage, &refusing, PAT, "of the wrong kind", "api-token").await;
    let closed = jira(&tasks, move |path| denied(path, cloud(), 403, vec![])).await;
    assert_problem(&stage, &closed, API_TOKEN, "the account may not use Jira", "admin.atlassian.com").await;
    let locked = jira(&tasks, move |path| denied(path, of("9.12.0"), 403, captcha())).await;
    assert_problem(&stage, &locked, BASIC, "locked the login", "/login.jsp").await;
    assert_problem(&stage, &locked, API_TOKEN, "of the wrong kind", "\"pat\"").await;
    let older = jira(&tasks, move |path| denied(path, of("8.5.0"), 500, vec![])).await;
    assert_problem(&stage, &older, PAT, "knows no personal access tokens", "basic").await;
    let old = jira(&tasks, move |path| denied(path, of("7.12.3"), 500, vec![])).await;
    assert_problem(&stage, &old, PAT, "too old", "7.13").await;
    let nobody = jira(&tasks, |_| (404, vec![], json!({}))).await;
    assert_problem(&stage, &nobody, PAT, "Jira cannot be reached", "serverInfo").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_clocks_and_persons_are_looked_at() {
    let (stage, tasks) = (Stage::new(), Tasks::new());
    let blind = jira(&tasks, move |path| known(path, hub(), false)).await;
    assert_problem(&stage, &blind, API_TOKEN, "sees no project", "Browse Projects").await;
    let long_ago = || vec![("date", "Sun, 22 Nov 2020 10:00:30 GMT".to_owned())];
    let late = jira(&tasks, move |path| (200, long_ago(), known(path, hub(), true).2)).await;
    assert_problem(&stage, &late, API_TOKEN, "differ by minutes", "NTP").await;

    // A person's account is advice, and advice alone is no failure.
    let person =
        json!({ "accountId": "1", "accountType": "atlassian", "displayName": "Mia Krystof", "emailAddress": "mia@people.invalid" });
    let rule =
        "[sink.events]\ntype = \"file\"\npath = \"events\"\n[rule.docs]\nwhen = 'project.key == \"DOCS\"'\nsend = [{ to = \"events\" }]\n";
    let url =
        jira(&tasks, move |path| if path.starts_with("project/") { (404, vec![], json!({})) } else { known(path, person.clone(), true) })
            .await;
    stage.configure(&format!("{}{rule}", connection(&url, API_TOKEN)));
    let said = stage.cli(&["check", "--json", "--connection", "acme"]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    for told in ["looks like a person's", "is not the address of the account", "does not see project `DOCS`"] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    assert!(!said.out.contains("people.invalid"), "an address is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_configuration_is_looked_at_as_far_as_it_goes() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    std::fs::create_dir(stage.path("folder")).expect("a folder");
    let sinks = format!(
        "[sink.out]\ntype = \"http\"\nurl = \"http://127.0.0.1:9\"\nallow_private = true\n[sink.events]\ntype = \"file\"\npath = {}\n",
        quoted(&stage.path("folder").display().to_string())
    );
    stage.configure(&format!("{}{sinks}[rule.broken]\nwhen = \"isue.key == 1\"\nsend = [{{ to = \"events\" }}]\n", scene.asking()));
    let said = stage.cli(&["check", "--json"]).await;
    assert_eq!(said.code, 1);
    let found = problems(&said);
    let about: Vec<&str> = found.iter().filter_map(|finding| finding["about"].as_str()).collect();
    assert_eq!(about, ["configuration", "sink out", "sink events"], "{found:#?}");
    assert!(said.out.contains("the login is good"), "{}", said.out);
}
