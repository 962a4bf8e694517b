//! Connections to the broker, each made when it is needed and made again when it was lost; and what the broker's errors mean to us.
//!
//! A connection that is lost ends, and with it whatever hangs on it. lapin's own recovery is not used: after a reset it had not come back
//! within 30 seconds in five of eight tries (4.12.3), where a new connection took 15 milliseconds.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::settings::Broker;
use crate::queue::QueueError;
use crate::setting::Secret;

/// One question to the broker. Making a queue in a busy cluster takes seconds; more than this is no answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Buffers of a connection are a multiple of it, and headers must fit.
const FRAME_MAX: u32 = 32 << 10;
/// After a connection could not be made, nobody tries again for so long.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What a failure asks for.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    /// Try again.
    #[error("{0}")]
    Transient(String),
    /// Only a person can mend it.
    #[error("{0}")]
    Permanent(String),
    /// What was asked for is not there.
    #[error("{0}")]
    Missing(String),
    /// Another connection holds it exclusively at the moment.
    #[error("{0}")]
    InUse(String),
}

impl From<Fault> for QueueError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Permanent(why) => Self::Unusable(why),
            Fault::Transient(why) | Fault::Missing(why) | Fault::InUse(why) => Self::Unavailable(why),
        }
    }
}

impl From<lapin::Error> for Fault {
    fn from(err: lapin::Error) -> Self {
        let ErrorKind::ProtocolError(said) = err.kind() else { return Self::Transient(err.to_string()) };
        let text = said.get_message().to_string();
        match said.get_id() {
            // A classic queue whose node is down is there all the same.
            404 if text.contains("down or inaccessible") => Self::Transient(text),
            404 => Self::Missing(text),
            403 if text.contains("in exclusive use") => Self::InUse(text),
            // Refused, locked, not equal to what is there, not allowed.
            403 | 405 | 406 | 530 => Self::Permanent(text),
            _ => Self::Transient(text),
        }
    }
}

/// Waits for the broker's answer, but not for ever.
pub(super) async fn answer<T>(asked: impl Future<Output = lapin::Result<T>>) -> Result<T, Fault> {
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault::Transient(format!("the broker did not answer within {ANSWER_LIMIT:?}"))),
    }
}

/// How to reach the broker, for all connections.
pub(super) struct Connector {
    uri: AMQPUri,
    tls: OwnedTLSConfig,
    limit: Duration,
    shown: String,
}

impl Connector {
    pub(super) fn new(broker: &Broker) -> Result<Self, Fault> {
        let by_certificate = broker.client.is_some() && broker.username.is_none();
        // Only a broker on the same machine lets its guest in, unless somebody changed that.
        let userinfo = AMQPUserInfo {
            username: broker.username.clone().unwrap_or_else(|| "guest".to_owned()),
            password: broker.password.as_ref().map_or("guest", Secret::expose).to_owned(),
        };
        let scheme = if broker.address.is_tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
        let uri = AMQPUri {
            scheme,
            authority: AMQPAuthority { userinfo, host: broker.address.host.clone(), port: broker.address.port },
            vhost: broker.address.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_MAX),
                heartbeat: Some(u16::try_from(broker.heartbeat.0.as_secs()).unwrap_or(u16::MAX)),
                auth_mechanism: by_certificate.then_some(SASLMechanism::External),
                ..AMQPQueryString::default()
            },
        };
        let identity = match &broker.client {
            Some((certificate, key)) => Some(OwnedIdentity::PKCS8 { pem: read(certificate)?, key: read(key)? }),
            None => None,
        };
        let authorities = broker.ca_file.as_deref().map(read).transpose()?;
        let cert_chain = authorities.map(|pem| String::from_utf8_lossy(&pem).into_owned());
        if cert_chain.as_ref().is_some_and(|pem| !pem.contains("BEGIN CERTIFICATE")) {
            return Err(Fault::Permanent("`ca_file` holds no certificate in PEM".to_owned()));
        }
        let tls = OwnedTLSConfig { identity, cert_chain };
        Ok(Self { uri, tls, limit: broker.connect_timeout.0, shown: broker.address.to_string() })
    }

    async fn connect(&self, name: String) -> Result<Connection, Fault> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|err| Fault::Transient(err.to_string()))?;
        let connecting = Connection::connect_uri_with_config(self.uri.clone(), properties, self.tls.clone(), runtime);
        match timeout(self.limit, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(err)) => Err(match Fault::from(err) {
                Fault::Permanent(why) => {
                    Fault::Permanent(format!("`{}` refuses us: {why}; check user, password and virtual host", self.shown))
                }
                other => Fault::Transient(format!("`{}` cannot be reached: {other}", self.shown)),
            }),
            Err(_) => Err(Fault::Transient(format!("`{}` did not answer within {:?}", self.shown, self.limit))),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|err| Fault::Permanent(format!("`{}` cannot be read: {err}", path.display())))
}

/// One connection at a time, for one purpose.
pub(super) struct BrokerConnection {
    connector: Arc<Connector>,
    name: String,
    state: Mutex<State>,
}

enum State {
    Connected(Arc<Connection>),
    Failed(Fault, Instant),
    Disconnected,
}

impl BrokerConnection {
    pub(super) fn new(connector: &Arc<Connector>, name: String) -> Self {
        Self { connector: Arc::clone(connector), name, state: Mutex::new(State::Disconnected) }
    }

    /// The connection, made if there is none.
    pub(super) async fn get_or_connect(&self) -> Result<Arc<Connection>, Fault> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Connected(connection) if connection.status().connected() => return Ok(Arc::clone(connection)),
            State::Failed(fault, at) if at.elapsed() < RETRY_DELAY => return Err(fault.clone()),
            State::Connected(_) | State::Failed(..) | State::Disconnected => *state = State::Disconnected,
        }
        match self.connector.connect(self.name.clone()).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State::Connected(Arc::clone(&connection));
                Ok(connection)
            }
            Err(fault) => {
                *state = State::Failed(fault.clone(), Instant::now());
                Err(fault)
            }
        }
    }

    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        let connection = self.get_or_connect().await?;
        answer(connection.create_channel()).await
    }

    /// Why nothing can be sent on it now, as far as is known without asking.
    pub(super) fn blocked_reason(&self) -> Option<String> {
        // Where it is being made right now, nobody knows.
        let state = self.state.try_lock().ok()?;
        let is_blocked = matches!(&*state, State::Connected(connection) if connection.status().blocked());
        is_blocked.then(|| "the broker takes nothing: it is short of memory or disk".to_owned())
    }

    /// After everything on it has ended.
    pub(super) async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Disconnected);
        if let State::Connected(connection) = state {
            // Nothing depends on it any more, and lapin sometimes waits in vain.
            drop(timeout(CLOSE_LIMIT, connection.close(200, ShortString::from("closing"))).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let fault = |id, text: &str| {
            let said = AMQPError::from_id(id, text.into()).expect("a known error");
            Fault::from(lapin::Error::from(ErrorKind::ProtocolError(said)))
        };
        assert!(matches!(fault(404, "NOT_FOUND - no exchange 'x'"), Fault::Missing(_)));
        assert!(matches!(fault(404, "NOT_FOUND - home node 'x' of durable queue 'y' is down or inaccessible"), Fault::Transient(_)));
        assert!(matches!(fault(403, "ACCESS_REFUSED - queue 'x' in vhost '/' in exclusive use"), Fault::InUse(_)));
        assert!(matches!(fault(403, "ACCESS_REFUSED - access to exchange 'x' refused"), Fault::Permanent(_)));
        assert!(matches!(fault(406, "PRECONDITION_FAILED - inequivalent arg"), Fault::Permanent(_)));
        assert!(matches!(fault(320, "CONNECTION_FORCED - shutdown"), Fault::Transient(_)));
    }
}
