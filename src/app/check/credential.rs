//! What can be told of a credential: from how it is written, from the site it is for, and from how its login went.

use super::Finding;
use crate::config::Connection;
use crate::jira::{Auth, Flavour, JiraError, Myself};
use crate::setting::Secret;

/// Where tokens are made: the next click.
const CLOUD_TOKENS: &str = "https://id.atlassian.com/manage-profile/security/api-tokens";
/// Since this version Data Center knows personal access tokens.
const PAT_MIN: [u32; 2] = [8, 14];
/// A name with one of these words is hardly a person's.
const SERVICE_WORDS: [&str; 16] = [
    "account",
    "admin",
    "api",
    "app",
    "auto",
    "bot",
    "hook",
    "hub",
    "integration",
    "jira",
    "machine",
    "robot",
    "service",
    "svc",
    "sync",
    "wire",
];

/// What is wrong with the text of it, whoever may accept it. Nobody is asked, so that no failed login is counted.
pub(super) fn by_text(about: &str, auth: &Auth) -> Vec<Finding> {
    let (name, secret) = match auth {
        Auth::ApiToken { token, .. } | Auth::Pat { token } => ("token", token),
        Auth::Basic { password, .. } => ("password", password),
    };
    let mut findings = Vec::new();
    if let Some(oddity) = oddity(secret, name == "token") {
        let next = format!("copy the {name} again, alone and on one line, and give it anew where `auth` takes it from");
        findings.push(Finding::problem(about, format!("the {name} under `auth` cannot be right"), oddity, next));
    }
    if let Auth::ApiToken { email, .. } = auth
        && (!email.contains('@') || email.chars().any(char::is_whitespace))
    {
        let next = "write the e-mail address of the account that made the token; a user name is none";
        findings.push(Finding::problem(about, "`email` under `auth` is not an e-mail address", "", next));
    }
    findings
}

/// Never the text itself.
fn oddity(secret: &Secret, is_token: bool) -> Option<&'static str> {
    let text = secret.expose();
    if text.trim() != text {
        return Some("it begins or ends with white space");
    }
    if !is_token {
        return None;
    }
    let is_quoted = ['"', '\'', '`', '<'].iter().any(|quote| text.starts_with(*quote)) || text.ends_with(['"', '\'', '`', '>']);
    match text {
        _ if text.chars().any(char::is_whitespace) => Some("it holds white space"),
        _ if is_quoted => Some("it stands in quotes or brackets of its own"),
        _ if !text.chars().all(|c| c.is_ascii_graphic()) => Some("it holds characters that no token has"),
        _ if text.len() < 8 => Some("it is too short to be a whole token"),
        _ => None,
    }
}

/// What the site makes of its kind. Some: a login could not succeed, and each try counts towards a CAPTCHA.
pub(super) fn by_site(about: &str, auth: &Auth, flavour: Flavour, version: &[u32]) -> Option<Finding> {
    if let Err(why) = auth.suits(flavour) {
        let next = match flavour {
            Flavour::Cloud => {
                format!("make an API token at {CLOUD_TOKENS}, and write `auth = {{ type = \"api-token\", email = ..., token = ... }}`")
            }
            Flavour::Datacenter => {
                "make a token in Jira under Profile > Personal Access Tokens, and write `auth = { type = \"pat\", token = ... }`; \
                before Jira 8.14 write `auth = { type = \"basic\", username = ..., password = ... }`"
                    .to_owned()
            }
        };
        return Some(Finding::problem(about, "the credential is of the wrong kind", why, next));
    }
    if matches!(auth, Auth::Pat { .. }) && version < PAT_MIN.as_slice() {
        let next = "upgrade Jira, or write `auth = { type = \"basic\", username = ..., password = ... }`";
        return Some(Finding::problem(about, "this Jira knows no personal access tokens", "they came with Jira 8.14", next));
    }
    None
}

/// The password where there is something better.
pub(super) fn weaker(about: &str, auth: &Auth, flavour: Flavour, version: &[u32]) -> Option<Finding> {
    let Auth::Basic { .. } = auth else { return None };
    match flavour {
        Flavour::Cloud => {
            let evidence = "Jira Cloud takes no passwords; with an API token in its place it works, and says what it is under another name";
            let next = "write `auth = { type = \"api-token\", email = ..., token = ... }`";
            Some(Finding::advice(about, "`type = \"basic\"` is for Data Center", evidence, next))
        }
        Flavour::Datacenter if version >= PAT_MIN.as_slice() => {
            let next = "make a token in Jira under Profile > Personal Access Tokens, and write `auth = { type = \"pat\", token = ... }`";
            Some(Finding::advice(
                about,
                "a password is weaker than a token",
                "it opens all of the account, and never expires by itself",
                next,
            ))
        }
        Flavour::Datacenter => None,
    }
}

/// Why the login failed, and the next click.
pub(super) fn refused(about: &str, connection: &Connection, auth: &Auth, flavour: Flavour, err: &JiraError) -> Finding {
    let evidence = err.to_string();
    match err {
        JiraError::Unauthorized { reason } if reason.contains("CAPTCHA") => {
            let next =
                format!("log in once with a browser at {}/login.jsp as this user and solve the CAPTCHA; then mend `auth`", connection.url);
            Finding::problem(about, "Jira has locked the login after too many failures", evidence, next)
        }
        JiraError::Unauthorized { .. } => {
            let next = match (flavour, auth) {
                (Flavour::Cloud, _) => format!(
                    "look at {CLOUD_TOKENS}, logged in as the account of `email`: the token must be listed there, not expired, and without \
                     scopes (Jira takes tokens with scopes, and those of service accounts, on another address only)"
                ),
                (Flavour::Datacenter, Auth::Pat { .. }) => {
                    "look in Jira under Profile > Personal Access Tokens: the token must be listed there and not expired".to_owned()
                }
                (Flavour::Datacenter, _) => {
                    format!("log in with a browser at {}/login.jsp with this user name and password", connection.url)
                }
            };
            // The reason begins with what the finding says already.
            let evidence = evidence.split_once(": ").map_or(evidence.as_str(), |(_, why)| why);
            Finding::problem(about, "Jira refuses the login", evidence, next)
        }
        JiraError::Refused { status: 403, .. } => {
            let next = match flavour {
                Flavour::Cloud => {
                    "give the account access to Jira: https://admin.atlassian.com > Directory > Users > the account > Add products"
                }
                Flavour::Datacenter => {
                    "give the account access to Jira: Administration > Applications > Application access, and add its group; \
                    and see whether this kind of login is switched off under System > Authentication methods"
                }
            };
            Finding::problem(about, "the account may not use Jira", evidence, next)
        }
        _ => {
            let next = "look at what stands between: a proxy, a firewall or a login page (SSO) that does not let `/rest/api` through";
            Finding::problem(about, "Jira does not say who we are", evidence, next)
        }
    }
}

/// What the account itself says of the credential.
pub(super) fn by_account(about: &str, auth: &Auth, me: &Myself) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let (Auth::ApiToken { email, .. }, Some(theirs)) = (auth, &me.email)
        && !email.eq_ignore_ascii_case(theirs)
    {
        let next = "write the address of the account that made the token; an old address works only for as long as Jira remembers it";
        findings.push(Finding::advice(about, "`email` under `auth` is not the address of the account", "Jira shows another one", next));
    }
    let name = me.name.clone().unwrap_or_default();
    let lower = name.to_lowercase();
    let is_service = me.kind.as_deref() == Some("app") || SERVICE_WORDS.iter().any(|word| lower.contains(word));
    if !is_service {
        let evidence = format!("Jira calls it `{name}`, which looks like a person's name");
        let next =
            "make an account for this service alone, with no more rights than it needs: a person's account goes when the person goes";
        findings.push(Finding::advice(about, "the account looks like a person's", evidence, next));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_copied_badly_is_seen_without_asking_anybody() {
        let token = |text: &str| Auth::ApiToken { email: "hub@people.invalid".into(), token: Secret::new(text) };
        for (auth, evidence) in [
            (token("ATATT3xFfGF0T-token"), None),
            (token(" ATATT3xFfGF0T-token"), Some("it begins or ends with white space")),
            (token("ATATT3xFfGF0T-token\n"), Some("it begins or ends with white space")),
            (token("ATATT3xFfG F0T-token"), Some("it holds white space")),
            (token("\"ATATT3xFfGF0T-token\""), Some("it stands in quotes or brackets of its own")),
            (token("ATATT3xFfGF0T-töken"), Some("it holds characters that no token has")),
            (token("ATATT3"), Some("it is too short to be a whole token")),
            (Auth::Pat { token: Secret::new("Bearer NDY3") }, Some("it holds white space")),
            (Auth::Basic { username: "hub".into(), password: Secret::new("two words") }, None),
        ] {
            let findings = by_text("connection acme", &auth);
            assert_eq!(findings.first().map(|finding| finding.evidence.as_str()), evidence, "{auth:?}");
            assert!(findings.iter().all(|finding| !format!("{finding:?}").contains("ATATT3")), "the token is shown");
        }
        let named = Auth::ApiToken { email: "hub".into(), token: Secret::new("ATATT3xFfGF0T-token") };
        assert_eq!(by_text("connection acme", &named)[0].what, "`email` under `auth` is not an e-mail address");
    }

    #[test]
    fn persons_are_told_from_services() {
        let me = |name: &str, kind: Option<&str>| Myself {
            id: "1".into(),
            name: Some(name.into()),
            kind: kind.map(str::to_owned),
            email: None,
            time_zone: None,
        };
        let auth = Auth::Pat { token: Secret::new("token-token") };
        for (name, kind, is_person) in [
            ("Mia Krystof", Some("atlassian"), true),
            ("Mia Krystof", None, true),
            ("Ticketwire", Some("atlassian"), false),
            ("Docs bot", None, false),
            ("Anything", Some("app"), false),
        ] {
            assert_eq!(!by_account("connection acme", &auth, &me(name, kind)).is_empty(), is_person, "{name} {kind:?}");
        }
    }
}
