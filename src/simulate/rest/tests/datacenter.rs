//! Data Center's answers against its published description, and what it does not know.

use super::*;

fn data_center() -> Rest {
    rest(Settings::of(Flavour::Datacenter))
}

fn bearer(rest: &Rest) -> String {
    format!("Bearer {}", rest.settings.account.api_token.expose())
}

async fn read(rest: &Rest, path: &str) -> (StatusCode, Value) {
    let (status, _, answer) = call(rest, Some(&bearer(rest)), path, None).await;
    (status, answer)
}

async fn find(rest: &Rest, body: Value) -> (StatusCode, Value) {
    let (status, _, answer) = call(rest, Some(&bearer(rest)), "/rest/api/2/search", Some(body)).await;
    (status, answer)
}

/// The description is a WADL that holds a JSON Schema, as escaped text, for each answer.
fn schema(wadl: &str, name: &str) -> Value {
    let start = format!(r#"{{"id":"https://docs.atlassian.com/jira/REST/schema/{name}#""#);
    let at = wadl.find(&start).unwrap_or_else(|| panic!("{name} is not described"));
    let text = &wadl[at..at + wadl[at..].find("</").unwrap()];
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema.as_object_mut().unwrap().remove("id");
    schema
}

fn assert_described(schema: &Value, what: &str, mut answer: Value) {
    let validator = jsonschema::options().with_draft(Draft::Draft4).should_validate_formats(false).build(schema).unwrap();
    as_described(&mut answer, "");
    let errors: Vec<String> = validator.iter_errors(&answer).map(|err| format!("{} at {}", err, err.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

#[tokio::test]
async fn answers_are_as_the_published_description_says() {
    let Some(wadl) = published("jira-server-8.4.3-rest-plugin.wadl.xml") else { return skipped() };
    let rest = data_center();
    let (key, comment) = busy(&rest);
    for (name, path) in [
        ("server-info", "serverInfo".to_owned()),
        ("user", "myself".into()),
        ("user", "user?username=mira".into()),
        ("list-of-field", "field".into()),
        ("list-of-project", "project".into()),
        ("project", "project/DOCS".into()),
        ("issue", format!("issue/{key}?expand=names,changelog")),
        ("comments-with-pagination", format!("issue/{key}/comment")),
        ("worklog-with-pagination", format!("issue/{key}/worklog")),
        ("watchers", format!("issue/{key}/watchers")),
        ("search-results", "search?jql=project%20%3D%20OPS&fields=*all&maxResults=100&expand=changelog".into()),
        ("list-of-status", "status".into()),
        ("list-of-priority", "priority".into()),
        ("list-of-issue-type", "issuetype".into()),
    ] {
        let (status, answer) = read(&rest, &format!("/rest/api/2/{path}")).await;
        assert_eq!(status, 200, "{path}: {answer}");
        if name == "issue" {
            // The description leaves fields open, but says elsewhere what stands in these.
            let fields = &answer["fields"];
            assert_described(&schema(&wadl, "comments-with-pagination"), "comments of an issue", fields["comment"].clone());
            assert_described(&schema(&wadl, "worklog-with-pagination"), "worklogs of an issue", fields["worklog"].clone());
            assert_described(&schema(&wadl, "user"), "a person of an issue", fields["reporter"].clone());
            assert!(fields["description"].is_string());
        }
        assert_described(&schema(&wadl, name), &path, answer);
    }
    // One comment is described as a page of them.
    let (_, one) = read(&rest, &format!("/rest/api/2/issue/{key}/comment/{comment}")).await;
    assert_described(&schema(&wadl, "comments-with-pagination"), "a comment", json!({ "comments": [one] }));
    let (_, found) = find(&rest, json!({ "jql": "project = DOCS", "fields": ["summary"] })).await;
    assert_described(&schema(&wadl, "search-results"), "a search", found);
    // The description forgets the one member that everybody asks for.
    let (_, mut permissions) = read(&rest, "/rest/api/2/mypermissions").await;
    for permission in permissions["permissions"].as_object_mut().unwrap().values_mut() {
        assert!(permission.as_object_mut().unwrap().remove("havePermission").is_some());
    }
    assert_described(&schema(&wadl, "permissions"), "permissions", permissions);
    let note =
        rest.site().issues.values().filter(|issue| issue.project.key == "HELP").find_map(|issue| issue.comments.keys().next().copied());
    let (status, property) = read(&rest, &format!("/rest/api/2/comment/{}/properties/sd.public.comment", note.unwrap())).await;
    assert_eq!(status, 200);
    assert_described(&schema(&wadl, "entity-property"), "a property", property);
}

#[tokio::test]
async fn what_only_cloud_has_is_not_there() {
    let rest = data_center();
    for (path, body) in [
        ("/rest/api/3/serverInfo", None),
        ("/rest/api/3/issue/DOCS-1", None),
        ("/rest/api/3/issue/bulkfetch", Some(json!({ "issueIdsOrKeys": ["DOCS-1"] }))),
        ("/rest/api/2/search/jql?jql=project%3DDOCS", None),
        ("/rest/api/2/search/approximate-count", Some(json!({ "jql": "project = DOCS" }))),
        ("/rest/api/2/jql/parse", Some(json!({ "queries": ["project = DOCS"] }))),
        ("/rest/api/2/comment/list", Some(json!({ "ids": [1] }))),
        ("/rest/api/2/issue/DOCS-1/changelog", None),
        ("/rest/api/2/issue/DOCS-1/comment/1/properties/sd.public.comment", None),
        ("/rest/api/2/label", None),
    ] {
        let (status, _, answer) = call(&rest, Some(&bearer(&rest)), path, body).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
    let (_, info) = read(&rest, "/rest/api/2/serverInfo").await;
    assert_eq!((&info["deploymentType"], &info["versionNumbers"][0]), (&json!("Server"), &json!(10)));
}

#[tokio::test]
async fn people_have_keys_and_names() {
    let rest = data_center();
    let (_, me) = read(&rest, "/rest/api/2/myself").await;
    assert_eq!((&me["name"], &me["key"]), (&json!("wire"), &json!("JIRAUSER10106")));
    assert!(me["accountId"].is_null());
    for (query, status) in [("username=tarek.sol", 200), ("key=JIRAUSER10102", 200), ("accountId=712020:2b3c4d5e-tarek", 404)] {
        assert_eq!(read(&rest, &format!("/rest/api/2/user?{query}")).await.0, status, "{query}");
    }
}

#[tokio::test]
async fn a_token_or_a_password_opens_and_anything_else_does_not() {
    let rest = data_center();
    let basic = |user: &str, secret: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{secret}")));
    let account = &rest.settings.account;
    for (login, expected) in [
        (Some(bearer(&rest)), [200, 200, 200]),
        (Some(basic("wire", account.password.expose())), [200, 200, 200]),
        (Some(basic(&account.email, account.api_token.expose())), [401, 401, 401]),
        (Some("Bearer wrong-token".to_owned()), [401, 401, 401]),
        (None, [200, 401, 401]),
    ] {
        for (path, expected) in ["serverInfo", "myself", "issue/DOCS-1"].into_iter().zip(expected) {
            let (status, headers, _) = call(&rest, login.as_deref(), &format!("/rest/api/2/{path}"), None).await;
            assert_eq!(status, expected, "{path}: {login:?}");
            assert_eq!(headers.contains_key("x-seraph-loginreason"), login.is_some() && expected == 401);
        }
    }
}

#[tokio::test]
async fn searches_are_read_by_place_and_say_how_many() {
    let rest = data_center();
    let all = rest.site().issues.len();
    let (mut seen, mut start) = (BTreeSet::new(), 0);
    while start < all {
        let (_, page) =
            find(&rest, json!({ "jql": "ORDER BY updated ASC", "startAt": start, "maxResults": 7, "fields": ["summary"] })).await;
        assert_eq!((&page["total"], &page["startAt"]), (&json!(all), &json!(start)));
        let issues = page["issues"].as_array().unwrap();
        seen.extend(issues.iter().map(|issue| issue["id"].as_str().unwrap().to_owned()));
        start += issues.len();
    }
    assert_eq!(seen.len(), all);
    for (validate, status) in [(json!(false), 200), (json!("none"), 200), (json!(true), 400)] {
        let (answered, found) = find(&rest, json!({ "jql": "id in (10001, 99)", "validateQuery": validate })).await;
        assert_eq!(answered, status, "{found}");
        if status == 200 {
            assert_eq!((&found["total"], &found["issues"][0]["id"]), (&json!(1), &json!("10001")));
        }
    }
}

#[tokio::test]
async fn what_is_hidden_is_told_from_what_is_not_there() {
    let account = Account { sees_restricted: false, ..Settings::of(Flavour::Datacenter).account };
    let rest = rest(Settings { account, ..Settings::of(Flavour::Datacenter) });
    let secret = rest.site().issues.values().find(|issue| issue.restricted).unwrap().id;
    assert_eq!(read(&rest, &format!("/rest/api/2/issue/{secret}")).await.0, 403);
    assert_eq!(read(&rest, "/rest/api/2/issue/999").await.0, 404);
    let (_, found) = find(&rest, json!({ "jql": "", "maxResults": 1_000 })).await;
    assert!(!found.to_string().contains("For the team only") && found["total"].as_u64().unwrap() > 10, "{found}");
}
