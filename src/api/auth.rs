//! Who may use the API: a bearer token, asked for under our own name, and by no foreign page.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::setting::Secret;

/// Where a generated token stands in the data directory.
pub const TOKEN_FILE: &str = "admin.token";

/// Which tokens and hosts are accepted; a reload replaces them.
pub struct AdminAuth {
    listen: SocketAddr,
    current: RwLock<AuthRules>,
}

struct AuthRules {
    tokens: Vec<Secret>,
    hosts: Vec<String>,
}

impl AdminAuth {
    pub fn new(tokens: Vec<Secret>, listen: SocketAddr, names: &[String]) -> Self {
        Self { listen, current: RwLock::new(AuthRules::new(tokens, listen, names)) }
    }

    /// From now on these tokens and hosts are accepted, and no others.
    pub fn replace(&self, tokens: Vec<Secret>, names: &[String]) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = AuthRules::new(tokens, self.listen, names);
    }

    /// Ok: which of the tokens it is, counted from 1.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<usize, Problem> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).check(headers)
    }
}

impl AuthRules {
    fn new(tokens: Vec<Secret>, listen: SocketAddr, names: &[String]) -> Self {
        let port = listen.port();
        let mut hosts = vec![listen.to_string()];
        for name in ["localhost", "127.0.0.1", "[::1]"].into_iter().map(str::to_owned).chain(names.iter().cloned()) {
            hosts.push(format!("{name}:{port}"));
            hosts.push(name);
        }
        Self { tokens: tokens.into_iter().filter(|token| !token.is_empty()).collect(), hosts }
    }

    /// The token first: who has none learns nothing about names.
    fn check(&self, headers: &HeaderMap) -> Result<usize, Problem> {
        let Some(token) = self.token(headers) else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed"));
        };
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.is_allowed_host(host) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this is not the host that was asked for; add its name to `admin.hosts`",
            ));
        }
        match headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or_default()) {
            None => Ok(token),
            Some(origin) if origin.split_once("://").is_some_and(|(_, host)| self.is_allowed_host(host)) => Ok(token),
            Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "a page of another origin may not use this API")),
        }
    }

    fn is_allowed_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
    }

    fn token(&self, headers: &HeaderMap) -> Option<usize> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")).unwrap_or_default();
        // Every token is compared, so that the time does not tell which one is near.
        let same = |token: &Secret| bool::from(given.ct_eq(token.expose().as_bytes()));
        self.tokens.iter().zip(1..).fold(None, |found, (token, number)| if same(token) { Some(number) } else { found })
    }
}

/// The token of the data directory; made at the first start, readable by its owner only.
pub fn load_or_create_token(data_dir: &Path) -> std::io::Result<Secret> {
    let path = data_dir.join(TOKEN_FILE);
    if let Ok(text) = std::fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(Secret::new(text.trim()));
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    // The mode above holds for a new file only.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(format!("{token}\n").as_bytes())?;
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_door_is_closed_to_strangers() {
        let auth = AdminAuth::new(
            vec![Secret::new("token-of-tests"), Secret::new("")],
            "127.0.0.1:9080".parse().expect("an address"),
            &["ops.example".into()],
        );
        let check = |pairs: &[(&'static str, &str)], expected: Option<u16>| {
            let headers =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))).collect();
            assert_eq!(auth.check(&headers).err().map(|problem| problem.status().as_u16()), expected, "{pairs:?}");
        };
        let bearer = ("authorization", "Bearer token-of-tests");
        check(&[bearer, ("host", "127.0.0.1:9080")], None);
        check(&[bearer, ("host", "localhost:9080"), ("origin", "http://localhost:9080")], None);
        check(&[bearer, ("host", "OPS.example")], None);
        for wrong in ["Bearer ", "Bearer token-of-test", "Bearer token-of-testsx", "Basic token-of-tests", "token-of-tests", ""] {
            check(&[("authorization", wrong), ("host", "localhost")], Some(401));
        }
        check(&[("host", "localhost")], Some(401));
        check(&[bearer, ("host", "rebound.example")], Some(421));
        check(&[bearer], Some(421));
        check(&[bearer, ("host", "localhost"), ("origin", "https://evil.example")], Some(403));
        check(&[bearer, ("host", "localhost"), ("origin", "null")], Some(403));
    }

    #[test]
    fn a_token_is_made_once_and_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = load_or_create_token(directory.path()).expect("a token");
        assert_eq!(load_or_create_token(directory.path()).expect("a token").expose(), first.expose());
        assert_eq!(first.expose().len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(directory.path().join(TOKEN_FILE)).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
